"""Optimizer settings, parameter groups and learning-rate schedules: plain functions of the step."""

import copy
import inspect
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainables.config import at_least, below_one, fraction, positive, require, up_to

OptimizerName = Literal[
    "adamw",
    "adam",
    "nadamw",
    "radam",
    "adan",
    "adopt",
    "lamb",
    "lion",
    "muon",
    "adafactor",
    "rmsprop",
    "sgd",
]
SchedulerName = Literal[
    "constant", "warmup_cosine", "cosine", "cosine_restarts", "one_cycle", "plateau", "step"
]

OPTIMIZER_SETTINGS: dict[OptimizerName, set[str]] = {
    "adamw": {"beta1", "beta2", "eps"},
    "adam": {"beta1", "beta2", "eps"},
    "nadamw": {"beta1", "beta2", "eps"},
    "radam": {"beta1", "beta2", "eps"},
    "adan": {"beta1", "beta2", "eps"},
    "adopt": {"beta1", "beta2", "eps"},
    "lamb": {"beta1", "beta2", "eps"},
    "lion": {"beta1", "beta2"},
    "muon": {"beta1", "beta2", "eps", "momentum"},
    "adafactor": {"eps"},
    "rmsprop": {"eps", "momentum"},
    "sgd": {"momentum"},
}
"""Which of the settings that not all have each optimizer uses."""

SCHEDULER_SETTINGS: dict[SchedulerName, set[str]] = {
    "constant": set(),
    "warmup_cosine": {"warmup_ratio", "min_lr"},
    "cosine": {"min_lr"},
    "cosine_restarts": {"restart_epochs", "restart_factor", "min_lr"},
    "one_cycle": {"warmup_ratio", "cycle_momentum"},
    "plateau": {"plateau_epochs", "plateau_factor"},
    "step": {"step_epochs", "step_factor"},
}
"""Which of the settings that not all have each schedule uses."""

MOMENTUMS = {"beta1", "momentum"}
"""Settings that cycle_momentum takes the place of."""

