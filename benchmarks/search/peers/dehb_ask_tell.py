"""DEHB (https://github.com/automl/DEHB): differential evolution in Hyperband's brackets.

With its defaults, by its ask-and-tell interface; a trial that diverges is told the worst value.
"""

import math
import tempfile
from collections.abc import Sequence

import dehb
from loguru import logger

from benchmarks.search.curves import EPOCHS
from benchmarks.search.peers.config_space import space
from benchmarks.search.peers.evaluations import Evaluation, Evaluations
from benchmarks.search.setting import Replay, Setting
from cluster.search.simulator import Step


class Dehb(Evaluations):
    """Its configurations have numbers; most are new ones at each fidelity."""

    def __init__(self, setting: Setting, folder: str):
        super().__init__()
        self._optimizer = dehb.DEHB(
            cs=space(setting),
            min_fidelity=1,
            max_fidelity=EPOCHS,
            n_workers=1,  # Of its own, which are not used.
            seed=setting.seed,
            output_path=folder,
            save_freq=None,
        )

    def ask(self) -> Evaluation:
        """Of its brackets."""
        job = self._optimizer.ask()
        epoch = max(1, round(job["fidelity"]))
        return Evaluation(job["config_id"], dict(job["config"]), epoch, job)

    def tell(self, evaluation: Evaluation, loss: float | None) -> None:
        """A value."""
        fitness = math.inf if loss is None else loss
        cost = evaluation.epoch
        self._optimizer.tell(evaluation.token, {"fitness": fitness, "cost": cost})


def dehb_ask_tell(replay: Replay) -> Sequence[Step]:
    """Its files go to a folder that doesn't stay."""
    logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        return replay.simulate(Dehb(replay.setting, folder))
