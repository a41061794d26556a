"""Trainables for searches that are over in seconds; each does what its parameter `kind` says."""

import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces import Objective
from trainables.parts.data import Batch, Splits, TensorSplit
from trainables.parts.optim import OptimConfig
from trainables.parts.tally import Mean
from trainables.task import Task


def train(config: dict[str, Any], *, folder: Path) -> Iterator[dict[str, float]]:
    """Rising scores; or a NaN, an exception, an early end, a death of the process in epoch 2."""
    if config.get("note_node"):
        note_node(folder)
    first = 1 + len((folder / "epochs.txt").read_text()) if (folder / "epochs.txt").exists() else 1
    for epoch in range(first, 10):
        time.sleep(config.get("epoch_s", 0.0))
        if config["kind"] == "wants_a_whole_gpu" and gpus_of_this_process() < 1:
            misbehave("out_of_gpu_memory", folder)
        if epoch == 2:
            if config["kind"] == "not_a_number":
                yield {"score": math.nan}
            if config["kind"] == "ends":
                return
            misbehave(config["kind"], folder)
        if config.get("note_node"):
            with (folder / "epochs.txt").open("a") as file:
                file.write(".")
        yield {"score": config["x"] * epoch, "epoch": epoch}


def note_node(folder: Path) -> None:
    """Leave word of which node of the cluster this is."""
    import ray

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "node.txt").open("a") as file:
        file.write(ray.get_runtime_context().get_node_id() + "\n")


def gpus_of_this_process() -> float:
    """What Ray has given it."""
    import ray

    return float(ray.get_runtime_context().get_assigned_resources().get("GPU", 0))


def misbehave(kind: str, folder: Path) -> None:
    """Raise, or kill this process: once, or each time."""
    if kind == "raises":
        raise RuntimeError("planned failure")
    if kind == "out_of_gpu_memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    if kind == "eats_memory":
        eaten = [bytearray(os.urandom(2**20) * 64) for _ in range(1000)]
        raise AssertionError(f"{len(eaten)} blocks were eaten, and nobody minded")
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "dies_once" and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class LineData:
    batch_size: int = 16
    epoch_s: float = 0.0
    """How long an epoch takes."""
    kind: str = "good"
    """`dies_once` kills the process in epoch 3, the first time."""
    log: Path | None = None
    """Where each epoch that is trained leaves a line."""


@dataclass(frozen=True, kw_only=True)
class LineConfig:
    data: LineData = field(default_factory=LineData)
    optim: OptimConfig = field(default_factory=OptimConfig)


class Line(Task):
    """A line through noisy points: a real task, with checkpoints, that trains in no time."""

    Config = LineConfig
    objective = Objective(name="error", direction="minimize")

    def data(self, config: LineConfig, seed: int) -> Splits:
        return points(seed)

    def model(self, config: LineConfig, splits: Splits) -> nn.Module:
        return nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.1), nn.Linear(8, 1))

    def loss(self, config: LineConfig, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        error = (model(batch["x"]) - batch["y"]).square().mean()
        return error, error

    def tally(self, config: LineConfig, splits: Splits) -> "ErrorTally":
        time.sleep(config.data.epoch_s)
        if config.data.log is not None:
            with config.data.log.open("a") as file:
                file.write(f"{config.optim.lr!r}\n")
            died = config.data.log.with_name(f"died-{config.optim.lr!r}")
            if config.data.kind == "dies_once" and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return ErrorTally()

    def count(self, tally: "ErrorTally", outputs: Tensor, batch: Batch) -> None:
        tally.mean.add(outputs, len(batch["x"]))


class ErrorTally:
    def __init__(self) -> None:
        self.mean = Mean()

    def merge(self, other: "ErrorTally") -> None:
        self.mean.merge(other.mean)

    def compute(self) -> dict[str, float]:
        return {"error": self.mean.compute()}

    def details(self) -> dict[str, Any]:
        return {}


@lru_cache
def points(seed: int) -> Splits:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(96, 1, generator=generator)
    y = 2 * x - 1 + 0.1 * torch.randn(96, 1, generator=generator)
    parts = [TensorSplit(tensors={"x": x[i : i + 32], "y": y[i : i + 32]}) for i in (0, 32, 64)]
    return Splits(train=parts[0], validation=parts[1], test=lambda: parts[2])
