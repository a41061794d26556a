"""A bare function to search: some of its trials are steady, others diverge, crash or end early."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from cluster.search.halving import Halving
from cluster.search.study import Study
from results.study.database import Database
from results.study.folder import StudyFolder
from search_spaces import Objective, Space, space_from_mapping

optuna.logging.set_verbosity(optuna.logging.ERROR)

Open = Callable[..., Study]

MAPPING: dict[str, Any] = {
    "task": "tests.cluster.search.toy_study:train",
    "objective": {"maximize": "score"},
    "parameters": {
        "lr": {"float": [1e-4, 1e-1], "log": True},
        "kind": {"choice": ["steady", "fading", "diverging", "crashing", "ending", "silent"]},
        "momentum": {"float": [0, 0.9], "step": 0.1, "when": {"kind": ["steady", "fading"]}},
        "width": {"int": [1, 64], "log": True},
    },
    "fixed": {"batch": 16},
    "start": [
        {"kind": "steady", "lr": 1e-3, "width": 8},
        {"kind": "fading", "momentum": 0.3},
        {"kind": "diverging", "lr": 3e-3, "width": 8},
        {"kind": "crashing", "lr": 3e-3, "width": 8},
        {"kind": "ending", "lr": 3e-3, "width": 8},
    ],
    "search": {"reduction": 2, "grace_epochs": 1},
    "budget": {"trials": 8, "max_epochs": 4, "keep": 2},
    "seed": 3,
}


def toy_space(*, name: str = "toy", **sections: Any) -> Space:
    """The toy's space; mappings are merged into its sections, other values replace them."""
    mapping = {
        key: {**value} if isinstance(value, dict) else value for key, value in MAPPING.items()
    }
    for key, value in sections.items():
        mapping[key] = (
            {**mapping[key], **value} if isinstance(value, dict) and key in mapping else value
        )
    return space_from_mapping(mapping, name=name, file=f"{name}.yaml")


def toy_objective(space: Space) -> Objective:
    """Its objective; a bare function's space always has one."""
    assert space.objective is not None
    return space.objective


def value_at(values: dict[str, Any], epoch: int) -> float:
    """The score at an epoch: a pure function of the configuration."""
    skill = -abs(math.log10(values["lr"]) + 2.5) - abs(math.log(values["width"]) - 2) / 10
    if values["kind"] == "diverging" and epoch == 2:
        return math.inf
    slope = -0.2 if values["kind"] == "fading" else 0.1
    return skill + (slope + values.get("momentum", 0) / 10) * epoch


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """The bare generator function that a space names."""
    if config["kind"] == "silent":
        return
    for epoch in range(1, 100):
        if config["kind"] == "ending" and epoch == 3:
            return
        if config["kind"] == "crashing" and epoch == 3:
            raise RuntimeError("crashed in epoch 3")
        yield {"score": value_at(config, epoch)}


def run_trial(study: Study, trial: FrozenTrial) -> None:
    """Train a trial as an actor would: from its first epoch, as if there were no checkpoint."""
    try:
        for epoch, line in enumerate(train(study.job(trial).values), start=1):
            if not study.report(trial.number, epoch, line["score"]):
                return
    except RuntimeError as error:
        study.fail(trial.number, str(error))
    else:
        study.end(trial.number)


def drive(study: Study, trials: int | None = None) -> list[FrozenTrial]:
    """Run a study's trials one after the other to its end, or so many; gives them."""
    done: list[FrozenTrial] = []
    while (trials is None or len(done) < trials) and (trial := study.next_trial()) is not None:
        run_trial(study, trial)
        done.append(trial)
    return done


def open_study(folder: StudyFolder, space: Space, code: str | None = None) -> Study:
    return Study(folder, space, toy_objective(space), database=database_of(folder), code=code)


def database_of(folder: StudyFolder) -> Database | None:
    """What keeps the trials in the place of the folder's journal.

    Tests may put another function here.
    """
    return None


def written(study: Study) -> bytes | None:
    """The journal, if there is one."""
    return study.folder.journal.read_bytes() if study.folder.journal.exists() else None


def steady_space(**sections: Any) -> Space:
    parameters = {"kind": {"choice": ["steady", "fading"]}, **sections.pop("parameters", {})}
    return toy_space(
        **{"start": [], "search": {"scheduler": "none"}, **sections}, parameters=parameters
    )


def trial_of(study: Study, number: int) -> FrozenTrial:
    return study.trials()[number]


def told(study: Study) -> list[tuple[Any, ...]]:
    """Everything that a study says of its trials; NaN equals itself as text."""
    return [
        (
            trial.number,
            trial.state.name,
            trial.params,
            repr(trial.value),
            {epoch: repr(value) for epoch, value in trial.intermediate_values.items()},
            trial.user_attrs,
        )
        for trial in study.trials()
    ]


def states(study: Study) -> list[str]:
    return [trial.state.name for trial in study.trials()]


def rungs_of(study: Study) -> dict[int, dict[int, tuple[float, ...]]]:
    assert isinstance(study.scheduler, Halving)
    return study.scheduler.rungs


def make_checkpoint(study: Study, number: int) -> None:
    checkpoint = study.folder.trial(number).checkpoint
    checkpoint.mkdir(parents=True)
    (checkpoint / "last.pt").write_bytes(b"weights")


def checkpoints(study: Study) -> set[int]:
    return study.folder.checkpoints()
