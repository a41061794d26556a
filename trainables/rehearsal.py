"""A few steps of a training before a search begins, so that a mistake in its code is told at once.

Of a `Task` two steps are trained and a batch is validated, by the pieces of the real loop. Of a
function, or a task with a `train` of its own, the first report is awaited.
"""

import contextlib
import math
import pickle
import tempfile
import traceback
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces import Objective, Space
from search_spaces.suggest import Values, high_corner, low_corner
from trainables.config import TaskError
from trainables.job import Job, reports
from trainables.knobs import uses_the_loop
from trainables.machine import default_device
from trainables.parts.data import Splits, TensorSplit
from trainables.seeding import seed_everything
from trainables.task import Task, load_task, make_config
from trainables.training import (
    Learner,
    autocast,
    evaluate,
    freeze,
    monitored,
    new_learner,
    on_device,
    to_device,
    train_epoch,
)
from trainables.trial_folder import TrialFolder
from trainables.user_code.function import shown
from trainables.user_code.importing import describe, task_folder
from trainables.user_code.surroundings import Surroundings

STEPS = 2
COMPARED_ROWS = 64


def rehearse(
    space: Space, objective: Objective, import_paths: Sequence[str], *, first_only: bool = False
) -> Iterator[str]:
    """Train a little by the first start point, the low corner and the high corner of a space.

    Then see that the parameters leave the validation data alone. What a training writes to its
    folder goes to a temporary one.

    Args:
        space: What the task was found to accept.
        objective: What it is compared by.
        import_paths: Folders that the task's modules are looked for in.
        first_only: Train by the first of them alone, with which a search begins.

    Yields:
        A line about each configuration that trains.

    Raises:
        TaskError: says what is wrong, and the fix. If the task's code raised, its traceback was
            printed to standard error.
    """
    torch.set_num_threads(max(1, int(space.resources.cpus)))  # As in a trial.
    surroundings = Surroundings()
    for name, values in list(_points(space).items())[: 1 if first_only else None]:
        with (
            _mistakes_told(f"{space.file.name}: {name}: "),
            tempfile.TemporaryDirectory(prefix="rungs-") as folder,
            contextlib.chdir(Path.cwd()),
        ):
            job = _job(space, objective, import_paths, values, Path(folder))
            surroundings.enter(job)
            metrics = _metrics(job)
        outcome = "trains" if all(map(math.isfinite, metrics.values())) else "diverges"
        texts = (f"{metric} {value:.4g}" for metric, value in metrics.items())
        yield f"{name}: {outcome}; {', '.join(texts)}"
    with _mistakes_told(f"{space.file.name}: "), contextlib.chdir(task_folder()):
        _check_validation_data(space)


def _points(space: Space) -> dict[str, Values]:
    """The configurations that are rehearsed, each once, by their names."""
    points = {"start point 0": low_corner(space, space.start[0])} if space.start else {}
    for name, corner in (("low corner", low_corner(space)), ("high corner", high_corner(space))):
        if corner not in points.values():
            points[name] = corner
    return points


def _job(
    space: Space,
    objective: Objective,
    import_paths: Sequence[str],
    values: Values,
    folder: Path,
) -> Job:
    return Job(
        task=space.task,
        objective=objective,
        values=values,
        seed=space.seed,
        split_seed=space.seed,
        max_epochs=space.budget.max_epochs,
        folder=folder,
        cpus=space.resources.cpus,
        import_paths=tuple(import_paths),
        working_folder=Path.cwd(),
    )


@contextlib.contextmanager
def _mistakes_told(prefix: str) -> Iterator[None]:
    """Make an exception one line that begins so, with the traceback on standard error before it."""
    try:
        yield
    except TaskError as error:
        raise TaskError(*(prefix + problem for problem in error.problems)) from error
    except (Exception, SystemExit) as error:  # It is anyone's code.
        traceback.print_exception(error)
        raise TaskError(prefix + describe(error)) from error


def _metrics(job: Job) -> dict[str, float]:
    task = load_task(job.task)
    if isinstance(task, Task) and uses_the_loop(task):
        return _loop_metrics(job, task)
    return _first_report_metrics(job)


