"""Syne Tune's ASHA, BOHB, ASHABORE and ASHACQR (https://github.com/syne-tune/syne-tune), defaults.

They are called as its `Tuner` calls them, on our clock: its own simulator adds delays to each start
and stop, and looks at results at intervals that are longer than an epoch. A trial that diverges
is told as an error.
"""

import logging
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from syne_tune.backend.trial_status import Trial as SyneTrial
from syne_tune.config_space import lograndint, loguniform, randint, uniform
from syne_tune.optimizer.baselines import ASHA, ASHABORE, ASHACQR, BOHB
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler

from benchmarks.search.curves import EPOCHS, Range
from benchmarks.search.setting import Peer, Replay, Setting, Trial
from cluster.search.simulator import Step

METRIC, TIME = "loss", "epoch"


def domain(r: Range) -> Any:
    """A range in Syne Tune's terms."""
    if r.whole:
        return (lograndint if r.log else randint)(int(r.low), int(r.high))
    return (loguniform if r.log else uniform)(r.low, r.high)


class SyneTune:
    """What the `Tuner` does with a scheduler."""

    def __init__(self, setting: Setting, scheduler: Callable[..., TrialScheduler]):
        space = {r.name: domain(r) for r in setting.problem.ranges}
        self._scheduler = scheduler(
            space, METRIC, time_attr=TIME, max_t=EPOCHS, random_seed=setting.seed
        )
        self._trials: dict[int, SyneTrial] = {}

    def next_trial(self) -> Trial:
        """`Tuner._schedule_trial`."""
        number = len(self._trials)
        config = self._scheduler.suggest().config
        self._trials[number] = SyneTrial(number, config, datetime.now())
        self._scheduler.on_trial_add(self._trials[number])
        return Trial(number, config)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """`Tuner._update_running_trials`."""
        trial, result = self._trials[number], {METRIC: value, TIME: epoch}
        if self._scheduler.on_trial_result(trial, result) == SchedulerDecision.CONTINUE:
            return True
        self._scheduler.on_trial_remove(trial)
        return False

    def end(self, number: int) -> None:
        """Never: the scheduler stops at the last epoch."""

    def fail(self, number: int, reason: str) -> None:
        """The same, for a trial that failed."""
        self._scheduler.on_trial_error(self._trials[number])


def _peer(scheduler: Callable[..., TrialScheduler]) -> Peer:
    def replayed(replay: Replay) -> Sequence[Step]:
        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        warnings.simplefilter("ignore", FutureWarning)  # Of statsmodels, at each fit.
        return replay.simulate(SyneTune(replay.setting, scheduler))

    return replayed


asha, bohb, ashabore, ashacqr = map(_peer, (ASHA, BOHB, ASHABORE, ASHACQR))
