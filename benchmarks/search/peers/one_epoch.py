"""One epoch of many configurations, then the best of them to the end, one after the other.

Egele et al. 2023, https://arxiv.org/abs/2307.15422, and https://arxiv.org/abs/2404.04111.
"""

from collections.abc import Sequence

from benchmarks.search.curves import EPOCHS
from benchmarks.search.peers.full_length import FullLength, random_newcomers
from benchmarks.search.setting import Replay, Setting, Trial
from cluster.search.simulator import Step

SHARE = 0.5


class OneEpoch(FullLength):
    """Knows how much of the budget goes to first epochs."""

    def __init__(self, setting: Setting, share: float):
        super().__init__(random_newcomers(setting))
        self._left = int(setting.epochs * share)
        self._trials: dict[int, Trial] = {}
        self._waiting: dict[int, float] = {}

    def next_trial(self) -> Trial | None:
        """A new one while there are some to try; then the best of those that wait."""
        if not self._left:
            return self._best() if self._waiting else None
        self._left -= 1
        trial = self._newcomers.next()
        self._trials[trial.number] = trial
        return trial

    def _best(self) -> Trial:
        number = min(self._waiting, key=self._waiting.__getitem__)
        del self._waiting[number]
        return self._trials[number]

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Wait after the first epoch; later, on to the end."""
        if epoch == 1:
            self._waiting[number] = value
        return 1 < epoch < EPOCHS


def one_epoch(replay: Replay, share: float = SHARE) -> Sequence[Step]:
    """With the share that is best on the problems for tuning."""
    return replay.simulate(OneEpoch(replay.setting, share))
