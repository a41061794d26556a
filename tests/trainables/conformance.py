"""What the conformance suite needs of a task: values that make it tiny, and shorter data.

A new built-in task is added to the suite by a row in `TINY`.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.config import TaskError, build_config, flat_fields, flatten
from trainables.job import Job
from trainables.parts.data import Batch, Splits, TensorSplit
from trainables.task import BUILTIN_TASKS, Report, SplitsT, Task, load_task
from trainables.training import train

ROWS = 96
EPOCHS = 3
OVERFIT_ROWS = 16
OVERFIT_STEPS = 100

TINY: dict[str, dict[str, Any]] = {
    "gpt2_classifier": {
        "model.layers": 1,
        "model.width": 16,
        "model.heads": 2,
        "data.batch_size": 64,
        "optim.lr": 1e-2,
        "optim.scheduler": "constant",
    },
    "image_classifier": {
        "model.name": "convnext_tiny",
        "model.dims": (8, 8, 16, 16),
        "model.depths": (1, 1, 1, 1),
        "data.side": 32,
        "data.batch_size": 32,
        "data.paste_probability": 0.3,
        "data.overlay_probability": 0.5,
        "data.mirror_probability": 0.5,
        "data.mixup_alpha": 0.2,
        "optim.lr": 1e-2,
        "optim.scheduler": "constant",
    },
    "segmentation": {
        "data.side": 16,
        "data.scenes": 40,
        "data.batch_size": 16,
        "augment.blur": 0.0,
        "augment.crop": 0.5,
        "model.architecture": "unet",
        "model.width": 4,
        "model.unet_levels": 2,
        "optim.lr": 1e-2,
        "optim.scheduler": "constant",
    },
    "next_char": {
        "model.cell": "gru",
        "model.width": 16,
        "model.layers": 1,
        "data.characters": 60_000,
        "data.window": 48,
        "data.batch_size": 32,
        "optim.lr": 3e-2,
        "optim.scheduler": "constant",
    },
    "low_rank": {
        "model.rank": 4,
        "model.width": 16,
        "model.layers": 1,
        "model.heads": 2,
        "model.mixing": "none",
        "data.width": 32,
        "data.batch_size": 32,
        "optim.lr": 1e-2,
        "optim.scheduler": "constant",
    },
}
"""For each built-in task: values under which an epoch takes milliseconds and one batch is learned
in 100 steps."""

NO_CHANCE: dict[str, dict[str, Any]] = {
    "gpt2_classifier": {
        "model.dropout": 0.0,
        "model.attention_dropout": 0.0,
        "model.head_dropout": 0.0,
    },
    "image_classifier": {
        "data.paste_probability": 0.0,
        "data.overlay_probability": 0.0,
        "data.mirror_probability": 0.0,
        "data.mixup_alpha": 0.0,
    },
    "segmentation": {
        "augment.flip": 0.0,
        "augment.rotation_degrees": 0.0,
        "augment.crop": 1.0,
    },
    "next_char": {"model.dropout": 0.0},
    "low_rank": {},
}
"""For each built-in task: values under which nothing is drawn for a batch, beside those above.

Several workers draw each for themselves.
"""

HOST_READS: dict[str, dict[str, Any]] = defaultdict(dict) | {
    "image_classifier": {"data__mixup_alpha": 0.0},  # torchvision's MixUp draws on the host.
    "segmentation": {"loss__dice_weight": 0.0},  # F.one_hot looks at its input on a CPU alone.
}
"""Settings under which no step of a task reads a number from a tensor."""


aten = torch.ops.aten
READERS = (
    aten._local_scalar_dense.default,
    aten.bincount.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.nonzero.default,
)


class HostReads(TorchDispatchMode):
    """Counts how often the host needs a tensor's values, for which it would wait for a GPU."""

    reads = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        by_mask = func is aten.index.Tensor and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.reads += by_mask or func in READERS
        return func(*args, **(kwargs or {}))


