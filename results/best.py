"""Which configuration of a study is the best, by one rule for everyone who asks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import Objective


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """A trial's best epoch.

    Attributes:
        number: The trial's.
        epoch: At which the objective was best.
        value: The objective then.
        complete: Whether the trial had the full budget.
    """

    number: int
    epoch: int
    value: float
    complete: bool

    def rank(self, objective: Objective) -> tuple[float, bool, int]:
        """Larger is better: the value; of equals a trial of the full budget, then the earlier one."""
        sign = 1 if objective.direction == "maximize" else -1
        return sign * self.value, self.complete, -self.number


def trial_best(trial: FrozenTrial, objective: Objective) -> Best | None:
    """A trial's best epoch (of equals the first); None without a finite value, or if the trial failed."""
    sign = 1 if objective.direction == "maximize" else -1
    finite = [(epoch, value) for epoch, value in trial.intermediate_values.items() if math.isfinite(value)]
    if not finite or trial.state == TrialState.FAIL:
        return None
    epoch, value = max(finite, key=lambda pair: (sign * pair[1], -pair[0]))
    return Best(number=trial.number, epoch=epoch, value=value, complete=trial.state == TrialState.COMPLETE)


def ranked(trials: Iterable[FrozenTrial], objective: Objective) -> list[Best]:
    """The trials' bests, the best first."""
    bests = [best for trial in trials if (best := trial_best(trial, objective)) is not None]
    return sorted(bests, key=lambda best: best.rank(objective), reverse=True)
