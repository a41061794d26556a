"""Optimizer settings, parameter groups and learning-rate schedules: plain functions of the step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from trainables.config import require

SchedulerName = Literal["constant", "warmup_cosine", "cosine_restarts", "one_cycle"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """How a model is optimized: AdamW in two groups, a schedule over the full budget, clipping, accumulation."""

    lr: float = 5e-5
    """Peak learning rate of the backbone."""
    head_lr_mult: float = 1.0
    """The head's learning rate is lr times this."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    decay_norms: bool = False
    """Whether biases, norms and other vectors are decayed too."""
    scheduler: SchedulerName = "warmup_cosine"
    """Shape of the learning rate over the run."""
    warmup_ratio: float = 0.2
    """Share of all steps spent warming up (at least 10 steps); used by warmup_cosine and one_cycle."""
    restart_epochs: int = 20
    """Length of one cosine, in epochs; used by cosine_restarts."""
    clip_norm: float = 0.0
    """Gradients are clipped to this global norm; 0 = no clipping."""
    accumulation: int = 1
    """Batches whose gradients are averaged into one step."""
    freeze_epochs: int = 0
    """First epochs in which only the head is trained."""
    amp: bool = True
    """bfloat16 autocast on GPUs that have it; never on the CPU."""

    def __post_init__(self) -> None:
        require(self.lr > 0, "lr must be positive", lr=self.lr)
        require(self.head_lr_mult > 0, "head_lr_mult must be positive", head_lr_mult=self.head_lr_mult)
        require(self.weight_decay >= 0, "weight_decay must not be negative", weight_decay=self.weight_decay)
        require(0 <= self.warmup_ratio < 1, "warmup_ratio must be in [0, 1)", warmup_ratio=self.warmup_ratio)
        require(self.restart_epochs >= 1, "restart_epochs must be at least 1", restart_epochs=self.restart_epochs)
        require(self.clip_norm >= 0, "clip_norm must not be negative", clip_norm=self.clip_norm)
        require(self.accumulation >= 1, "accumulation must be at least 1", accumulation=self.accumulation)
        require(self.freeze_epochs >= 0, "freeze_epochs must not be negative", freeze_epochs=self.freeze_epochs)


def warmup_cosine(step: int, *, total: int, warmup: int) -> float:
    """Linear rise over `warmup` steps, then half a cosine to 0 at step `total`; a factor of the peak rate."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))


def cosine_restarts(step: int, *, period: int) -> float:
    """Half a cosine from 1 to 0 every `period` steps (SGDR, https://arxiv.org/abs/1608.03983, T_mult = 1)."""
    return 0.5 * (1 + math.cos(math.pi * (step % period) / period))


def one_cycle(step: int, *, total: int, warmup: int, start: float = 1 / 25, end: float = 1e-4) -> float:
    """A cosine rise from `start` to 1 over `warmup` steps, then a cosine fall to `end` (https://arxiv.org/abs/1708.07120)."""
    if step < warmup:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * step / warmup))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))


def lr_factor(optim: OptimConfig, step: int, *, steps_per_epoch: int, max_epochs: int) -> float:
    """The factor of the peak rate at `step` (0-based) of a run of `max_epochs` epochs."""
    total = steps_per_epoch * max_epochs
    warmup = min(max(10, int(optim.warmup_ratio * total)), total // 2)
    match optim.scheduler:
        case "constant":
            return 1.0
        case "warmup_cosine":
            return warmup_cosine(step, total=total, warmup=warmup)
        case "cosine_restarts":
            return cosine_restarts(step, period=steps_per_epoch * optim.restart_epochs)
        case "one_cycle":
            return one_cycle(step, total=total, warmup=warmup)


def parameter_groups(model: nn.Module, head: Iterable[nn.Parameter], optim: OptimConfig) -> list[dict]:
    """AdamW groups: {backbone, head} x {decayed, not decayed}; every trainable parameter is in exactly one of them."""
    head_ids = {id(parameter) for parameter in head}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        decayed = optim.decay_norms or parameter.ndim > 1
        groups.setdefault((id(parameter) in head_ids, decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": optim.lr * (optim.head_lr_mult if is_head else 1.0),
            "weight_decay": optim.weight_decay if decayed else 0.0,
        }
        for (is_head, decayed), parameters in groups.items()
    ]


def adamw(model: nn.Module, head: Iterable[nn.Parameter], optim: OptimConfig) -> torch.optim.Optimizer:
    """Fused AdamW over `parameter_groups`; each group remembers its peak rate as `peak_lr`."""
    optimizer = torch.optim.AdamW(parameter_groups(model, head, optim), fused=True)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    return optimizer
