"""Optimizer settings, parameter groups and learning-rate schedules: plain functions of the step."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from trainables.config import require

Tensors = tuple[Tensor, ...] | list[Tensor]
SchedulerName = Literal[
    "constant", "warmup_cosine", "cosine", "cosine_restarts", "one_cycle", "plateau"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """How a model is optimized: AdamW in groups, a schedule over the full budget, clipping, accumulation, averaging."""

    lr: float = 5e-5
    """Peak learning rate of the backbone."""
    head_lr_mult: float = 1.0
    """The head's learning rate is lr times this."""
    layer_decay: float = 1.0
    """Each layer's learning rate is this times that of the layer above it; 1 = all alike."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    decay_norms: bool = False
    """Whether biases, norms and other vectors are decayed too."""
    scheduler: SchedulerName = "warmup_cosine"
    """Shape of the learning rate over the run."""
    warmup_ratio: float = 0.2
    """Share of all steps spent warming up (at least 10 steps); used by warmup_cosine and
    one_cycle."""
    restart_epochs: int = 20
    """Length of one cosine, in epochs; used by cosine_restarts."""
    plateau_epochs: int = 5
    """Epochs without a better objective that plateau waits for before it lowers the learning
    rate."""
    plateau_factor: float = 0.1
    """What plateau multiplies the learning rate by."""
    patience_epochs: int = 0
    """Training ends after so many epochs without a better objective; 0 = never."""
    clip_norm: float = 0.0
    """Gradients are clipped to this global norm; 0 = no clipping."""
    accumulation: int = 1
    """Batches whose gradients are averaged into one step."""
    freeze_epochs: int = 0
    """First epochs in which only the head is trained."""
    ema_decay: float = 0.0
    """What is evaluated and kept is a moving average of the weights with this decay a step; 0 = the
    weights."""
    amp: bool = True
    """bfloat16 autocast on GPUs that have it; never on the CPU."""
    compile: bool = False
    """Compile the model by torch.compile: slow in the first steps, faster in all others."""

    def __post_init__(self) -> None:
        require(self.lr > 0, "lr must be positive", lr=self.lr)
        require(
            self.head_lr_mult > 0, "head_lr_mult must be positive", head_lr_mult=self.head_lr_mult
        )
        require(
            0 < self.layer_decay <= 1, "layer_decay must be in (0, 1]", layer_decay=self.layer_decay
        )
        require(
            self.weight_decay >= 0,
            "weight_decay must not be negative",
            weight_decay=self.weight_decay,
        )
        require(
            0 <= self.warmup_ratio < 1,
            "warmup_ratio must be in [0, 1)",
            warmup_ratio=self.warmup_ratio,
        )
        require(
            self.restart_epochs >= 1,
            "restart_epochs must be at least 1",
            restart_epochs=self.restart_epochs,
        )
        require(
            self.plateau_epochs >= 0,
            "plateau_epochs must not be negative",
            plateau_epochs=self.plateau_epochs,
        )
        require(
            0 < self.plateau_factor < 1,
            "plateau_factor must be in (0, 1)",
            plateau_factor=self.plateau_factor,
        )
        require(
            self.patience_epochs >= 0,
            "patience_epochs must not be negative",
            patience_epochs=self.patience_epochs,
        )
        require(self.clip_norm >= 0, "clip_norm must not be negative", clip_norm=self.clip_norm)
        require(
            self.accumulation >= 1,
            "accumulation must be at least 1",
            accumulation=self.accumulation,
        )
        require(
            self.freeze_epochs >= 0,
            "freeze_epochs must not be negative",
            freeze_epochs=self.freeze_epochs,
        )
        require(0 <= self.ema_decay < 1, "ema_decay must be in [0, 1)", ema_decay=self.ema_decay)


def unused_settings(optim: OptimConfig) -> set[str]:
    """The names of settings that have no effect under this schedule."""
    readers = {
        "warmup_ratio": optim.scheduler in ("warmup_cosine", "one_cycle"),
        "restart_epochs": optim.scheduler == "cosine_restarts",
        "plateau_epochs": optim.scheduler == "plateau",
        "plateau_factor": optim.scheduler == "plateau",
    }
    return {name for name, is_read in readers.items() if not is_read}


def warmup_cosine(step: int, *, total: int, warmup: int) -> float:
    """Linear rise over `warmup` steps, then half a cosine to 0 at step `total`.

    A factor of the peak rate.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))


