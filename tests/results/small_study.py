"""A small real study on the disk, its trials trained in this process without Ray."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna

from cluster.study import Study
from results.description import Description
from results.study_folder import StudyFolder
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
    return Description(space=space, objective=OBJECTIVE, import_paths=(here,), origin={"command": "test"})


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
