"""Small real studies of tasks that keep checkpoints, trained in this process without Ray."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from cluster.search.study import Study
from results.study.description import Description
from results.study.folder import StudyFolder
from results.study.record import StudyRecord, read_study
from search_spaces import space_from_mapping
from trainables.accepting import accept
from trainables.job import run
from trainables.user_code.importing import import_from

optuna.logging.set_verbosity(optuna.logging.ERROR)

USER_TASK = '''
from dataclasses import dataclass, field

import torch
from torch import nn

from search_spaces import Objective
from trainables.parts.data import Splits, TensorSplit
from trainables.parts.optim import OptimConfig
from trainables.parts.tally import Mean
from trainables.task import Task


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    batch_size: int = 8


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    width: int = 4


@dataclass(frozen=True, kw_only=True)
class Config:
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)


class Tied(nn.Module):
    """The output shares the embedding's weights, as GPT-2's does; one buffer is no tensor."""

    def __init__(self, width):
        super().__init__()
        self.embedding, self.output = nn.Embedding(8, width), nn.Linear(width, 8, bias=False)
        self.output.weight = self.embedding.weight
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).T)
        self.scale = 1.0

    def get_extra_state(self):
        return {"scale": self.scale, "names": ["a", None]}

    def set_extra_state(self, state):
        self.scale = state["scale"]

    def forward(self, tokens):
        self.scale = 2.0 if self.training else self.scale
        return self.output(self.embedding(tokens)) * self.scale


class CountTally:
    def __init__(self):
        self.mean = Mean()

    def merge(self, other):
        self.mean.merge(other.mean)

    def compute(self):
        return {"error": self.mean.compute()}

    def details(self):
        return {}


class UserTask(Task):
    """Tokens that are to follow each other."""

    Config = Config
    objective = Objective(name="error", direction="minimize")

    def data(self, config, seed):
        split = TensorSplit(tensors={"tokens": torch.arange(8), "next": (torch.arange(8) + 1) % 8})
        return Splits(train=split, validation=split, test=lambda: split)

    def model(self, config, splits):
        return Tied(config.model.width)

    def loss(self, config, model, batch):
        logits = model(batch["tokens"])
        return nn.functional.cross_entropy(logits, batch["next"]), logits

    def tally(self, config, splits):
        return CountTally()

    def count(self, tally, outputs, batch):
        tally.mean.add((outputs.argmax(-1) != batch["next"]).float().mean(), len(outputs))
'''


def task_study(
    path: Path,
    task: str,
    fixed: Mapping[str, Any],
    *,
    trials: int = 1,
    max_epochs: int = 1,
    keep: int = 3,
    import_paths: tuple[str, ...] = (),
) -> StudyRecord:
    """A finished study of a task over its learning rate."""
    mapping = {
        "task": task,
        "parameters": {"optim.lr": {"float": [1e-3, 1e-2], "log": True}},
        "fixed": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fixed.items()
            if name != "optim.lr"
        },
        "search": {"scheduler": "none"},
        "budget": {"trials": trials, "max_epochs": max_epochs, "keep": keep},
    }
    import_from(import_paths)
    space = space_from_mapping(mapping, name="tiny", file="tiny.yaml")
    objective, folder = accept(space), StudyFolder(path)
    study = Study(folder, space, objective, import_paths)
    Description(
        space=space, objective=objective, import_paths=import_paths, origin={"commit": "abc"}
    ).write(folder)
    while (trial := study.next_trial()) is not None:
        for report in run(study.job(trial)):
            study.report(trial.number, report.epoch, report.metrics[objective.name])
    return read_study(folder)


def user_study(path: Path, **options: Any) -> StudyRecord:
    """The same of a task in a folder of its own, which only `import_paths` names."""
    code = path.parent / "my code"
    code.mkdir(exist_ok=True)
    (code / "user_task.py").write_text(USER_TASK)
    return task_study(
        path, "user_task:UserTask", {}, max_epochs=2, import_paths=(str(code),), **options
    )
