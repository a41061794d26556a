"""SMAC's multi-fidelity facade (https://github.com/automl/SMAC3): Hyperband and a random forest.

With its defaults, by its ask-and-tell interface; a trial that diverges is told as crashed,
at the worst loss so far: SMAC's forest takes no infinite one, though that is the default.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smac import MultiFidelityFacade, Scenario
from smac.runhistory import StatusType, TrialValue

from benchmarks.search.curves import EPOCHS
from benchmarks.search.peers.config_space import space
from benchmarks.search.peers.evaluations import Evaluation, Evaluations
from benchmarks.search.setting import Replay, Setting
from cluster.search.simulator import Step


class Smac(Evaluations):
    """The facade."""

    def __init__(self, setting: Setting, folder: Path):
        super().__init__()
        scenario = Scenario(
            space(setting),
            output_directory=folder,
            n_trials=setting.epochs,
            min_budget=1,
            max_budget=EPOCHS,
            seed=setting.seed,
        )
        self._worst = 1.0
        self._facade = MultiFidelityFacade(scenario, _never, logging_level=False)

    def ask(self) -> Evaluation:
        """Of its intensifier."""
        info = self._facade.ask()
        return Evaluation(info.config, dict(info.config), max(1, round(info.budget)), info)

    def tell(self, evaluation: Evaluation, loss: float | None) -> None:
        """A value, or a crash."""
        if loss is None:
            value = TrialValue(cost=self._worst, status=StatusType.CRASHED)
        else:
            self._worst = max(self._worst, loss)
            value = TrialValue(cost=loss)
        self._facade.tell(evaluation.token, value, save=False)


def _never(config: Any, seed: int, budget: float) -> float:
    """The facade wants a function, but is asked and told."""
    raise NotImplementedError


def smac_mf(replay: Replay) -> Sequence[Step]:
    """Its files go to a folder that doesn't stay."""
    with tempfile.TemporaryDirectory() as folder:
        return replay.simulate(Smac(replay.setting, Path(folder)))
