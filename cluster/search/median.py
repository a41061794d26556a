"""The median stopping rule."""

import math
from bisect import bisect_right
from statistics import median

from cluster.search.scheduler import Decision, Scheduler
from search_spaces.space import Objective

LEAST_OTHERS = 3  # Below that a median says little.


class MedianStopping(Scheduler):
    """Stops a trial that is worse than the median of the others.

    Golovin et al. 2017 (Vizier), https://doi.org/10.1145/3097983.3098043: a trial is stopped at an
    epoch if the best value that it has had is worse than the median of the running averages of the
    others up to that epoch. Here the others are all that have come so far, not only those that are
    over: otherwise as many as there are slots would run before the first could be stopped.

    There is no median of two objectives; such a space is refused.

    Args:
        grace_epochs: Epochs that every trial gets.
        objective: What is compared.
    """

    def __init__(self, *, grace_epochs: int, objective: Objective):
        self._grace_epochs, self._sign = grace_epochs, objective.sign
        self._curves: dict[int, _Curve] = {}

    def record(
        self,
        number: int,
        epoch: int,
        value: float,
        second: float | None = None,
        *,
        after: int | None = None,
    ) -> None:
        """Remember a finite value."""
        if math.isfinite(value):
            self._curves.setdefault(number, _Curve()).add(epoch, self._sign * value)

    def decide(self, number: int, epoch: int, *, after: int | None = None) -> Decision:
        """Whether its best is as good as the median of the others' averages."""
        others = [
            curve.average(epoch)
            for other, curve in self._curves.items()
            if other != number and curve.epochs[-1] >= epoch
        ]
        if epoch < self._grace_epochs or len(others) < LEAST_OTHERS:
            return Decision.GO_ON
        return Decision.STOP if self._curves[number].best < median(others) else Decision.GO_ON


class _Curve:
    """A trial's scores so far: larger ones are better."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.best = -math.inf
        self._averages: list[float] = []

    def add(self, epoch: int, score: float) -> None:
        so_far = len(self.epochs)
        before = self._averages[-1] if self._averages else 0.0
        self.epochs.append(epoch)
        self._averages.append((before * so_far + score) / (so_far + 1))
        self.best = max(self.best, score)

    def average(self, until: int) -> float:
        """Of its reports up to an epoch; its first one, if that came later."""
        return self._averages[max(0, bisect_right(self.epochs, until) - 1)]
