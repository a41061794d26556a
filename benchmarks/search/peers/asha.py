"""Random configurations under asynchronous successive halving (https://arxiv.org/abs/1810.05934).

`random_asha` stops a trial at a rung where it is not among the best third so far;
`random_promotion` lets all wait at each rung, and goes on with those that come to be.
"""

from collections.abc import Sequence

from benchmarks.search.curves import EPOCHS
from benchmarks.search.peers.full_length import FullLength, random_newcomers
from benchmarks.search.setting import Replay, Setting, Trial
from cluster.search.simulator import Step

REDUCTION = 3
RUNGS = (1, 3, 9, 27)


class RandomAsha(FullLength):
    """The kind that stops."""

    def __init__(self, setting: Setting):
        super().__init__(random_newcomers(setting))
        self._rungs: dict[int, list[float]] = {epoch: [] for epoch in RUNGS}

    def report(self, number: int, epoch: int, value: float) -> bool:
        """On, unless it is at a rung and not among the best of it."""
        if epoch not in self._rungs:
            return epoch < EPOCHS
        rung = self._rungs[epoch]
        rung.append(value)
        return sum(other < value for other in rung) < max(1, len(rung) // REDUCTION)


class RandomPromotion(FullLength):
    """The kind that promotes."""

    def __init__(self, setting: Setting):
        super().__init__(random_newcomers(setting))
        self._rungs: dict[int, dict[int, float]] = {epoch: {} for epoch in RUNGS}
        self._promoted: dict[int, set[int]] = {epoch: set() for epoch in RUNGS}
        self._trials: dict[int, Trial] = {}

    def next_trial(self) -> Trial:
        """Whoever can be promoted from the highest rung, else a new one."""
        for epoch in reversed(RUNGS):
            for number in self._best(epoch):
                if number not in self._promoted[epoch]:
                    self._promoted[epoch].add(number)
                    return self._trials[number]
        trial = self._newcomers.next()
        self._trials[trial.number] = trial
        return trial

    def _best(self, epoch: int) -> list[int]:
        rung = self._rungs[epoch]
        return sorted(rung, key=rung.__getitem__)[: len(rung) // REDUCTION]

    def report(self, number: int, epoch: int, value: float) -> bool:
        """On, until the next rung."""
        if epoch in self._rungs:
            self._rungs[epoch][number] = value
        return epoch < EPOCHS and epoch not in self._rungs


def random_asha(replay: Replay) -> Sequence[Step]:
    """Random configurations, stopped early."""
    return replay.simulate(RandomAsha(replay.setting))


def random_promotion(replay: Replay) -> Sequence[Step]:
    """Random configurations, promoted."""
    return replay.simulate(RandomPromotion(replay.setting))