NOT_EVALUATED = -math.inf
"""Stands among the scores for an epoch after which the model was not evaluated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """How a model is optimized, and how often it is evaluated on the way."""

    optimizer: OptimizerName = "adamw"
    """PyTorch's or timm's optimizer of that name."""
    momentum: float = 0.9
    """Momentum of sgd (Nesterov's), rmsprop and muon; 0 = none."""
    beta1: float | None = None
    """Decay of the running mean of gradients, where the optimizer has one; null = its default."""
    beta2: float | None = None
    """Decay of the running mean of squares, where the optimizer has one; null = its default."""
    eps: float | None = None
    """What keeps the optimizer from dividing by 0; null = its default."""
    lr: float = 5e-5
    """Peak learning rate of the backbone."""
    head_lr_mult: float = 1.0
    """The head's learning rate is lr times this."""
    layer_decay: float = 1.0
    """Each layer's learning rate is this times that of the layer above it; 1 = all alike."""
    weight_decay: float = 0.01
    """Weight decay; decoupled from the gradients in all but adam, radam, adopt, rmsprop, sgd."""
    decay_norms: bool = False
    """Whether all is decayed: biases, norms, other vectors, and what `no_weight_decay` names."""
    scheduler: SchedulerName = "warmup_cosine"
    """Shape of the learning rate over the run."""
    warmup_ratio: float = 0.2
    """Share of all steps spent warming up (at least 10 steps); used by warmup_cosine and
    one_cycle."""
    cycle_momentum: bool = False
    """Whether one_cycle also moves beta1 and momentum, from 0.95 to 0.85 at the peak and back, as
    PyTorch's OneCycleLR does by default."""
    restart_epochs: int = 20
    """Length of the first cosine, in epochs; used by cosine_restarts."""
    restart_factor: int = 1
    """What cosine_restarts multiplies the length by at each restart."""
    min_lr: float = 0.0
    """Where the cosine of warmup_cosine, cosine and cosine_restarts ends; of a part with another
    peak than lr, the same share of its peak."""
    monitor: Literal["objective", "validation_loss"] = "objective"
    """What plateau and patience_epochs go by."""
    plateau_epochs: int = 5
    """Epochs without a better value that plateau waits for before it lowers the learning rate."""
    plateau_factor: float = 0.1
    """What plateau multiplies the learning rate by."""
    step_epochs: int = 10
    """Epochs after which step lowers the learning rate, again and again."""
    step_factor: float = 0.1
    """What step multiplies the learning rate by."""
    evaluate_every: int = 1
    """Epochs from one evaluation to the next; the last epoch is always evaluated."""
    patience_epochs: int = 0
    """Training ends after so many epochs without a better value; 0 = never."""
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
    """Autocast on GPUs: in bfloat16, or where they lack it in float16 with a scaled loss; never on
    the CPU."""
    compile: bool = False
    """Compile the model by torch.compile: slow in the first steps, faster in all others."""
    tf32: bool = False
    """Matrix products in float32 are computed in TensorFloat-32 on a GPU: faster, to three
    digits."""
    cudnn_benchmark: bool = False
    """cuDNN tries its algorithms and takes the fastest: for convolutions of inputs of one size."""
    deterministic: bool = False
    """On a GPU, too, a seed gives the same value to the last digit; slower, and what can't do so
    raises an error."""

    def __post_init__(self) -> None:
        below_one(self, "momentum", "beta1", "beta2", "warmup_ratio", "ema_decay")
        positive(self, "eps", "lr", "head_lr_mult")
        up_to(self, 1, "layer_decay")
        fraction(self, "plateau_factor", "step_factor")
        at_least(self, 0, "weight_decay", "clip_norm", "min_lr")
        at_least(self, 0, "plateau_epochs", "patience_epochs", "freeze_epochs")
        at_least(self, 1, "restart_epochs", "restart_factor", "step_epochs", "evaluate_every")
        at_least(self, 1, "accumulation")
        require(self.min_lr <= self.lr, "min_lr must not exceed lr", min_lr=self.min_lr, lr=self.lr)
        require(
            not (self.deterministic and self.cudnn_benchmark),
            "deterministic and cudnn_benchmark exclude each other: what is the fastest changes",
            deterministic=self.deterministic,
            cudnn_benchmark=self.cudnn_benchmark,
        )


def unused_settings(optim: OptimConfig) -> set[str]:
    """The names of settings that have no effect under this optimizer and this schedule.

    A space may still search one of them, if another of its configurations uses it.
    """
    of_some = set().union(*OPTIMIZER_SETTINGS.values(), *SCHEDULER_SETTINGS.values())
    used = OPTIMIZER_SETTINGS[optim.optimizer] | SCHEDULER_SETTINGS[optim.scheduler]
    if not used & MOMENTUMS:
        used -= {"cycle_momentum"}
    if optim.cycle_momentum and "cycle_momentum" in used:
        used -= MOMENTUMS
    return of_some - used


def warmup_cosine(step: int, *, total: int, warmup: int, end: float = 0.0) -> float:
    """Linear rise over `warmup` steps, then half a cosine to `end` at step `total`.

    A factor of the peak rate.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return _cosine(min(1.0, (step - warmup) / max(1, total - warmup)), end)


def cosine_restarts(step: int, *, period: int, growth: int = 1, end: float = 0.0) -> float:
    """Half a cosine from 1 to `end` over `period` steps, then one `growth` times as long, ...

    SGDR (https://arxiv.org/abs/1608.03983); there T_0, T_mult and eta_min.
    """
    while step >= period:
        step, period = step - period, period * growth
    return _cosine(step / period, end)


def _cosine(share: float, end: float) -> float:
    """Half a cosine from 1 to `end`, as far as this share of its way."""
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * share))


def one_cycle(
    step: int, *, total: int, warmup: int, start: float = 1 / 25, end: float = 1e-3
) -> float:
    """A cosine rise from `start` to 1 over `warmup` steps, then a cosine fall to `end`.

    The paper: https://arxiv.org/abs/1708.07120.
    """
    if step < warmup:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * step / warmup))
    return _cosine(min(1.0, (step - warmup) / max(1, total - warmup)), end)


def cycled_momentum(
    step: int, *, total: int, warmup: int, high: float = 0.95, low: float = 0.85
) -> float:
    """A cosine fall from `high` to `low` over `warmup` steps, then a cosine rise to `high`.

    What `one_cycle` does to the rate, upside down (https://arxiv.org/abs/1803.09820, section 4.3).
    """
    if step < warmup:
        return low + (high - low) * 0.5 * (1 + math.cos(math.pi * step / warmup))
    rest = min(1.0, (step - warmup) / max(1, total - warmup))
    return low + (high - low) * 0.5 * (1 - math.cos(math.pi * rest))


def step_decay(step: int, *, period: int, factor: float) -> float:
    """`factor` once more every `period` steps."""
    return factor ** (step // period)


def plateau(scores: Iterable[float], *, patience: int, factor: float) -> float:
    """`factor` once more each time that more than `patience` epochs brought no new highest score.

    Only an evaluation can show that: epochs that are `NOT_EVALUATED` are waited for, no more.
    """
    best, waited, rate = -math.inf, 0, 1.0
    for score in scores:
        best, waited = (score, 0) if score > best else (best, waited + 1)
        if waited > patience and score != NOT_EVALUATED:
            rate, waited = rate * factor, 0
    return rate


def out_of_patience(scores: Sequence[float], patience: int) -> bool:
    """Whether the last evaluation found the highest score (of equals the first) too long ago.

    Args:
        scores: After each epoch, `NOT_EVALUATED` where there is none.
        patience: Epochs without a better one that are too long; 0 = there is no such number.
    """
    if not patience or not scores or scores[-1] == NOT_EVALUATED:
        return False
    return len(scores) - 1 - scores.index(max(scores)) >= patience


def lr_factor(
    optim: OptimConfig,
    step: int,
    *,
    steps_per_epoch: int,
    max_epochs: int,
    scores: Sequence[float] = (),
) -> float:
    """The factor of the peak rate at `step` (0-based) of a run of `max_epochs` epochs.

    `scores` are the objective's values after each epoch so far, larger being better, and
    `NOT_EVALUATED` where there is none.
    """
    total, end = steps_per_epoch * max_epochs, optim.min_lr / optim.lr
    warmup = warmup_steps(optim, total)
    match optim.scheduler:
        case "constant":
            return 1.0
        case "warmup_cosine":
            return warmup_cosine(step, total=total, warmup=warmup, end=end)
        case "cosine":
            return warmup_cosine(step, total=total, warmup=0, end=end)
        case "cosine_restarts":
            period = steps_per_epoch * optim.restart_epochs
            return cosine_restarts(step, period=period, growth=optim.restart_factor, end=end)
        case "one_cycle":
            return one_cycle(step, total=total, warmup=warmup)
        case "plateau":
            return plateau(scores, patience=optim.plateau_epochs, factor=optim.plateau_factor)
        case "step":
            return step_decay(
                step, period=steps_per_epoch * optim.step_epochs, factor=optim.step_factor
            )


def warmup_steps(optim: OptimConfig, total: int) -> int:
    """Of so many steps at least 10, and at most half."""
    return min(max(10, int(optim.warmup_ratio * total)), total // 2)


def momentum_of(
    optim: OptimConfig, step: int, *, steps_per_epoch: int, max_epochs: int
) -> float | None:
    """What beta1 and momentum are to be at `step`; None: they stay as they are."""
    if optim.scheduler != "one_cycle" or not optim.cycle_momentum:
        return None
    total = steps_per_epoch * max_epochs
    return cycled_momentum(step, total=total, warmup=warmup_steps(optim, total))


def parameter_groups(
    model: nn.Module,
    optim: OptimConfig,
    *,
    head: Iterable[nn.Parameter] = (),
    layers: Sequence[Iterable[nn.Parameter]] = (),
    undecayed: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Groups by learning rate and decay; every trainable parameter is in exactly one of them.

    Args:
        model: What is trained.
        optim: The settings.
        head: The parameters at `lr x head_lr_mult`.
        layers: The others by depth, the input's first; the last of them is one step of
            `layer_decay` below `lr`.
        undecayed: Names of parameters without weight decay, beside biases, norms and other vectors;
            may have wildcards, as timm's may.
    """
    depths = enumerate(layers)
    scales = {
        id(p): optim.layer_decay ** (len(layers) - depth) for depth, layer in depths for p in layer
    }
    scales |= {id(parameter): optim.head_lr_mult for parameter in head}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            excluded = (
                parameter.ndim <= 1
                or name.endswith(".bias")
                or any(fnmatch(name, pattern) for pattern in undecayed)
            )
            decayed = optim.decay_norms or not excluded
            groups.setdefault((scales.get(id(parameter), 1.0), decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": optim.lr * scale,
            "weight_decay": optim.weight_decay if decayed else 0.0,
        }
        for (scale, decayed), parameters in groups.items()
    ]


def make_optimizer(optim: OptimConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer over `parameter_groups`; each group remembers its peak rate as `peak_lr`."""
    from timm.optim import get_optimizer_class  # a second that most commands have no need of

    optimizer_class = get_optimizer_class(optim.optimizer, bind_defaults=False)
    optimizer = optimizer_class(groups, lr=optim.lr, **_optimizer_arguments(optim, optimizer_class))
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    return optimizer


def _optimizer_arguments(optim: OptimConfig, optimizer_class: type) -> dict[str, Any]:
    """What an optimizer is given beside its parameters, their rates and decays."""
    used = OPTIMIZER_SETTINGS[optim.optimizer]
    arguments: dict[str, Any] = {}
    if optim.optimizer == "adamw":
        arguments["fused"] = True
    if optim.optimizer == "sgd":
        arguments["nesterov"] = optim.momentum > 0
    if "momentum" in used:
        arguments["momentum"] = optim.momentum
    if "eps" in used and optim.eps is not None:
        arguments["eps"] = optim.eps
    if "beta1" in used:
        beta1, beta2, *more = inspect.signature(optimizer_class).parameters["betas"].default
        given = (
            (beta1 if optim.beta1 is None else optim.beta1),
            (beta2 if optim.beta2 is None else optim.beta2),
        )
        arguments["betas"] = (*given, *more)
    return arguments


def set_momentum(optimizer: torch.optim.Optimizer, momentum: float) -> None:
    """Set beta1 and the momentum of every group that has them."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        if "momentum" in group:
            group["momentum"] = momentum


class MovingAverage:
    """A copy of a model that follows its weights and buffers.

    The decay begins low, min(decay, (1 + steps) / (10 + steps)), so that the first weights are soon
    forgotten (as in TensorFlow's ExponentialMovingAverage and timm's ModelEmaV3). PyTorch's
    `AveragedModel` counts its steps in a tensor, which the host would read at every step.

    Attributes:
        module: The copy.
        steps: How often it was updated.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.module, self.steps, self._decay = copy.deepcopy(model), 0, decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Follow the model; to be called after each step. The first call copies it."""
        share = 1 - min(self._decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 1.0
        averages, currents = _tensors(self.module), _tensors(model)
        torch._foreach_lerp_(averages[True], currents[True], share)
        if averages[False]:  # Counts of batches, say.
            torch._foreach_copy_(averages[False], currents[False])
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Steps, weights and buffers, by the names that PyTorch's `AveragedModel` gives them."""
        module = self.module.state_dict(prefix="module.")
        return {"n_averaged": self.steps, **module}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.steps = int(state["n_averaged"])
        names = [name for name in state if name != "n_averaged"]
        self.module.load_state_dict({name.removeprefix("module."): state[name] for name in names})


def _tensors(model: nn.Module) -> dict[bool, list[Tensor]]:
    """Weights and buffers, by whether they are floating-point numbers."""
    tensors: dict[bool, list[Tensor]] = {True: [], False: []}
    for tensor in chain(model.parameters(), model.buffers()):
        tensors[tensor.is_floating_point()].append(tensor)
    return tensors
