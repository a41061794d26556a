"""A task as a user would write it, in the folder of a test, with or without a mistake in it."""

import sys
from pathlib import Path

SOURCE = """\
from dataclasses import dataclass, field

import torch
from torch import nn

from search_spaces import Objective
from trainables.parts.data import Splits, TensorSplit
from trainables.parts.optim import OptimConfig
from trainables.parts.tally import Mean
from trainables.task import Task


@dataclass(frozen=True, kw_only=True)
class Data:
    batch_size: int = 8
    noise: float = 0.1
    jitter: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Config:
    data: Data = field(default_factory=Data)
    optim: OptimConfig = field(default_factory=OptimConfig)


class Tally:
    def __init__(self):
        self.mean = Mean()

    def merge(self, other):
        self.mean.merge(other.mean)

    def compute(self):
        return {"error": self.mean.compute()}

    def details(self):
        return {}


class Line(Task):
    Config = Config
    objective = Objective(name="error", direction="minimize")

    def data(self, config, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(90, 1, generator=generator)
        y = 2 * x + config.data.noise * torch.randn(90, 1, generator=generator)
        train, validation = (TensorSplit(tensors={"x": x[r], "y": y[r]}) for r in ROWS)
        return Splits(train=train, validation=validation, test=lambda: validation)

    def model(self, config, splits):
        return nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))

    def augment(self, config, batch):
        return {**batch, "x": batch["x"] + config.data.jitter}

    def loss(self, config, model, batch):
        errors = (model(batch["x"]) - batch["y"]) ** 2
        return errors.mean(), errors

    def tally(self, config, splits):
        return Tally()

    def count(self, tally, outputs, batch):
        tally.mean.add(outputs.mean(), len(outputs))


ROWS = (slice(0, 60), slice(60, 90))
"""
SPACE = """\
task: mine:Line
parameters: {optim.lr: {float: [1.0e-4, 1.0e-1], log: true}}
budget: {trials: 2, max_epochs: 2}
"""


def write_task(folder: Path, *changes: tuple[str, str], space: str = SPACE) -> Path:
    """The task with each first text replaced by the second, and a space of it, which is given."""
    source = SOURCE
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} must be there once"
        source = source.replace(old, new)
    sys.modules.pop("mine", None)
    (folder / "mine.py").write_text(source)
    (folder / "mine.yaml").write_text(space)
    return folder / "mine.yaml"


def line_of(folder: Path, text: str) -> str:
    """`mine.py:7`, as a message names the line."""
    lines = (folder / "mine.py").read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, start=1) if text in line]
    return f"mine.py:{number}"
