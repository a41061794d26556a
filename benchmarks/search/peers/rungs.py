"""Rungs itself: a real study in a folder of its own, driven by the simulator."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.search.curves import EPOCHS, Range
from benchmarks.search.setting import Replay, Setting
from cluster.search.simulator import Step, simulate
from cluster.search.study import Study
from results.study.folder import StudyFolder
from search_spaces.reader import space_from_mapping


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """The task of the study, which is never trained."""
    raise NotImplementedError("its curves are replayed")
    yield {"loss": 0.0}


def freeze_thaw(replay: Replay) -> Sequence[Step]:
    """Freeze-thaw search by its model of the curves."""
    return _replayed(replay, {"scheduler": "freeze_thaw", "sampler": "curves"})


def promotion_tpe(replay: Replay) -> Sequence[Step]:
    """Promotion, with TPE at the highest common rung."""
    return _replayed(replay, {"scheduler": "promotion", "sampler": "tpe"})


def asha_tpe(replay: Replay) -> Sequence[Step]:
    """What was the default before: univariate TPE, stopping ASHA."""
    return _replayed(replay, {"scheduler": "asha", "sampler": "tpe"})


def _replayed(replay: Replay, search: dict[str, Any]) -> Sequence[Step]:
    setting = replay.setting
    space = space_from_mapping(_mapping(setting, search), name="replay", file="replay.yaml")
    assert space.objective is not None
    with TemporaryDirectory(prefix="rungs-replay-") as folder:
        study = Study(StudyFolder(Path(folder) / "study"), space, space.objective)
        study.slots = setting.workers
        return simulate(study, replay.curve, setting.machine()).steps


def _mapping(setting: Setting, search: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": f"{__name__}:train",
        "objective": {"minimize": "loss"},
        "parameters": {r.name: _parameter(r) for r in setting.problem.ranges},
        "search": search,
        "budget": {"trials": setting.epochs, "epochs": setting.epochs, "max_epochs": EPOCHS},
        "seed": setting.seed,
    }


def _parameter(r: Range) -> dict[str, Any]:
    kind = "int" if r.whole else "float"
    return {kind: [r.low, r.high], **({"log": True} if r.log else {})}
