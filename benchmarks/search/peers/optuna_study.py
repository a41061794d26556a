"""Optuna alone: its samplers with its own pruners, asked and told.

TPE goes with Hyperband and the GP with successive halving, which Optuna's documentation pairs with
TPE and with other samplers. All is at its defaults but the length of a training and, for
reproduction, the seed and the study's name, from which Hyperband draws its brackets. A trial that
diverges is told as failed, as `Study.optimize` does with NaN.
"""

from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import TrialState

from benchmarks.search.curves import EPOCHS, Range
from benchmarks.search.setting import Replay, Setting, Trial
from cluster.search.simulator import Step


def distribution(r: Range) -> BaseDistribution:
    """A range in Optuna's terms."""
    if r.whole:
        return IntDistribution(int(r.low), int(r.high), log=r.log)
    return FloatDistribution(r.low, r.high, log=r.log)


class OptunaStudy:
    """What `Study.optimize` and an objective that reports and may be pruned do."""

    def __init__(self, setting: Setting, sampler: BaseSampler, pruner: BasePruner):
        name = f"seed {setting.seed}"
        self._study = optuna.create_study(study_name=name, sampler=sampler, pruner=pruner)
        self._distributions = {r.name: distribution(r) for r in setting.problem.ranges}
        self._trials: dict[int, optuna.Trial] = {}

    def next_trial(self) -> Trial:
        """Asked of the sampler."""
        asked = self._study.ask(self._distributions)
        self._trials[asked.number] = asked
        return Trial(asked.number, asked.params)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """On, unless the pruner says no."""
        self._trials[number].report(value, epoch)
        if epoch == EPOCHS:
            self._study.tell(number, value)
        elif self._trials[number].should_prune():
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            return True
        return False

    def end(self, number: int) -> None:
        """Never: it leaves at the last epoch."""

    def fail(self, number: int, reason: str) -> None:
        """The sampler ignores it."""
        self._study.tell(number, state=TrialState.FAIL)


def optuna_tpe(replay: Replay) -> Sequence[Step]:
    """TPE and Hyperband."""
    sampler = TPESampler(seed=replay.setting.seed)
    return _replayed(replay, sampler, HyperbandPruner(min_resource=1, max_resource=EPOCHS))


def optuna_gp(replay: Replay) -> Sequence[Step]:
    """A Gaussian process and successive halving."""
    sampler = GPSampler(seed=replay.setting.seed)
    return _replayed(replay, sampler, SuccessiveHalvingPruner(min_resource=1))


def _replayed(replay: Replay, sampler: BaseSampler, pruner: BasePruner) -> Sequence[Step]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return replay.simulate(OptunaStudy(replay.setting, sampler, pruner))
