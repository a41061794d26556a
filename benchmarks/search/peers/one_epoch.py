"""One epoch of many configurations, then the best of them to the end, one after the other.

Egele et al. 2023, https://arxiv.org/abs/2307.15422, and https://arxiv.org/abs/2404.04111. The share
of the budget that goes to first epochs is the best of those that this command tries on the problems
for tuning, which makes the peer as strong as it can be:

python -m benchmarks.search.peers.one_epoch --curves FOLDER
"""

from collections.abc import Sequence
from math import isfinite
from statistics import fmean

from benchmarks.search.curves import EPOCHS, problems
from benchmarks.search.options import parser
from benchmarks.search.peers.full_length import FullLength, random_newcomers
from benchmarks.search.references import reference_of
from benchmarks.search.setting import Replay, Setting, Trial
from cluster.search.simulator import Step

SHARE = 0.5
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SEEDS = range(5)


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


def regret(setting: Setting, share: float) -> float:
    """At the end of a run."""
    steps = one_epoch(Replay(setting), share)
    loss = min(step.value for step in steps if isfinite(step.value))
    return reference_of(setting.problem).regret(loss)


def main() -> None:
    """The mean regret with each share; it was 0.390 0.368 0.348 0.332 0.332 0.332 0.355 0.351."""
    tuning = problems(parser(main.__doc__).parse_args().curves, held_out=False)
    settings = [Setting(problem, seed) for problem in tuning for seed in SEEDS]
    for share in SHARES:
        print(share, round(fmean(regret(setting, share) for setting in settings), 3), flush=True)


if __name__ == "__main__":
    main()