def _first_report_metrics(job: Job) -> dict[str, float]:
    """The metrics of the first report of a function, or of a task with a `train` of its own."""
    lines = reports(job)
    report = next(lines, None)
    lines.close()  # type: ignore[attr-defined]
    if report is None:
        raise TaskError(f"{job.task} ended without a report: yield one after each epoch")
    _check_metrics(report.metrics, [job.objective, job.objective.second], "the first report")
    if report.state is not None:
        TrialFolder(job.folder).save_last(report.state())
        _read_state(TrialFolder(job.folder))
    return report.metrics


def _loop_metrics(job: Job, task: Task) -> dict[str, float]:
    """The metrics of two training steps and of a little validation."""
    device = default_device()
    config = make_config(task, job.values)
    seed_everything(job.seed)
    splits = on_device(_splits(task, config, job.split_seed), device)
    learner = new_learner(task, config, splits, device)
    batch_size = config.data.batch_size
    batches = STEPS * config.optim.accumulation
    shuffled = torch.randperm(len(splits.train))  # As the loop does it: they may lie by class.
    train = _cut(splits.train, shuffled[: _ragged(splits.train, batch_size, batches)])
    validation = splits.validation
    validation = _cut(validation, torch.arange(_ragged(validation, batch_size, 2)))
    _check_parts(task, config, learner, splits, train)
    train_loss = train_epoch(task, config, learner, train, 1)
    metrics: dict[str, float] = {"train_loss": train_loss}
    details: dict[str, Any] = {}
    if math.isfinite(train_loss):  # Else the loop ends here, too.
        found, details = evaluate(task, config, learner.evaluated, splits, validation)
        wanted = [job.objective, job.objective.second, task.objective, *task.other_objectives]
        _check_metrics(found, wanted, "the tally's compute()")
        monitored(found, job.objective, config.optim)
        metrics |= found
    learner.scores.append(0.0)
    _check_files(TrialFolder(job.folder), learner, metrics, details)
    return metrics


def _splits(task: Task, config: Any, seed: int) -> Splits:
    splits = task.data(config, seed)
    if not isinstance(splits, Splits):
        raise TaskError(f"data() must return Splits, got {shown(splits)}")
    for name, split in {"train": splits.train, "validation": splits.validation}.items():
        rows = {key: len(tensor) for key, tensor in split.tensors.items()}
        if not rows or not len(split) or len(set(rows.values())) > 1:
            got = ", ".join(f"{key} with {count}" for key, count in rows.items()) or "no tensor"
            raise TaskError(
                f"data(): the split {name} must have tensors with the same number of rows, at "
                f"least one, got {got}"
            )
    return splits


def _ragged(split: TensorSplit, batch_size: int, batches: int) -> int:
    """How many rows make so many batches with the last one as small as the whole split's last.

    A batch of one row is where many a model breaks.
    """
    last = len(split) % batch_size or batch_size
    return min(len(split), (batches - 1) * batch_size + last)


def _cut(split: TensorSplit, rows: Tensor) -> TensorSplit:
    return replace(
        split,
        tensors={name: tensor[rows.to(tensor.device)] for name, tensor in split.tensors.items()},
        lengths_N=None if split.lengths_N is None else split.lengths_N[rows],
        weights_N=None if split.weights_N is None else split.weights_N[rows],
    )


def _check_parts(
    task: Task, config: Any, learner: Learner, splits: Splits, train: TensorSplit
) -> None:
    """Look at the pieces that the loop takes for granted, so that a message can name the piece."""
    frozen = config.optim.freeze_epochs > 0
    if frozen and not learner.head:
        raise TaskError(
            f"optim.freeze_epochs is {config.optim.freeze_epochs}, but head() names no parameter, "
            "so nothing would be trained: leave it at 0, or let head() name the last layers'"
        )
    tally = task.tally(config, splits)
    methods = ("merge", "compute", "details")
    missing = [name for name in methods if not callable(getattr(tally, name, None))]
    if missing:
        raise TaskError(
            "tally() must give an object with the methods merge, compute and details, got "
            f"{shown(tally)} without {' and '.join(missing)}"
        )
    freeze(learner.trainable, learner.head, frozen=frozen)
    learner.model.train()
    batch = train.take(torch.arange(min(len(train), config.data.batch_size)))
    _check_loss(task, config, learner.model, task.augment(config, to_device(batch, learner.model)))


