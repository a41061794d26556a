"""ASHA, the stopping variant, as a pure function of the values it was shown."""

from cluster.search.halving import Halving, Scores, better_than
from cluster.search.scheduler import Decision


class Asha(Halving):
    """Asynchronous successive halving as a stopping rule.

    Li et al. 2020, https://arxiv.org/abs/1810.05934, in the variant that stops a trial instead of
    pausing it: nothing is ever promoted later, so no checkpoint of a stopped trial is kept.

    A trial that reaches a rung goes on if it is among the best 1/reduction of those that have
    reached it so far (at least one is).
    """

    def decide(self, number: int, epoch: int, *, after: int | None = None) -> Decision:
        """Whether a trial whose value at `epoch` was recorded may train on."""
        good = all(self._is_good(number, self.rungs[rung]) for rung in self.reached(epoch, after))
        return Decision.GO_ON if good else Decision.STOP

    def _is_good(self, number: int, rung: dict[int, Scores]) -> bool:
        if number not in rung:
            return False
        return better_than(rung[number], list(rung.values())) < max(1, len(rung) // self.reduction)
