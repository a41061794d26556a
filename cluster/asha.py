"""ASHA, the stopping variant, as a pure function of the values it was shown."""

import math
from collections.abc import Iterable

from search_spaces.space import Objective


def rung_epochs(*, grace_epochs: int, reduction: int, max_epochs: int) -> list[int]:
    """The epochs at which trials are compared: grace, grace x reduction, ... below the full budget."""
    epochs, epoch = [], grace_epochs
    while epoch < max_epochs:
        epochs.append(epoch)
        epoch *= reduction
    return epochs


class Asha:
    """Asynchronous successive halving (Li et al. 2020, https://arxiv.org/abs/1810.05934), as a stopping rule.

    A trial that reaches a rung goes on if it is among the best 1/reduction of those that have reached it so far
    (at least one is). A value that is not finite never goes on, and is never compared with.

    Attributes:
        rungs: For each rung's epoch, the values recorded there by trial number.
    """

    def __init__(self, *, rungs: Iterable[int], reduction: int, objective: Objective):
        self.rungs: dict[int, dict[int, float]] = {epoch: {} for epoch in rungs}
        self.reduction = reduction
        self.sign = 1 if objective.direction == "maximize" else -1

    def record(self, number: int, epoch: int, value: float) -> None:
        """Remember a finite value, if `epoch` is a rung's."""
        if epoch in self.rungs and math.isfinite(value):
            self.rungs[epoch][number] = value

    def goes_on(self, number: int, epoch: int) -> bool:
        """Whether a trial whose value at `epoch` was recorded may train on."""
        if epoch not in self.rungs:
            return True
        rung = self.rungs[epoch]
        if number not in rung:
            return False
        better = sum(self.sign * value > self.sign * rung[number] for value in rung.values())
        return better < max(1, len(rung) // self.reduction)
