"""What the states of trials are called, wherever they are shown."""

from optuna.trial import FrozenTrial, TrialState

from results.study.notes import frozen_epoch
from results.study.record import StudyRecord

COMPLETE, STOPPED, FAILED = "complete", "stopped early", "failed"
RUNNING, FROZEN, UNFINISHED = "running", "frozen", "unfinished"
TRAINED_AGAIN = "trained again"  # It failed, and another trial repeats it.
FINISHED = (COMPLETE, STOPPED, FAILED)
NAMES = (COMPLETE, STOPPED, RUNNING, FROZEN, UNFINISHED, FAILED)  # As they are counted.
STATE_NAMES = {
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: STOPPED,
    TrialState.RUNNING: RUNNING,
    TrialState.WAITING: UNFINISHED,
    TrialState.FAIL: FAILED,
}


def state_name(trial: FrozenTrial, record: StudyRecord) -> str:
    """A trial's state; what the journal calls running is unfinished when no launcher runs it."""
    if trial.number in record.repeated_by:
        return TRAINED_AGAIN
    if trial.state == TrialState.RUNNING and record.holder is None:
        return UNFINISHED
    return plain_state_name(trial)


def plain_state_name(trial: FrozenTrial) -> str:
    """A trial's state as the journal has it."""
    return STATE_NAMES[trial.state] if frozen_epoch(trial) is None else FROZEN
