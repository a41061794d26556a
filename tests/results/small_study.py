"""A small real study on the disk, its trials trained in this process without Ray."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna

from cluster.search.study import Study
from results.confirm.confirmation import Confirmation, ConfirmedCandidate, Optimism
from results.study.description import Description
from results.study.folder import StudyFolder
from search_spaces import Objective, Space, space_from_mapping
from trainables.job import run

optuna.logging.set_verbosity(optuna.logging.ERROR)
OBJECTIVE = Objective(name="score", direction="maximize")


def train(config: dict[str, Any], *, seed: int, max_epochs: int) -> Iterator[dict[str, float]]:
    """The bare function that is searched; the seed shifts its score."""
    if config["x"] == 13:
        raise RuntimeError("unlucky [x]")
    for epoch in range(1, max_epochs + 1):
        yield {"score": config["x"] / 10 + epoch / 100 + seed / 2**40, "other": 1.0}


def small_space(name: str = "small", **budget: Any) -> Space:
    """Four start points, one of which crashes, so that all is known beforehand."""
    mapping = {
        "task": "tests.results.small_study:train",
        "objective": {"maximize": "score"},
        "parameters": {"x": {"int": [0, 20]}},
        "fixed": {"y": 1},
        "start": [{"x": 5}, {"x": 3}, {"x": 13}, {"x": 8}],
        "search": {"reduction": 2},
        "budget": {"trials": 4, "max_epochs": 3, "retries": 0, **budget},
    }
    return space_from_mapping(mapping, name=name, file=f"{name}.yaml")


def described(space: Space) -> Description:
    """The study's description, as `launch.py` would make it."""
    here = str(Path(__file__).parent)
    return Description(
        space=space, objective=OBJECTIVE, import_paths=(here,), origin={"command": "test"}
    )


def open_study(path: Path, space: Space | None = None) -> Study:
    """The study in a folder, its `study.yaml` written."""
    description = described(space or small_space())
    folder = StudyFolder(path)
    study = Study(folder, description.space, OBJECTIVE, description.import_paths)
    description.write(folder)
    return study


def drive(study: Study, trials: int = 100) -> Study:
    """Train so many trials, in this process."""
    for _ in range(trials):
        trial = study.next_trial()
        if trial is None:
            break
        try:
            for report in run(study.job(trial)):
                if not study.report(trial.number, report.epoch, report.metrics["score"]):
                    break
        except RuntimeError as error:
            study.fail(trial.number, str(error))
    return study


def confirmed_candidate(**values: Any) -> ConfirmedCandidate:
    """Trial 3, trained again; what is given differs."""
    known: dict[str, Any] = {
        "name": "trial 3",
        "trial": 3,
        "searched_value": 0.95,
        "values": (0.91, 0.93, 0.92),
        "mean": 0.92,
        "low": 0.9,
        "high": 0.94,
        "test_value": 0.9,
        "test_metrics": {"score": 0.9, "f1": 0.8},
    }
    return ConfirmedCandidate(**known | values)


def small_confirmation(**values: Any) -> Confirmation:
    """Trial 3, confirmed; what is given differs."""
    known: dict[str, Any] = {
        "trainings": "7f6ad872",
        "objective": "score",
        "direction": "maximize",
        "seeds": 3,
        "confidence": 0.95,
        "verdict": "trial 3 is better",
        "test_split_read": ("2026-01-02T03:04:05+00:00",),
        "candidates": (confirmed_candidate(),),
        "optimism": Optimism(searched=0.95, fresh_mean=0.92),
    }
    return Confirmation(**known | values)
