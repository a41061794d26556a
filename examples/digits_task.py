"""The same as a Task: checkpoints, schedules, mixed precision and several workers come with it.

python launch.py --space examples/digits_task.yaml
"""

from dataclasses import dataclass, field
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from search_spaces import Objective
from trainables.parts.data import Batch, Splits, split_tensors
from trainables.parts.optim import OptimConfig
from trainables.parts.tally import ClassificationTally
from trainables.task import Task


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    batch_size: int = 32


@dataclass(frozen=True, kw_only=True)
class DigitsConfig:
    width: int = 64
    dropout: float = 0.2
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)


@cache  # Called for every trial; a process reads the data once.
def digits(seed: int) -> Splits:
    images, labels = load_digits(return_X_y=True)
    tensors = {"images": torch.tensor(images / 16).float(), "labels": torch.tensor(labels)}
    return split_tensors(tensors, seed, stratify_by="labels")


class Digits(Task[DigitsConfig]):
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
