"""Hyperband: successive halving with several first rungs, as none is right for every task."""

from collections.abc import Mapping, Set
from math import ceil

from cluster.search.promotion import Promotion
from cluster.search.scheduler import Decision, Scheduler
from search_spaces.space import Objective


class Hyperband(Scheduler):
    """Trials are spread over brackets by their number; in each the best are promoted.

    Li et al. 2018, https://arxiv.org/abs/1603.06560, with brackets that are filled side by side, as
    in Li et al. 2020. The first bracket has all rungs, each further one begins a rung later, and in
    the last every trial has the full budget. Each gets about as many epochs as any other, so those
    that begin later get fewer trials.

    Args:
        rungs: The epochs of the first bracket's rungs.
        reduction: About one trial of this many goes on from a rung.
        objective: What is compared.
        max_epochs: The full budget of a trial.
    """

    freezes = True

    def __init__(self, *, rungs: list[int], reduction: int, objective: Objective, max_epochs: int):
        self.brackets = [
            Promotion(
                rungs=rungs[first:], reduction=reduction, objective=objective, max_epochs=max_epochs
            )
            for first in range(len(rungs) + 1)
        ]
        self._pattern = spread(bracket_sizes(len(self.brackets), reduction))

    def bracket(self, number: int) -> Promotion:
        """A trial's bracket."""
        return self.brackets[self._pattern[number % len(self._pattern)]]

    def record(
        self,
        number: int,
        epoch: int,
        value: float,
        second: float | None = None,
        *,
        after: int | None = None,
    ) -> None:
        """Its bracket remembers."""
        self.bracket(number).record(number, epoch, value, second, after=after)

    def decide(self, number: int, epoch: int, *, after: int | None = None) -> Decision:
        """Its bracket decides."""
        return self.bracket(number).decide(number, epoch, after=after)

    def passed(self, number: int, epoch: int) -> None:
        """Its bracket is told."""
        self.bracket(number).passed(number, epoch)

    def thaw(self, frozen: Mapping[int, int], *, closing: bool = False) -> int | None:
        """Of those whom the brackets would thaw, the one that came furthest."""
        found = [
            number
            for bracket in self.brackets
            if (number := bracket.thaw(self._inside(bracket, frozen), closing=closing)) is not None
        ]
        return max(found, key=lambda number: frozen[number], default=None)

    def out_of_reach(
        self, frozen: Mapping[int, int], under_way: Set[int], newcomers: int
    ) -> list[int]:
        """Those out of reach in their bracket, were all who still come to come there."""
        lost = []
        for bracket in self.brackets:
            inside = {number for number in under_way if self.bracket(number) is bracket}
            lost += bracket.out_of_reach(self._inside(bracket, frozen), inside, newcomers)
        return lost

    def _inside(self, bracket: Promotion, frozen: Mapping[int, int]) -> dict[int, int]:
        return {n: epoch for n, epoch in frozen.items() if self.bracket(n) is bracket}


def bracket_sizes(brackets: int, reduction: int) -> list[int]:
    """How many trials each bracket begins with in a round of Hyperband, the most halved first."""
    return [
        ceil(brackets / (halvings + 1) * reduction**halvings)
        for halvings in reversed(range(brackets))
    ]


def spread(sizes: list[int]) -> list[int]:
    """A round in which each bracket comes as often as its size says, as evenly as can be."""
    given, turns = [0] * len(sizes), []
    for _ in range(sum(sizes)):
        turn = min(range(len(sizes)), key=lambda i: (given[i] + 0.5) / sizes[i])
        given[turn] += 1
        turns.append(turn)
    return turns
