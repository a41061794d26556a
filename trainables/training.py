"""The one training loop: a generator that yields a `Report` after each epoch."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from trainables.data import Batch, Splits, TensorSplit
from trainables.optim import OptimConfig, adamw, lr_factor
from trainables.seeding import derive_seed, seed_everything
from trainables.tally import Mean
from trainables.task import Report, Task

FINITE_CHECK_STEPS = 50


def train(
    task: Task,
    config: Any,
    *,
    seed: int,
    split_seed: int = 0,
    device: torch.device | None = None,
    max_epochs: int,
    resume_from: dict[str, Any] | None = None,
) -> Iterator[Report]:
    """Train by `config` to `max_epochs`, yielding after each epoch; the caller stops it by not asking for more.

    Every epoch seeds its random streams anew from `seed` and its number, so a run that goes on from a saved state
    gives the same curve as one that was never interrupted. A loss that is no longer finite, in training or in
    validation, ends the training with a last report whose objective is NaN.

    Args:
        task: What to train.
        config: An instance of `task.Config`.
        seed: Of the initial weights, the order of samples and dropout.
        split_seed: Of the data's splits.
        device: Default: the CPU.
        max_epochs: Length of the learning-rate schedule, and the last epoch.
        resume_from: What a report's `state()` gave: training goes on with the epoch after it.
    """
    device = device or torch.device("cpu")
    optim: OptimConfig = config.optim
    splits = on_device(task.data(config, split_seed), device)
    seed_everything(derive_seed(seed, "model"))
    model = task.model(config, splits).to(device)
    optimizer = adamw(model, task.head(model), optim)
    first_epoch = 1
    if resume_from is not None:
        model.load_state_dict(resume_from["model"])
        optimizer.load_state_dict(resume_from["optimizer"])
        first_epoch = resume_from["epoch"] + 1

    for epoch in range(first_epoch, max_epochs + 1):
        seed_everything(derive_seed(seed, "epoch", epoch))
        freeze(model, task.head(model), frozen=epoch <= optim.freeze_epochs)
        train_loss = train_epoch(task, config, model, optimizer, splits.train, epoch, max_epochs)
        if not math.isfinite(train_loss):
            yield Report(epoch=epoch, metrics={task.objective.name: math.nan, "train_loss": train_loss})
            return
        metrics, details = evaluate(task, config, model, splits, splits.validation)
        if not math.isfinite(metrics["validation_loss"]):  # the last step broke the weights
            yield Report(epoch=epoch, metrics={**metrics, task.objective.name: math.nan, "train_loss": train_loss})
            return
        yield Report(
            epoch=epoch,
            metrics={**metrics, "train_loss": train_loss, "lr": optimizer.param_groups[0]["lr"]},
            details=details,
            state=lambda epoch=epoch: {  # type: ignore[misc]
                "epoch": epoch,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
            },
        )


def train_epoch(
    task: Task,
    config: Any,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    split: TensorSplit,
    epoch: int,
    max_epochs: int,
) -> float:
    """One pass over the training split; gives the mean loss, or NaN as soon as a loss is not finite."""
    optim: OptimConfig = config.optim
    batches = math.ceil(len(split) / config.data.batch_size)
    steps_per_epoch = math.ceil(batches / optim.accumulation)
    shuffle = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    step = (epoch - 1) * steps_per_epoch
    mean = Mean()
    model.train()
    for i, batch in zip(count(1), split.batches(config.data.batch_size, shuffle=shuffle), strict=False):
        batch = to_device(batch, model)
        with autocast(model, optim.amp):
            loss, _ = task.loss(config, model, batch)
        mean.add(loss.float(), rows(batch))
        (loss / accumulated(i, batches, optim.accumulation)).backward()
        if i % optim.accumulation == 0 or i == batches:
            factor = lr_factor(optim, step, steps_per_epoch=steps_per_epoch, max_epochs=max_epochs)
            optimizer_step(model, optimizer, factor, optim.clip_norm)
            step += 1
        if i % FINITE_CHECK_STEPS == 0 and not math.isfinite(mean.compute()):
            break
    return mean.compute()


def accumulated(batch_number: int, batches: int, accumulation: int) -> int:
    """How many batches share the step that batch `batch_number` (from 1) belongs to; the last step may have fewer."""
    group_start = (batch_number - 1) // accumulation * accumulation
    return min(accumulation, batches - group_start)


def optimizer_step(model: nn.Module, optimizer: torch.optim.Optimizer, factor: float, clip_norm: float) -> None:
    """Clip, step at `factor` of each group's peak rate, and clear the gradients."""
    if clip_norm > 0:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def evaluate(
    task: Task, config: Any, model: nn.Module, splits: Splits, split: TensorSplit
) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics and details of a split; leaves the model in evaluation mode."""
    model.eval()
    tally, mean = task.tally(config, splits), Mean()
    for batch in split.batches(config.data.batch_size):
        batch = to_device(batch, model)
        with autocast(model, config.optim.amp):
            loss, outputs = task.loss(config, model, batch)
        mean.add(loss.float(), rows(batch))
        task.count(tally, outputs, batch)
    return {**tally.compute(), "validation_loss": mean.compute()}, tally.details()


def freeze(model: nn.Module, head: list[nn.Parameter], *, frozen: bool) -> None:
    """Let only the head learn, or everything."""
    head_ids = {id(parameter) for parameter in head}
    for parameter in model.parameters():
        parameter.requires_grad_(not frozen or id(parameter) in head_ids)


def autocast(model: nn.Module, wanted: bool) -> AbstractContextManager[Any]:
    """bfloat16 autocast where the model's device computes in it natively; else nothing."""
    device = _device(model)
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted and native)


def rows(batch: Batch) -> int:
    """How many samples a batch holds."""
    return len(next(iter(batch.values())))


def to_device(batch: Batch, model: nn.Module) -> dict[str, Tensor]:
    """The batch on the model's device (the same tensors where they are there already)."""
    device = _device(model)
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


@lru_cache(maxsize=2)
def on_device(splits: Splits, device: torch.device) -> Splits:
    """The splits with training and validation data on a GPU, when they take at most half of its free memory."""
    if device.type != "cuda":
        return splits
    tensors = [*splits.train.tensors.values(), *splits.validation.tensors.values()]
    free_bytes, _ = torch.cuda.mem_get_info(device)
    if sum(tensor.nbytes for tensor in tensors) > free_bytes / 2:
        return splits
    return splits.moved(device)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
