"""NePS (https://github.com/automl/neps): asynchronous Hyperband, and PriorBand without priors.

Both with their defaults, by its ask-and-tell interface; a trial that diverges is told as crashed.
(Its ifBO needs weights that are downloaded from elsewhere.)
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import neps
import numpy as np
import torch

from benchmarks.search.curves import EPOCHS, Range
from benchmarks.search.peers.evaluations import Evaluation, Evaluations
from benchmarks.search.setting import Peer, Replay, Setting
from cluster.search.simulator import Step

TIME = "epoch"


def domain(r: Range) -> Any:
    """A range in NePS's terms."""
    if r.whole:
        return neps.Integer(int(r.low), int(r.high), log=r.log)
    return neps.Float(r.low, r.high, log=r.log)


def space(setting: Setting) -> neps.PipelineSpace:
    """All ranges, and the epoch as the fidelity."""
    domains = {r.name: domain(r) for r in setting.problem.ranges}
    fidelity = {TIME: neps.IntegerFidelity(1, EPOCHS)}
    return type("Space", (neps.PipelineSpace,), {**domains, **fidelity})()


class Neps(Evaluations):
    """Its trials are named `<configuration>_rung_<rung>`."""

    def __init__(self, setting: Setting, algorithm: Callable[..., Any]):
        super().__init__()
        random.seed(setting.seed)
        np.random.seed(setting.seed)
        torch.manual_seed(setting.seed)
        self._optimizer = neps.AskAndTell(algorithm(space(setting)))

    def ask(self) -> Evaluation:
        """Of its brackets."""
        trial = self._optimizer.ask()
        params = {name: value for name, value in trial.config.items() if name != TIME}
        name = trial.metadata.id
        return Evaluation(name.partition("_rung_")[0], params, trial.config[TIME], name)

    def tell(self, evaluation: Evaluation, loss: float | None) -> None:
        """A value, or an exception."""
        result = FloatingPointError("it diverged") if loss is None else loss
        self._optimizer.tell(evaluation.token, result)


def _peer(algorithm: Callable[..., Any]) -> Peer:
    def replayed(replay: Replay) -> Sequence[Step]:
        return replay.simulate(Neps(replay.setting, algorithm))

    return replayed


async_hb, priorband = map(_peer, (neps.algorithms.async_hb, neps.algorithms.priorband))
