"""Failed trials that are trained again: after their code was mended, or when nothing else came out.

Optuna can't open a finished trial again. So the configuration of a failed one is enqueued as a new
trial, which notes the number of the trial that it repeats. The failed one stays in the journal with
its reason, but counts no longer: neither in the budget nor among those that a trial is compared
with.
"""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from results.study.best import ranked
from results.study.notes import Notes, repeats_trial
from search_spaces.space import Objective


def repeated_by(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """For each trial that is trained again, the number of the one that repeats it."""
    repeats = [(repeats_trial(trial), trial.number) for trial in trials]
    return {failed: number for failed, number in repeats if failed is not None}


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count in the budget: all but those that are trained again."""
    repeated = repeated_by(trials)
    return [trial for trial in trials if trial.number not in repeated]


def to_repeat(
    trials: Sequence[FrozenTrial], objective: Objective, code: str | None
) -> tuple[list[FrozenTrial], str]:
    """The failed trials that a new launch trains again, and why.

    All of them if no trial has reached a value: whoever gives the same command again has mended
    something, be it code, data or the machine. Otherwise those that failed by other code than now:
    by the same code, a failure among trials that went well is a fact of its configuration, which
    may need more memory than there is.

    Args:
        trials: All trials of the study.
        objective: What they are compared by.
        code: A digest of the task's code as it is now; None: not known.
    """
    failed = [trial for trial in counted(trials) if trial.state == TrialState.FAIL]
    changed = [trial for trial in failed if code and (Notes.of(trial).code or code) != code]
    if not ranked(trials, objective) and len(changed) < len(failed):
        return failed, "no trial has reached a value yet"
    return changed, "the code of the task has changed"
