"""The training loop that tasks share: a generator that yields a `Report` after each evaluation."""

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from search_spaces.space import Objective
from trainables.config import TaskError
from trainables.parts.data import Batch, Splits, TensorSplit
from trainables.parts.feeding import batches_on
from trainables.parts.optim import (
    NOT_EVALUATED,
    MovingAverage,
    OptimConfig,
    lr_factor,
    make_optimizer,
    momentum_of,
    out_of_patience,
    parameter_groups,
    set_momentum,
)
from trainables.parts.tally import Mean
from trainables.seeding import derive_seed, seed_everything
from trainables.task import Report, Task
from trainables.team import ALONE, Team

FINITE_CHECK_STEPS = 50
"""How many steps pass between two looks at whether the loss is finite."""


@dataclass
class Learner:
    """What changes while a model is trained, and what a checkpoint holds of it.

    Attributes:
        model: The model that is trained.
        optimizer: Over those of its parameters that are not frozen for good.
        average: The moving average that is evaluated in its place, if the settings ask for one.
        scaler: Of the loss, where gradients are computed in float16; else it does nothing.
        forward: The loss of a batch as a module, over all workers; None until the first epoch.
        trainable: The parameters that the task did not freeze.
        head: Those of them that are trained while the others wait.
        scores: What plateaus and patience go by after each epoch, larger being better;
            `NOT_EVALUATED` where there was no evaluation.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    trainable: list[nn.Parameter]
    head: list[nn.Parameter]
    scaler: torch.amp.GradScaler
    forward: nn.Module | None = None
    scores: list[float] = field(default_factory=list)

    @property
    def epochs_done(self) -> int:
        """How many epochs it was trained."""
        return len(self.scores)

    @property
    def evaluated(self) -> nn.Module:
        """The model whose metrics are reported and which is kept as the best."""
        return self.model if self.average is None else self.average.module

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here, and the `evaluated` weights."""
        return {
            "epoch": self.epochs_done,
            "scores": list(self.scores),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": self.scaler.state_dict(),
            "evaluated": self.evaluated.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.scores = list(state["scores"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if state.get("scaler"):  # States from before there was one lack it.
            self.scaler.load_state_dict(state["scaler"])


def train(
    task: Task,
    config: Any,
    *,
    seed: int,
    split_seed: int = 0,
    device: torch.device | None = None,
    max_epochs: int,
    objective: Objective | None = None,
    resume_from: dict[str, Any] | None = None,
    team: Team = ALONE,
) -> Iterator[Report]:
    """Train by `config` to `max_epochs`, yielding after each epoch that is evaluated.

    The caller stops it by not asking for more.

    Every epoch seeds its random streams anew from `seed` and its number, so a run that goes on from
    a saved state gives the same curve as one that was never interrupted. A loss, in training or in
    validation, or an objective that is no longer finite ends the training with a last report whose
    objective is NaN; `optim.patience_epochs` without a better objective end it with the last report
    as it is.

    Args:
        task: What to train.
        config: An instance of `task.Config`.
        seed: Of the initial weights, the order of samples, augmentation and dropout.
        split_seed: Of the data's splits.
        device: Default: the CPU.
        max_epochs: Length of the learning-rate schedule, and the last epoch.
        objective: What patience and plateaus go by; default: the task's.
        resume_from: What a report's `state()` gave: training goes on with the epoch after it.
        team: The workers that train together, each with this function and the same arguments. A
            batch is shared out among them; the reports are the same on all.
    """
    optim: OptimConfig = config.optim
    objective, device = objective or task.objective, device or torch.device("cpu")
    use_backend(optim, device)
    splits = on_device(task.data(config, split_seed), device)
    seed_everything(derive_seed(seed, "model"))
    learner = new_learner(task, config, splits, device, team)
    if resume_from is not None:
        learner.load(resume_from)
    warning = splits.warning if resume_from is None else None
    for epoch in range(learner.epochs_done + 1, max_epochs + 1):
        if out_of_patience(learner.scores, optim.patience_epochs):
            return
        # Nothing random outlives an epoch: a checkpoint need not hold the generators' states, and
        # an evaluation that draws changes nothing in what follows.
        seed_everything(derive_seed(seed, "epoch", epoch))
        train_loss = train_epoch(task, config, learner, splits.train, max_epochs, team)
        if math.isfinite(train_loss) and epoch % optim.evaluate_every and epoch < max_epochs:
            learner.scores.append(NOT_EVALUATED)
            continue
        metrics: dict[str, float] = {"validation_loss": math.nan}
        details: dict[str, Any] = {}
        if math.isfinite(train_loss):
            metrics, details = evaluate(
                task, config, learner.evaluated, splits, splits.validation, team
            )
        metrics |= {"train_loss": train_loss, "lr": learner.optimizer.param_groups[0]["lr"]}
        if diverged(metrics, objective):
            # What was counted may look well by chance, and must not become the best.
            metrics |= dict.fromkeys(objective_names(task), math.nan)
            yield Report(epoch=epoch, metrics=metrics, warning=warning)
            return
        learner.scores.append(monitored(metrics, objective, optim))
        yield Report(
            epoch=epoch, metrics=metrics, details=details, state=learner.state, warning=warning
        )
        warning = None


def diverged(metrics: Mapping[str, float], objective: Objective) -> bool:
    """Whether a loss, or what trials are compared by, is no longer finite.

    The training loss alone won't do: it is computed before an epoch's last step, which may break
    the weights. A task that judges without a loss has no `validation_loss`.
    """
    judged = ("train_loss", "validation_loss", *objective.names)
    return not all(math.isfinite(metrics[name]) for name in judged if name in metrics)


def monitored(metrics: Mapping[str, float], objective: Objective, optim: OptimConfig) -> float:
    """What plateaus and patience go by, larger being better.

    Raises:
        TaskError: when that is a loss which the task does not compute.
    """
    if optim.monitor == "objective":
        return objective.sign * metrics[objective.name]
    if "validation_loss" not in metrics:
        raise TaskError(
            "optim.monitor must be objective where measure() returns no loss, got validation_loss"
        )
    return -metrics["validation_loss"]


def objective_names(task: Task) -> list[str]:
    """The metrics that trials of a task may be compared by."""
    return [objective.name for objective in (task.objective, *task.other_objectives)]


def new_learner(
    task: Task, config: Any, splits: Splits, device: torch.device, team: Team = ALONE
) -> Learner:
    """A fresh model and its optimizer on a device."""
    optim: OptimConfig = config.optim
    model = team.with_common_norms(task.model(config, splits).to(device))
    head = task.head(model)
    groups = parameter_groups(
        model,
        optim,
        head=head,
        layers=task.layers(model),
        undecayed=task.no_weight_decay(model),
    )
    average = MovingAverage(model, optim.ema_decay) if optim.ema_decay else None
    if optim.compile:
        model.compile()
    return Learner(
        model=model,
        optimizer=make_optimizer(optim, groups),
        average=average,
        trainable=[parameter for parameter in model.parameters() if parameter.requires_grad],
        head=head,
        scaler=torch.amp.GradScaler(
            device.type, enabled=optim.amp and amp_dtype(device) is torch.float16
        ),
    )


class Step(nn.Module):
    """The training loss of a batch as a forward pass: DistributedDataParallel wraps modules."""

    def __init__(self, task: Task, config: Any, model: nn.Module):
        super().__init__()
        self.task, self.config, self.model = task, config, model

    def forward(self, batch: Batch) -> Tensor:
        """A mean over the batch."""
        with autocast(self.model, self.config.optim.amp):
            return self.task.loss(self.config, self.model, batch)[0].float()


def train_epoch(
    task: Task,
    config: Any,
    learner: Learner,
    split: TensorSplit,
    max_epochs: int,
    team: Team = ALONE,
) -> float:
    """One pass over the training split.

    Gives the mean loss, or NaN as soon as a loss is not finite.
    """
    optim: OptimConfig = config.optim
    model, epochs_done = learner.model, learner.epochs_done
    # All workers draw the same order, from the epoch's seed, and then share out each batch.
    shuffle = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    # Of a single row batch norm can't have the variance.
    least = 2 if any(isinstance(module, _BatchNorm) for module in model.modules()) else 1
    all_rows = split.batch_rows(config.data.batch_size, shuffle=shuffle, least=least)
    if team.rank:  # No two workers drop out the same; the leader draws what one alone would draw.
        seed_everything(derive_seed(shuffle.initial_seed(), team.rank))
    steps_per_epoch = math.ceil(len(all_rows) / optim.accumulation)
    forward = forward_of(task, config, learner, team)
    model.train()
    shares = [own_rows(batch_rows, team) for batch_rows in all_rows]
    batches = batches_on(_device(model), split, [rows for rows, _ in shares])
    mean, finite = Mean(), FiniteWatch()
    for i, ((_, weight), batch) in enumerate(zip(shares, batches, strict=True), start=1):
        batch = task.augment(config, batch)
        steps = i % optim.accumulation == 0 or i == len(all_rows)
        with team.on_one_batch(), contextlib.nullcontext() if steps else team.local(forward):
            loss = forward(batch)
            mean.add(loss, weight * len(all_rows[i - 1]) / team.size)
            share = weight / accumulated(i, len(all_rows), optim.accumulation)
            learner.scaler.scale(loss * share).backward()
        if steps:
            step = epochs_done * steps_per_epoch + (i - 1) // optim.accumulation
            factor = lr_factor(
                optim,
                step,
                steps_per_epoch=steps_per_epoch,
                max_epochs=max_epochs,
                scores=learner.scores,
            )
            momentum = momentum_of(
                optim, step, steps_per_epoch=steps_per_epoch, max_epochs=max_epochs
            )
            if momentum is not None:
                set_momentum(learner.optimizer, momentum)
            optimizer_step(learner, factor, optim.clip_norm)
        if i % FINITE_CHECK_STEPS == 0 and not finite.still(mean, team):
            break
    # Only gradients were averaged: running statistics differ between the workers until now.
    team.sync_buffers(model)
    return team.merged(mean).compute()


def forward_of(task: Task, config: Any, learner: Learner, team: Team) -> nn.Module:
    """The loss of a batch, over all workers: made once, and anew when the frozen part thaws."""
    epochs_done, freeze_epochs = learner.epochs_done, config.optim.freeze_epochs
    if learner.forward is None or epochs_done == freeze_epochs:
        freeze(learner.trainable, learner.head, frozen=epochs_done < freeze_epochs)
        step = Step(task, config, learner.model)
        learner.forward = team.distributed(step, all_used=task.uses_all_parameters)
    return learner.forward


class FiniteWatch:
    """Tells whether a mean is finite without waiting for the GPU that computes it.

    Of a GPU's it tells how it was when it was asked before: the number is fetched meanwhile.
    """

    def __init__(self) -> None:
        self._before: _Fetched | None = None

    def still(self, mean: Mean, team: Team) -> bool:
        """Whether the mean over all workers, all of whom must ask, is (or was) finite."""
        if not (isinstance(mean.total, Tensor) and mean.total.is_cuda):
            return math.isfinite(team.merged(mean).compute())
        before, self._before = self._before, _Fetched(mean)
        return before is None or math.isfinite(team.merged(before.wait()).compute())


class _Fetched:
    """A mean on its way from a GPU."""

    def __init__(self, mean: Mean):
        assert isinstance(mean.total, Tensor)
        self._mean = Mean(mean.total.to("cpu", non_blocking=True), mean.weight)
        self._there = torch.cuda.Event()
        self._there.record()

    def wait(self) -> Mean:
        """The mean, once it is there; long after it was asked for, nothing is waited for."""
        self._there.synchronize()
        return self._mean


def own_rows(batch_rows: Tensor, team: Team) -> tuple[Tensor, float]:
    """This worker's rows of a batch, and the weight of their mean loss.

    By these weights the mean over the workers is the mean over the batch. Of fewer rows than
    workers each takes all, because all must step together.
    """
    if len(batch_rows) < team.size:
        return batch_rows, 1.0
    own = team.share(batch_rows)
    return own, len(own) * team.size / len(batch_rows)


def accumulated(batch_number: int, batches: int, accumulation: int) -> int:
    """How many batches share the step that batch `batch_number` (from 1) belongs to.

    The last step may have fewer.
    """
    group_start = (batch_number - 1) // accumulation * accumulation
    return min(accumulation, batches - group_start)


def optimizer_step(learner: Learner, factor: float, clip_norm: float) -> None:
    """Clip, step at `factor` of each group's peak rate, clear the gradients, update the average."""
    if clip_norm > 0:
        learner.scaler.unscale_(learner.optimizer)
        nn.utils.clip_grad_norm_(learner.trainable, clip_norm)
    for group in learner.optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    learner.optimizer.zero_grad(set_to_none=True)
    if learner.average is not None:
        learner.average.update(learner.model)


@torch.no_grad()
def evaluate(
    task: Task,
    config: Any,
    model: nn.Module,
    splits: Splits,
    split: TensorSplit,
    team: Team = ALONE,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics and details of a split, with the `validation_loss` where the task has one.

    Several workers share out the batches, not their rows, so each batch's loss is that of one
    worker. Leaves the model in evaluation mode.
    """
    model.eval()
    tally, mean = task.tally(config, splits), Mean()
    batch_rows = split.batch_rows(config.data.batch_size)[team.rank :: team.size]
    batches = batches_on(_device(model), split, batch_rows)
    for rows, batch in zip(batch_rows, batches, strict=True):
        with autocast(model, config.optim.amp):
            loss = task.measure(config, model, batch, tally)
        if loss is not None:
            mean.add(loss.float(), len(rows))
    tally, mean = team.merged(tally), team.merged(mean)
    loss_metric = {"validation_loss": mean.compute()} if mean.weight else {}
    return {**tally.compute(), **loss_metric}, tally.details()


def freeze(trainable: list[nn.Parameter], head: list[nn.Parameter], *, frozen: bool) -> None:
    """Let only the head learn, or all that is trainable."""
    head_ids = {id(parameter) for parameter in head}
    for parameter in trainable:
        parameter.requires_grad_(not frozen or id(parameter) in head_ids)


def autocast(model: nn.Module, wanted: bool) -> AbstractContextManager[Any]:
    """Autocast in the type that suits the model's device, if there is one; else nothing."""
    device = _device(model)
    dtype = amp_dtype(device)
    return torch.autocast(device.type, dtype=dtype, enabled=wanted and dtype is not None)


@lru_cache(maxsize=8)
def amp_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 on GPUs that compute in it natively, float16 on others; None on the CPU."""
    if device.type != "cuda":
        return None
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16


def use_backend(optim: OptimConfig, device: torch.device) -> None:
    """Have a GPU compute as the settings ask.

    It is the process that is set so, until another job trains there: `Surroundings` puts it back.
    """
    if device.type != "cuda":
        return
    if optim.tf32:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    if optim.cudnn_benchmark:
        torch.backends.cudnn.benchmark = True
    if optim.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as cuBLAS wants it
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True)


def to_device(batch: Batch, model: nn.Module) -> dict[str, Tensor]:
    """The batch on the model's device (the same tensors where they are there already)."""
    device = _device(model)
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


@lru_cache(maxsize=2)
def on_device(splits: Splits, device: torch.device) -> Splits:
    """The splits with training and validation data on a GPU, if they fill at most half of its rest.

    Of data that don't fit, batches are read ahead.

    Trials of a process that stays warm have the same splits, so the last ones are kept there.
    """
    if device.type != "cuda":
        return splits
    free_bytes, _ = torch.cuda.mem_get_info(device)
    fits = splits.train.nbytes + splits.validation.nbytes <= free_bytes / 2
    return splits.moved(device) if fits else splits


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