def _check_loss(task: Task, config: Any, model: nn.Module, batch: dict[str, Tensor]) -> None:
    with autocast(model, config.optim.amp):
        returned = task.loss(config, model, batch)
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise TaskError(
            "loss() must return the loss and what count() needs: return loss, outputs; got "
            f"{_kind(returned)}"
        )
    loss = returned[0]
    if not (isinstance(loss, Tensor) and loss.ndim == 0 and loss.is_floating_point()):
        raise TaskError(
            "loss() must return the mean over the batch as a tensor without dimensions "
            f"(loss.mean(), say), got {_kind(loss)}"
        )
    if not loss.requires_grad:
        raise TaskError(
            "loss() must return a loss that has a gradient, got one that depends on no parameter "
            "that is trained: don't detach() it, nor compute it under no_grad() or by .item()"
        )


def _kind(value: Any) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else shown(value)


def _check_metrics(
    metrics: dict[str, Any], objectives: Sequence[Objective | None], giver: str
) -> None:
    for name, value in metrics.items():
        if not isinstance(value, int | float):
            raise TaskError(
                f"{giver} must give plain numbers, got {name} = {shown(value)}: make it a "
                "float(...)"
            )
    for each in objectives:
        if each and each.name not in (*metrics, "train_loss", "lr"):
            raise TaskError(
                f"the objective {each.name!r} must be one of the metrics that {giver} gives, got "
                f"{', '.join(metrics)}"
            )


def _check_files(
    folder: TrialFolder, learner: Learner, metrics: dict[str, float], details: dict[str, Any]
) -> None:
    """Write what a trial writes after an epoch, and go on from it."""
    try:
        folder.append_metrics({"epoch": 1, "metrics": metrics, "details": details})
    except TypeError as error:
        raise TaskError(f"details() must give what JSON can hold: {error}") from error
    folder.save_last(learner.state())
    learner.load(_read_state(folder))


def _read_state(folder: TrialFolder) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(folder.last, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise TaskError(
            "the model's state_dict() must hold tensors and plain values alone, so that a "
            f"checkpoint can be read without running code: {_first_sentence(error)}"
        ) from error
    return state


def _first_sentence(error: Exception) -> str:
    """What PyTorch says of the class that it won't load, without its advice to load it anyway."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), lines[0])


def _check_validation_data(space: Space) -> None:
    """Refuse a parameter by which trials would be compared on different validation data.

    The low and the high corner differ in all parameters that have no conditions, so most often two
    splits tell that none does.
    """
    task = load_task(space.task)
    if not isinstance(task, Task):
        return

    def fingerprint(values: Values) -> list[object]:
        return _fingerprint(_splits(task, make_config(task, values), space.seed).validation)

    low = low_corner(space)
    searched = {parameter.name for parameter in space.parameters}
    prepared = {name: low[name] for name in searched.intersection(task.preparing_settings, low)}
    high = high_corner(space, prepared)
    expected = fingerprint(low)
    if fingerprint(high) == expected:
        return
    if fingerprint(low) != expected:
        raise TaskError(
            "data() must give the same validation split each time that it is called: draw it from "
            "a generator that is seeded by `seed`"
        )
    for name in high.keys() - space.fixed.keys() - prepared.keys():
        try:
            moved = fingerprint(low_corner(space, {name: high[name]})) != expected
        except TaskError:  # The two values need not go together.
            continue
        if moved:
            raise TaskError(
                f"{name} is searched, but changes the validation data, so trials could not be "
                "compared: fix it, and search each value in a study of its own"
            )


def _fingerprint(split: TensorSplit) -> list[object]:
    """Shapes, and a checksum of rows from all over the split."""
    step = max(1, len(split) // COMPARED_ROWS)
    return [
        (name, tensor.dtype, tensor.shape, zlib.crc32(_bytes(tensor[::step])))
        for name, tensor in sorted(split.tensors.items())
    ]


def _bytes(tensor: Tensor) -> Any:
    return tensor.cpu().contiguous().flatten().view(torch.uint8).numpy()
