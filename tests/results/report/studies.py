"""Studies to report on, made in this process by the study code."""

import json
import math
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.search.study import Study
from results.study.description import Description
from results.study.folder import StudyFolder
from search_spaces import Space, space_from_mapping
from tests.results.report.searched import train

HOSTILE = (
    "</script><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'> "
    '& "%{x}" [bold] ✓'
)
PARAMETERS: dict[str, Any] = {
    "optim.lr": {"float": [1e-4, 1e-1], "log": True},
    "model.kind": {"choice": ["plain", "deep", HOSTILE]},
    "model.depth": {"int": [1, 9], "when": {"model.kind": "deep"}},
    "model.dropout": {"float": [0, 0.5]},
}
Score = Callable[[dict[str, Any], int, int], float]


def score(values: dict[str, Any], number: int, epoch: int) -> float:
    """Rises with the epochs; what it reaches follows from the configuration."""
    reached = 1 - abs(math.log10(values["optim.lr"]) + 2) / 4 - values["model.dropout"] / 5
    return reached * (1 - 0.7**epoch) + 0.01 * math.sin(9 * number + 5 * epoch)


def space(name: str = "studied", **sections: Any) -> Space:
    """A space of four parameters, one of them conditional.

    Mappings are merged into its sections.
    """
    mapping: dict[str, Any] = {
        "task": "tests.results.report.searched:train",
        "objective": {"maximize": "score"},
        "parameters": PARAMETERS,
        "fixed": {"data.path": "scenes/<b>"},
        "start": [
            {"optim.lr": 0.0001, "model.kind": "plain"},
            {"model.kind": "deep", "model.depth": 2},
        ],
        "search": {"sampler": "random", "reduction": 3, "grace_epochs": 2},
        "budget": {"trials": 24, "max_epochs": 18},
        "seed": 5,
    }
    for key, value in sections.items():
        merged = isinstance(value, dict) and key in ("search", "budget")
        mapping[key] = {**mapping[key], **value} if merged else value
    return space_from_mapping(mapping, name=name, file=f"{name}.yaml")


def open_study(path: Path, searched: Space) -> Study:
    """The study in a folder, described."""
    assert searched.objective is not None
    origin = {
        "command": "python launch.py",
        "begun": "2026-01-02",
        "versions": {"torch": "2.9"},
        "host": HOSTILE,
    }
    description = Description(
        space=searched, objective=searched.objective, import_paths=(), origin=origin
    )
    folder = StudyFolder(path)
    study = Study(folder, searched, searched.objective)
    description.write(folder)
    return study


def drive(
    study: Study, trials: int = 1000, value: Score = score, second: Score | None = None
) -> Study:
    """Run so many trials, or all; every seventh fails in its second epoch.

    Metrics are written as training would.
    """
    for _ in range(trials):
        trial = study.next_trial()
        if trial is None:
            break
        lines: list[str] = []
        for epoch in range(1, study.space.budget.max_epochs + 1):
            if trial.number % 7 == 5 and epoch == 2:
                study.fail(trial.number, f"{HOSTILE} trial {trial.number}")
                break
            reached = value(trial.params, trial.number, epoch)
            beside = second(trial.params, trial.number, epoch) if second else None
            metrics = {"score": reached, "loss": 1 - reached}
            lines.append(json.dumps({"epoch": epoch, "seconds": 0.5, "metrics": metrics}))
            if not study.report(trial.number, epoch, reached, beside):
                break
        folder = study.folder.trial(trial.number)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.metrics.write_text("\n".join(lines) + "\n")
    return study


def unimportable() -> types.ModuleType:
    """A module that exists only while a study is made."""
    module = types.ModuleType("gone_task")
    vars(module)["train"] = train
    return module