def cosine_restarts(step: int, *, period: int) -> float:
    """Half a cosine from 1 to 0 every `period` steps (SGDR, https://arxiv.org/abs/1608.03983, T_mult = 1)."""
    return 0.5 * (1 + math.cos(math.pi * (step % period) / period))


def one_cycle(
    step: int, *, total: int, warmup: int, start: float = 1 / 25, end: float = 1e-3
) -> float:
    """A cosine rise from `start` to 1 over `warmup` steps, then a cosine fall to `end` (https://arxiv.org/abs/1708.07120)."""
    if step < warmup:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * step / warmup))
    return end + (1 - end) * 0.5 * (
        1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup)))
    )


def plateau(scores: Iterable[float], *, patience: int, factor: float) -> float:
    """`factor` to the power of how often `scores` went more than `patience` epochs without a new highest one."""
    best, waited, rate = -math.inf, 0, 1.0
    for score in scores:
        best, waited = (score, 0) if score > best else (best, waited + 1)
        if waited > patience:
            rate, waited = rate * factor, 0
    return rate


def epochs_since_best(scores: Sequence[float]) -> int:
    """How many epochs have passed since the highest score (of equals the first)."""
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


def lr_factor(
    optim: OptimConfig,
    step: int,
    *,
    steps_per_epoch: int,
    max_epochs: int,
    scores: Sequence[float] = (),
) -> float:
    """The factor of the peak rate at `step` (0-based) of a run of `max_epochs` epochs.

    `scores` are the objective's values after each epoch so far, larger being better.
    """
    total = steps_per_epoch * max_epochs
    warmup = min(max(10, int(optim.warmup_ratio * total)), total // 2)
    match optim.scheduler:
        case "constant":
            return 1.0
        case "warmup_cosine":
            return warmup_cosine(step, total=total, warmup=warmup)
        case "cosine":
            return warmup_cosine(step, total=total, warmup=0)
        case "cosine_restarts":
            return cosine_restarts(step, period=steps_per_epoch * optim.restart_epochs)
        case "one_cycle":
            return one_cycle(step, total=total, warmup=warmup)
        case "plateau":
            return plateau(scores, patience=optim.plateau_epochs, factor=optim.plateau_factor)


def parameter_groups(
    model: nn.Module,
    optim: OptimConfig,
    *,
    head: Iterable[nn.Parameter] = (),
    layers: Sequence[Iterable[nn.Parameter]] = (),
) -> list[dict[str, Any]]:
    """AdamW groups by learning rate and decay; every trainable parameter is in exactly one of them.

    Args:
        model: What is trained.
        optim: The settings.
        head: The parameters at `lr x head_lr_mult`.
        layers: The others by depth, the input's first; the last of them is one step of
            `layer_decay` below `lr`.
    """
    depths = enumerate(layers)
    scales = {
        id(p): optim.layer_decay ** (len(layers) - depth) for depth, layer in depths for p in layer
    }
    scales |= {id(parameter): optim.head_lr_mult for parameter in head}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decayed = optim.decay_norms or parameter.ndim > 1
            groups.setdefault((scales.get(id(parameter), 1.0), decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": optim.lr * scale,
            "weight_decay": optim.weight_decay if decayed else 0.0,
        }
        for (scale, decayed), parameters in groups.items()
    ]


def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Fused AdamW over `parameter_groups`; each group remembers its peak rate as `peak_lr`."""
    optimizer = torch.optim.AdamW(groups, fused=True)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    return optimizer


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of the model that follows its weights and buffers; `update_parameters(model)` after each step.

    The decay begins low, min(decay, (1 + steps) / (10 + steps)), so that the first weights are soon
    forgotten (as in TensorFlow's ExponentialMovingAverage and timm's ModelEmaV3).
    """

    @torch.no_grad()
    def follow(averages: Tensors, currents: Tensors, steps: Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, currents, share)
        else:
            torch._foreach_copy_(averages, currents)

    return AveragedModel(model, multi_avg_fn=follow, use_buffers=True)
