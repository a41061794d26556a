"""Which configuration of a study is the best, by one rule for everyone who asks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from results.study.notes import Notes
from search_spaces.space import Objective


@dataclass(frozen=True, kw_only=True, slots=True)
class BestEpoch:
    """A trial's best epoch.

    Attributes:
        number: The trial's.
        epoch: At which the objective was best.
        value: The objective then.
        second: The second objective then, if there is one.
        complete: Whether the trial had the full budget.
    """

    number: int
    epoch: int
    value: float
    complete: bool
    second: float | None = None

    @property
    def values(self) -> tuple[float, ...]:
        """The values of all objectives."""
        return (self.value,) if self.second is None else (self.value, self.second)

    def rank(self, objective: Objective) -> tuple[tuple[float, ...], bool, int]:
        """Larger is better: by the values; of equals the full budget, then the earlier trial."""
        return objective.scores(self.value, self.second), self.complete, -self.number


def best_epoch(trial: FrozenTrial, objective: Objective) -> BestEpoch | None:
    """A trial's best epoch (of equals the first).

    None without a finite value, or if the trial failed.
    """
    finite = [
        (epoch, value) for epoch, value in trial.intermediate_values.items() if math.isfinite(value)
    ]
    if not finite or trial.state == TrialState.FAIL:
        return None
    epoch, value = max(finite, key=lambda pair: (objective.sign * pair[1], -pair[0]))
    return BestEpoch(
        number=trial.number,
        epoch=epoch,
        value=value,
        second=Notes.of(trial).second_at(epoch) if objective.second else None,
        complete=trial.state == TrialState.COMPLETE,
    )


def ranked(trials: Iterable[FrozenTrial], objective: Objective) -> list[BestEpoch]:
    """The trials' bests, the best first.

    With two objectives, those that no other one dominates before all others.
    """
    bests = [best for trial in trials if (best := best_epoch(trial, objective)) is not None]
    bests.sort(key=lambda best: best.rank(objective), reverse=True)
    if objective.second is None:
        return bests
    front = pareto_front(bests, objective)
    numbers = {best.number for best in front}
    return [*front, *(best for best in bests if best.number not in numbers)]


def pareto_front(bests: Iterable[BestEpoch], objective: Objective) -> list[BestEpoch]:
    """Those that no other one dominates: is better in one objective and as good in the other.

    Args:
        bests: The best in the first objective first.
        objective: Both objectives.
    """
    front, highest = [], -math.inf
    for best in bests:
        score = objective.scores(best.value, best.second)[-1]
        if score > highest:
            front.append(best)
            highest = score
    return front
