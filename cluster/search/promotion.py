"""ASHA, the variant that promotes: trials are frozen at rungs, and the best of them thawed."""

import math
from collections.abc import Iterable, Mapping, Set

from cluster.search.halving import Halving, ranks
from cluster.search.scheduler import Decision
from search_spaces.space import Objective


class Promotion(Halving):
    """Asynchronous successive halving by promotion.

    Li et al. 2020, https://arxiv.org/abs/1810.05934, algorithm 2: every trial is frozen at a rung,
    and goes on when it is among the best 1/reduction of those that have come there; higher rungs
    are looked at first, and where nobody is to be promoted, a new trial begins. Departing from the
    paper, no more than 1/reduction of a rung ever go on from it: who was promoted by mistake, when
    few had come there, takes another one's place. (Hyper-Tune, Li et al. 2022,
    https://arxiv.org/abs/2201.06834, delays promotions by the same bound.)

    A search of few trials may end with nobody trained to the end. So when nothing else is left to
    do, and nobody has been, the best of those that came furthest goes on, rung by rung.

    Args:
        rungs: Their epochs.
        reduction: About one trial of this many goes on from a rung.
        objective: What is compared.
        max_epochs: The full budget of a trial.
    """

    freezes = True

    def __init__(
        self, *, rungs: Iterable[int], reduction: int, objective: Objective, max_epochs: int
    ):
        super().__init__(rungs=rungs, reduction=reduction, objective=objective)
        self._max_epochs = max_epochs
        self._passed: dict[int, int] = {}
        self._someone_is_through = False

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
        super().record(number, epoch, value, second, after=after)
        for rung in self.reached(epoch, after)[:-1]:
            self.passed(number, rung)
        if epoch >= self._max_epochs and math.isfinite(value):
            self._someone_is_through = True

    def passed(self, number: int, epoch: int) -> None:
        """Be told that a trial goes on from a rung."""
        self._passed[number] = max(epoch, self._passed.get(number, 0))

    def decide(self, number: int, epoch: int, *, after: int | None = None) -> Decision:
        """It is frozen at each rung."""
        return Decision.FREEZE if self.reached(epoch, after) else Decision.GO_ON

    def thaw(self, frozen: Mapping[int, int], *, closing: bool = False) -> int | None:
        """The best of the highest rung from which one may go on."""
        for rung in reversed(self.rungs):
            most = len(self.rungs[rung]) // self.reduction
            if self._gone_on(rung) < most:
                for number, rank in self._waiting(rung, frozen):
                    if rank < most:
                        return number
        return self._leader(frozen) if closing and not self._someone_is_through else None

    def out_of_reach(
        self, frozen: Mapping[int, int], under_way: Set[int], newcomers: int
    ) -> list[int]:
        """Those with too many better ones before them, even if all who still come are worse."""
        lost: list[int] = []
        spare = 0 if self._someone_is_through else 1  # Whom the end of a small search needs.
        first = next(iter(self.rungs.values()), {})
        size = len(first) + len(under_way - first.keys()) + newcomers
        for rung, scores in self.rungs.items():
            most = max(1, max(size, len(scores)) // self.reduction)
            room = most - self._gone_on(rung)
            lost += [
                number
                for place, (number, rank) in enumerate(self._waiting(rung, frozen))
                if place >= spare and (place >= room or rank >= most)
            ]
            size = most
        return lost

    def _gone_on(self, rung: int) -> int:
        return sum(self._passed.get(number, 0) >= rung for number in self.rungs[rung])

    def _waiting(self, rung: int, frozen: Mapping[int, int]) -> list[tuple[int, int]]:
        """The trials frozen at a rung and how many of all there are better, the best first."""
        scores = self.rungs[rung]
        by_number = dict(zip(scores, ranks(list(scores.values())), strict=True))
        waiting = [
            (number, rank)
            for number, rank in by_number.items()
            if number in frozen and self._rung_at(frozen[number]) == rung
        ]
        return sorted(waiting, key=lambda pair: (pair[1], pair[0]))

    def _rung_at(self, epoch: int) -> int:
        return max((rung for rung in self.rungs if rung <= epoch), default=0)

    def _leader(self, frozen: Mapping[int, int]) -> int | None:
        for rung in reversed(self.rungs):
            for number, _ in self._waiting(rung, frozen):
                return number
        return None
