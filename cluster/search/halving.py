"""What all forms of successive halving share: the rungs, and who is better on one."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np

from cluster.search.scheduler import Scheduler
from search_spaces.space import Objective

Scores = tuple[float, ...]


class Halving(Scheduler):
    """Keeps what trials reported at each rung.

    With two objectives, better is whoever is dominated by fewer: by those that are as good in both
    and better in one. A value that is not finite never goes on, and is never compared with.

    Attributes:
        rungs: For each rung's epoch, the scores recorded there by trial number; larger ones are
            better.
    """

    def __init__(self, *, rungs: Iterable[int], reduction: int, objective: Objective):
        self.rungs: dict[int, dict[int, Scores]] = {epoch: {} for epoch in sorted(rungs)}
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
        """Remember a finite value for each rung that a trial came to at `epoch`."""
        if math.isfinite(value):
            for rung in self.reached(epoch, after):
                self.rungs[rung][number] = self.objective.scores(value, second)

    def reached(self, epoch: int, after: int | None) -> list[int]:
        """The rungs that a report at `epoch` is the first one at or beyond."""
        before = epoch - 1 if after is None else after
        return [rung for rung in self.rungs if before < rung <= epoch]


def better_than(scores: Scores, all_scores: Sequence[Scores]) -> int:
    """How many of all are better than one of them."""
    if len(scores) == 1:
        return sum(other > scores for other in all_scores)
    return ranks(all_scores)[all_scores.index(scores)]


def ranks(all_scores: Sequence[Scores]) -> list[int]:
    """For each, how many of all are better."""
    losses = _losses(all_scores)
    in_order = sorted(losses)
    return [bisect_left(in_order, loss) for loss in losses]


def _losses(all_scores: Sequence[Scores]) -> list[float]:
    """For each a number of which smaller ones are better."""
    if not all_scores or len(all_scores[0]) == 1:
        return [-scores[0] for scores in all_scores]
    array_ND = np.array(all_scores)
    no_worse_NN = (array_ND[:, None] >= array_ND).all(-1)
    dominated_by_N: list[float] = (no_worse_NN & ~no_worse_NN.T).sum(0).tolist()
    return dominated_by_N
