"""The same as a Task: checkpoints, schedules, mixed precision and several workers come with it.

python launch.py --space examples/digits_task.yaml
"""

from dataclasses import dataclass, field
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from search_spaces import Objective
from trainables.parts.data import SPLIT_NAMES, Batch, Splits, TensorSplit, stratified_split
from trainables.parts.optim import OptimConfig
from trainables.parts.tally import ClassificationTally
from trainables.task import Task


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """A task's batches are of `data.batch_size` samples."""

    batch_size: int = 32


@dataclass(frozen=True, kw_only=True)
class DigitsConfig:
    """What can be searched."""

    width: int = 64
    dropout: float = 0.2
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)


@cache
def digits(seed: int) -> Splits:
    """Handwritten digits, read once by each process."""
    images, labels = load_digits(return_X_y=True)
    tensors = {"images": torch.tensor(images / 16).float(), "labels": torch.tensor(labels)}
    rows = dict(zip(SPLIT_NAMES, stratified_split(labels.tolist(), seed), strict=True))
    train, validation, test = (
        TensorSplit(tensors={key: tensor[rows[name]] for key, tensor in tensors.items()})
        for name in SPLIT_NAMES
    )
    return Splits(train=train, validation=validation, test=lambda: test)


class Digits(Task):
    """Reads a digit from 64 grey values."""

    Config = DigitsConfig
    objective = Objective(name="accuracy", direction="maximize")

    def data(self, config: DigitsConfig, seed: int) -> Splits:
        return digits(seed)

    def model(self, config: DigitsConfig, splits: Splits) -> nn.Module:
        hidden = [nn.Linear(64, config.width), nn.ReLU(), nn.Dropout(config.dropout)]
        return nn.Sequential(*hidden, nn.Linear(config.width, 10))

    def loss(self, config: DigitsConfig, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        logits_BC = model(batch["images"])
        return nn.functional.cross_entropy(logits_BC, batch["labels"]), logits_BC

    def tally(self, config: DigitsConfig, splits: Splits) -> ClassificationTally:
        return ClassificationTally(classes=10)

    def count(self, tally: ClassificationTally, logits_BC: Tensor, batch: Batch) -> None:
        tally.update(logits_BC, batch["labels"])
