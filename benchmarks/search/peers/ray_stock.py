"""Ray Tune's `OptunaSearch` under its `ASHAScheduler`, both with their defaults, without a cluster.

They are called as Ray 2.60's controller calls them (`ray/tune/execution/tune_controller.py`): one
trial is suggested ahead of the free slot; the result that stops a trial is not sent to the
searcher, which is then told that the trial is complete, with that result. A trial that diverges
raises, and is told as an error.
"""

import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.search.curves import EPOCHS, Range
from benchmarks.search.setting import Replay, Setting, Trial
from cluster.search.simulator import Step

METRIC, TIME = "loss", "training_iteration"


def domain(r: Range) -> Any:
    """A range in Ray's terms."""
    if r.whole:
        return (tune.lograndint if r.log else tune.randint)(int(r.low), int(r.high) + 1)
    return (tune.loguniform if r.log else tune.uniform)(r.low, r.high)


class RayStock:
    """The controller's part."""

    def __init__(self, setting: Setting):
        space = {r.name: domain(r) for r in setting.problem.ranges}
        self._searcher = OptunaSearch(space, metric=METRIC, mode="min", seed=setting.seed)
        self._scheduler = ASHAScheduler(TIME, METRIC, "min", max_t=EPOCHS)
        self._ray_trials: dict[int, Any] = {}
        self._ahead = self._new()

    def next_trial(self) -> Trial:
        """The one that was suggested ahead."""
        trial, self._ahead = self._ahead, self._new()
        return trial

    def _new(self) -> Trial:
        number = len(self._ray_trials)
        self._ray_trials[number] = SimpleNamespace(trial_id=str(number))
        values = self._searcher.suggest(str(number))
        self._scheduler.on_trial_add(None, self._ray_trials[number])
        return Trial(number, values)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """`TuneController._process_trial_result` and `stop_trial`."""
        trial, result = self._ray_trials[number], {METRIC: value, TIME: epoch}
        if self._scheduler.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE:
            self._searcher.on_trial_result(trial.trial_id, result)
            return True
        self._scheduler.on_trial_complete(None, trial, result)
        self._searcher.on_trial_complete(trial.trial_id, result=result)
        return False

    def end(self, number: int) -> None:
        """Never: the scheduler stops at the last epoch."""

    def fail(self, number: int, reason: str) -> None:
        """`TuneController._process_trial_failure`."""
        self._scheduler.on_trial_error(None, self._ray_trials[number])
        self._searcher.on_trial_complete(str(number), error=True)


def ray_stock(replay: Replay) -> Sequence[Step]:
    """The defaults of both."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    return replay.simulate(RayStock(replay.setting))
