"""What a sampler learns from: the losses of trials at an epoch that many of them have reached.

Trials that are stopped early or frozen have values of different epochs, which can't be compared:
nearly every training is better later. So all are judged by the best that they had reached by one
epoch, the highest common rung.
"""

import math
from collections.abc import Container, Sequence
from copy import copy

from optuna.storages import InMemoryStorage
from optuna.study import Study, create_study
from optuna.trial import FrozenTrial, TrialState

from results.curves.seen import losses_of
from results.study.notes import Notes
from results.study.repeats import counted
from search_spaces.space import Objective, Space

ENOUGH = 12


def seen_trials(
    trials: Sequence[FrozenTrial], space: Space, objective: Objective, weight: float = 1.0
) -> list[FrozenTrial]:
    """The trials that a sampler looks at, each complete with a loss: smaller is better.

    Those with a value at the highest common rung have a loss by it; those that failed or diverged
    have the worst of these; those without a value come as running. None before `ENOUGH` trials
    have reached a value or failed.

    Args:
        trials: All of the study.
        space: Tells the rungs.
        objective: One, or two of which the loss is made.
        weight: Of the first of two objectives, from 0 to 1.
    """
    known = with_values(trials)
    good, bad = _split(known)
    if len(known) < ENOUGH or not good:
        return []
    epoch = highest_common_rung(good, space)
    judged = [trial for trial in good if reached(trial) >= epoch]
    losses = losses_at(judged, epoch, objective, weight)
    running = [t for t in trials if t.state == TrialState.RUNNING and not t.intermediate_values]
    return sorted(
        [
            *(_complete(trial, loss) for trial, loss in zip(judged, losses, strict=True)),
            *(_complete(trial, max(losses)) for trial in bad),
            *running,
        ],
        key=lambda trial: trial.number,
    )


def generation_losses(trials: Sequence[FrozenTrial], objective: Objective) -> list[float]:
    """The losses of a few trials at the highest epoch that all of them have reached.

    Those that failed or diverged have the worst.
    """
    good, _ = _split(trials)
    if not good:
        return [0.0] * len(trials)
    losses = losses_at(good, min(map(reached, good)), objective)
    by_number = {trial.number: loss for trial, loss in zip(good, losses, strict=True)}
    return [by_number.get(trial.number, max(losses)) for trial in trials]


def with_values(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that tell something: they reported or failed, and none repeats them."""
    return [
        trial
        for trial in counted(trials)
        if trial.params and (trial.intermediate_values or trial.state == TrialState.FAIL)
    ]


def highest_common_rung(trials: Sequence[FrozenTrial], space: Space) -> float:
    """The highest rung that `ENOUGH` of these trials, or all where there are fewer, have reached.

    Where nothing compares trials early, or none has reached a rung, any epoch is one.
    """
    furthest = sorted(map(reached, trials), reverse=True)[:ENOUGH][-1]
    rungs = [*space.rungs, space.budget.max_epochs] if space.rungs else []
    return max((rung for rung in rungs if rung <= furthest), default=furthest)


def reached(trial: FrozenTrial) -> float:
    """The last epoch of a trial; one that is complete has reached all."""
    if trial.state == TrialState.COMPLETE:
        return math.inf
    return max(trial.intermediate_values, default=0)


def losses_at(
    trials: Sequence[FrozenTrial], epoch: float, objective: Objective, weight: float = 1.0
) -> list[float]:
    """One loss for each trial, by the best that it had reached by an epoch."""
    return losses_of([_scores_by(trial, epoch, objective) for trial in trials], weight)


def study_of(trials: list[FrozenTrial]) -> Study:
    """A study in memory, to be minimized, of just these trials."""
    return create_study(storage=_Given(trials), direction="minimize")


class _Given(InMemoryStorage):
    """Trials as they are: adding a thousand to a study takes half a second."""

    def __init__(self, trials: list[FrozenTrial]):
        super().__init__()
        self._given = trials

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """All trials, or those in the given states."""
        return [trial for trial in self._given if states is None or trial.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: object) -> None:
        """Nothing: what samplers note here is for other processes."""


def _split(trials: Sequence[FrozenTrial]) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """Those with values, and those that failed or diverged."""
    bad = [trial for trial in trials if _is_bad(trial)]
    return [trial for trial in trials if not _is_bad(trial)], bad


def _is_bad(trial: FrozenTrial) -> bool:
    """Whether a trial failed or diverged."""
    values = trial.intermediate_values.values()
    return trial.state == TrialState.FAIL or not all(map(math.isfinite, values))


def _complete(trial: FrozenTrial, loss: float) -> FrozenTrial:
    judged = copy(trial)
    judged.state, judged.values, judged.intermediate_values = TrialState.COMPLETE, [loss], {}
    return judged


def _scores_by(trial: FrozenTrial, epoch: float, objective: Objective) -> tuple[float, ...]:
    """The best that a trial had reached by an epoch; its first value if it reported later."""
    last = max(epoch, min(trial.intermediate_values))
    score, at = max(
        (objective.sign * value, -at)
        for at, value in trial.intermediate_values.items()
        if at <= last
    )
    second = Notes.of(trial).second_at(-at) if objective.second else None
    return objective.scores(objective.sign * score, second)
