"""ASHA, the stopping variant, as a pure function of the values it was shown."""

import math
from collections.abc import Iterable

import numpy as np

from search_spaces.space import Objective


class Asha:
    """Asynchronous successive halving as a stopping rule.

    Li et al. 2020, https://arxiv.org/abs/1810.05934, in the variant that stops a trial instead of
    pausing it: nothing is ever promoted later, so no checkpoint of a stopped trial is kept.

    A trial that reaches a rung goes on if it is among the best 1/reduction of those that have
    reached it so far (at least one is). With two objectives, better is whoever is dominated by
    fewer: by those that are as good in both and better in one. A value that is not finite never
    goes on, and is never compared with.

    Attributes:
        rungs: For each rung's epoch, the scores recorded there by trial number; larger ones are
            better.
    """

    def __init__(self, *, rungs: Iterable[int], reduction: int, objective: Objective):
        self.rungs: dict[int, dict[int, tuple[float, ...]]] = {epoch: {} for epoch in rungs}
        self.reduction = reduction
        self.objective = objective

    def record(
        self,
        number: int,
        epoch: int,
        value: float,
        second: float | None = None,
        *,
        after: int | None = None,
    ) -> None:
        """Remember a finite value for each rung that a trial came to at `epoch`.

        Its report before was at epoch `after` (default: the one before): whoever reports now and
        then is judged at the first report beyond a rung.
        """
        if math.isfinite(value):
            for rung in self._reached(after, epoch):
                self.rungs[rung][number] = self.objective.scores(value, second)

    def goes_on(self, number: int, epoch: int, *, after: int | None = None) -> bool:
        """Whether a trial whose value at `epoch` was recorded may train on."""
        return all(self._is_good(number, self.rungs[rung]) for rung in self._reached(after, epoch))

    def asks(self, epoch: int, *, after: int | None = None) -> bool:
        """Whether trials are compared at `epoch`."""
        return bool(self._reached(after, epoch))

    def _reached(self, after: int | None, epoch: int) -> list[int]:
        before = epoch - 1 if after is None else after
        return [rung for rung in self.rungs if before < rung <= epoch]

    def _is_good(self, number: int, rung: dict[int, tuple[float, ...]]) -> bool:
        if number not in rung:
            return False
        return better_than(rung[number], list(rung.values())) < max(1, len(rung) // self.reduction)


def better_than(scores: tuple[float, ...], all_scores: list[tuple[float, ...]]) -> int:
    """How many of all are better than one of them."""
    if len(scores) == 1:
        return sum(other > scores for other in all_scores)
    array_ND = np.array(all_scores)
    no_worse_NN = (array_ND[:, None] >= array_ND).all(-1)
    dominated_by_N = (no_worse_NN & ~no_worse_NN.T).sum(0)
    return int((dominated_by_N < dominated_by_N[all_scores.index(scores)]).sum())
