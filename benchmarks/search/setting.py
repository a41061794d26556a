"""What a search is tried on: a problem, a budget, a clock; the same for all."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from benchmarks.search.curves import EPOCHS, CurveOf, Problem
from cluster.search.simulator import Curve, Machine, Search, Step, simulate

CLOCKS = ("epochs", "seconds")
TRAININGS_TIMED = 100


@dataclass(frozen=True)
class Setting:
    """What a search gets.

    Attributes:
        problem: What it searches.
        seed: Of all that it draws.
        workers: How many trials train at once.
        trainings: The budget of all workers together, in trainings of full length.
        clock: What an epoch costs: 1 (`epochs`), or the problem's own time (`seconds`).
    """

    problem: Problem
    seed: int = 0
    workers: int = 4
    trainings: int = 20
    clock: str = "epochs"

    @property
    def epochs(self) -> int:
        """The budget of all workers together."""
        return self.trainings * EPOCHS

    def rng(self) -> np.random.Generator:
        """Other numbers than `curves.reference` draws from the same seed."""
        return np.random.default_rng([self.seed, self.workers, self.trainings])

    def budget_s(self) -> float:
        """Of all workers together, on the clock."""
        if self.clock == "epochs":
            return self.epochs
        return self.trainings * _training_s(self.problem)

    def machine(self) -> Machine:
        """The workers, until the budget is spent; one that has nothing to do spends it too."""
        if self.clock == "epochs":
            time_s = math.ceil(self.epochs / self.workers)
            return Machine(slots=self.workers, time_s=time_s, max_epochs=self.epochs)
        return Machine(slots=self.workers, time_s=self.budget_s() / self.workers)


@cache
def _training_s(problem: Problem) -> float:
    """The median of random configurations at full length."""
    rng, curve_of = np.random.default_rng(0), problem.begin()
    points_ND = rng.random((TRAININGS_TIMED, len(problem.ranges)))
    return float(np.median([curve_of(problem.values(p)).seconds_E.sum() for p in points_ND]))


@dataclass(frozen=True)
class Trial:
    """A configuration to be trained."""

    number: int
    params: Mapping[str, float]


class Replay:
    """One run of a search: gives it curves, and measures what they cost beside it.

    Attributes:
        curves_cpu_s: Spent on curves, which is not the search's.
    """

    def __init__(self, setting: Setting):
        self.setting = setting
        self.curves_cpu_s = 0.0
        self._curve_of: CurveOf = setting.problem.begin()

    def curve(self, params: Mapping[str, Any]) -> Curve:
        """Value and cost of each epoch; a table that has no rows left answers that it diverged."""
        begun_s = time.process_time()
        try:
            curve = self._curve_of(params)
        except LookupError:
            return [(math.nan, 1.0)]
        finally:
            self.curves_cpu_s += time.process_time() - begun_s
        if self.setting.clock == "epochs":
            return [(float(loss), 1.0) for loss in curve.losses_E]
        return list(zip(curve.losses_E.tolist(), curve.seconds_E.tolist(), strict=True))

    def simulate(self, search: Search) -> Sequence[Step]:
        """Let a search that can be asked and told spend the budget."""
        return simulate(FailsWhereItDiverges(search), self.curve, self.setting.machine()).steps


Peer = Callable[[Replay], Sequence[Step]]


class FailsWhereItDiverges:
    """A search that is told of a failure in the place of a value that is not finite."""

    def __init__(self, search: Search):
        self._search = search
        self.next_trial, self.end, self.fail = search.next_trial, search.end, search.fail

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Whether the slot goes on with this trial."""
        if math.isfinite(value):
            return self._search.report(number, epoch, value)
        self._search.fail(number, "it diverged")
        return False