def tiny_task(name: str, monkeypatch: pytest.MonkeyPatch) -> Task:
    """The built-in task, its splits cut to a few rows.

    Jobs that load it by its name see the same.
    """
    task = load_task(name)
    assert isinstance(task, Task)
    original = type(task).data
    shortened: dict[int, Splits] = {}

    def data(self: Task, config: Any, seed: int) -> Splits:
        splits = original(self, config, seed)
        return shortened.setdefault(id(splits), shorter(splits, ROWS))

    monkeypatch.setattr(type(task), "data", data)
    return task


def tiny_values(name: str) -> dict[str, Any]:
    assert name in TINY, (
        f"the built-in task {name!r} has no row in tests/trainables/conformance.py: add one to "
        "TINY, with values that make the task train an epoch in milliseconds"
    )
    return dict(TINY[name])


def tiny_config(name: str, **more: Any) -> Any:
    """The tiny config; `more` has `__` for the dot."""
    task = load_task(name)
    assert isinstance(task, Task)
    return build_config(
        task.Config,
        tiny_values(name) | {key.replace("__", "."): value for key, value in more.items()},
    )


def shorter(splits: SplitsT, rows: int) -> SplitsT:
    """The splits with at most so many rows each."""
    return replace(
        splits,
        train=first_rows(splits.train, rows),
        validation=first_rows(splits.validation, rows),
        test=lambda: first_rows(splits.test(), rows),
    )


def first_rows(split: TensorSplit, rows: int) -> TensorSplit:
    def cut(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[:rows]

    return replace(
        split,
        tensors={name: tensor[:rows] for name, tensor in split.tensors.items()},
        lengths_N=cut(split.lengths_N),
        weights_N=cut(split.weights_N),
    )


def curve(
    task: Task, config: Any, *, seed: int = 1, epochs: int = EPOCHS, **more: Any
) -> list[Report]:
    return list(train(task, config, seed=seed, max_epochs=epochs, **more))


def seen(reports: list[Report]) -> list[tuple[int, dict[str, str], dict[str, Any]]]:
    """Reports without their states, every float to its last bit."""
    return [
        (r.epoch, {name: float(v).hex() for name, v in r.metrics.items()}, r.details)
        for r in reports
    ]


def job_of(name: str, task: Task, folder: Path) -> Job:
    return Job(
        task=name,
        objective=task.objective,
        values=tiny_values(name),
        seed=3,
        split_seed=0,
        max_epochs=EPOCHS,
        folder=folder,
    )


def loss_weights(config: Any) -> dict[str, float]:
    """The numbers of a config's group `loss`, by their flat names."""
    kinds, values = flat_fields(type(config)), flatten(config)
    return {
        name: values[name] for name in values if name.startswith("loss.") and kinds[name] is float
    }


def with_loss_weights() -> list[str]:
    """The tasks that have loss weights."""
    return [name for name in NAMES if loss_weights(tiny_config(name))]


def with_other_loss_weights(config: Any) -> Any:
    """The config with each of its loss weights changed."""
    changed = {name: weight / 2 + 0.05 for name, weight in loss_weights(config).items()}
    return build_config(type(config), flatten(config) | changed)


def accepts(config_class: type, values: Mapping[str, Any]) -> bool:
    try:
        build_config(config_class, values)
    except TaskError:
        return False
    return True


def with_nan_from_epoch(task: Task, epoch: int) -> Task:
    """The task with a training loss that is NaN from that epoch on.

    Epochs are counted by the tallies that are made: one at the end of each.
    """

    class Broken(type(task)):  # type: ignore[misc]
        epochs_done = 0

        def tally(self, config: Any, splits: Splits) -> Any:
            self.epochs_done += 1
            return super().tally(config, splits)

        def loss(self, config: Any, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
            loss, outputs = super().loss(config, model, batch)
            broken = model.training and self.epochs_done >= epoch - 1
            return loss * (math.nan if broken else 1), outputs

    return Broken()


def rows_of(split: TensorSplit) -> Iterator[tuple[bytes, ...]]:
    """Each row's content, all tensors together."""
    tensors = [tensor.cpu().contiguous().numpy() for tensor in split.tensors.values()]
    for i in range(len(split)):
        yield tuple(tensor[i].tobytes() for tensor in tensors)


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def fresh_model(task: Task, config: Any, splits: Splits) -> nn.Module:
    torch.manual_seed(0)
    return task.model(config, splits)


NAMES = sorted(BUILTIN_TASKS)
