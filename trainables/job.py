"""One training job, from its configuration to its files: the same under a test, `launch.py train` and a Tune actor."""

import inspect
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from search_spaces.space import Objective
from trainables.config import TaskError
from trainables.mirror import NoMirror, mirror_at
from trainables.task import Report, Task, TrainFunction, default_device, load_task, make_config
from trainables.team import ALONE, Team
from trainables.training import train
from trainables.trial_folder import TrialFolder

OTHER_CHARACTERS = re.compile(r"[^-/\w.]")  # than those that a tag may have


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What it takes to train one configuration.

    Attributes:
        task: A built-in task's name or `module:attribute`.
        objective: What decides which epoch is best.
        values: The configuration, by flat dotted names.
        seed: Of everything random in the training.
        split_seed: Of the data's splits; the same for all trials of a study.
        max_epochs: The full budget.
        folder: Where the trial writes.
        cpus: Threads to compute with.
        mirror: URI of the folder's copy, where machines share no file system.
    """

    task: str
    objective: Objective
    values: dict[str, Any]
    seed: int
    split_seed: int
    max_epochs: int
    folder: Path
    cpus: float = 1
    mirror: str | None = None


def run(job: Job, team: Team = ALONE) -> Iterator[Report]:
    """Train, write metrics, events and checkpoints, and yield a report for each epoch.

    Where the folder holds a checkpoint, the epochs that it contains are reported again from the metrics file and
    training goes on after them; so whoever lost some of the reports gets them all. If the last checkpoint can't be
    read, the one before it is used, or training starts over; the first report then carries a warning.

    Of several workers the leader alone reads and writes the folder; all yield the same reports.
    """
    torch.set_num_threads(max(1, int(job.cpus)))
    folder, mirror = TrialFolder(job.folder), mirror_at(job.mirror)
    if team.rank == 0:
        mirror.pull(job.folder)
    state, warning = team.from_leader(folder.load_state() if team.rank == 0 else (None, None))
    past = team.from_leader(list(_past(folder, state)) if team.rank == 0 else [])
    new = _written(job, folder, mirror, state, team) if team.rank == 0 else reports(job, state, team)
    for report in chain(past, new):
        yield replace(report, warning=warning) if warning else report
        warning = None


def _past(folder: TrialFolder, state: dict[str, Any] | None) -> Iterator[Report]:
    """The epochs that a state contains."""
    for line in folder.read_metrics()[: state["epoch"] if state else 0]:
        yield Report(epoch=line["epoch"], metrics=line["metrics"], details=line["details"])


def _written(
    job: Job, folder: TrialFolder, mirror: NoMirror, state: dict[str, Any] | None, team: Team
) -> Iterator[Report]:
    """New epochs, each written before it is told."""
    values: list[float] | None = None
    with SummaryWriter(str(job.folder), purge_step=state["epoch"] + 1 if state else None) as events:
        _write_values(events, job)
        started = time.monotonic()
        for report in reports(job, state, team):
            if values is None:
                values = [line["metrics"][job.objective.name] for line in folder.keep_metrics_until(report.epoch - 1)]
            value = report.metrics[job.objective.name]
            best = is_best(value, values, job.objective)
            values.append(value)
            _write(folder, events, report, seconds=time.monotonic() - started, best=best)
            mirror.push(job.folder)
            yield report
            started = time.monotonic()
            if not math.isfinite(value):
                return


def _write_values(events: SummaryWriter, job: Job) -> None:
    """The configuration, for TensorBoard's page of hyperparameters."""
    values = {name: value if isinstance(value, str | int | float) else str(value) for name, value in job.values.items()}
    for summary in hparams(values, {tag(job.objective.name): None})[:2]:
        events.file_writer.add_summary(summary)


def tag(name: str) -> str:
    """A metric's name as TensorBoard takes it, on the page of hyperparameters too."""
    return OTHER_CHARACTERS.sub("_", name).lstrip("/")


def reports(job: Job, state: dict[str, Any] | None = None, team: Team = ALONE) -> Iterator[Report]:
    """The bare reports of a job: nothing is written."""
    task = load_task(job.task)
    config = make_config(task, job.values)
    device = default_device()
    if isinstance(task, Task):
        return train(
            task,
            config,
            seed=job.seed,
            split_seed=job.split_seed,
            device=device,
            max_epochs=job.max_epochs,
            objective=job.objective,
            resume_from=state,
            team=team,
        )
    return function_reports(task, config, job, device, team)


def function_reports(
    function: TrainFunction, config: dict[str, Any], job: Job, device: torch.device, team: Team = ALONE
) -> Iterator[Report]:
    """What a bare generator function yields, as reports; epochs are counted from 1 unless it says its own `epoch`.

    Raises:
        TaskError: when it yields no dict, or one without the objective.
    """
    context = {"seed": job.seed, "max_epochs": job.max_epochs, "device": device, "folder": job.folder}
    context |= {"rank": team.rank, "workers": team.size}
    epoch = 0
    for line in function(config, **accepted(function, context)):
        if not isinstance(line, Mapping):
            raise TaskError(f"{job.task} must yield a dict of metrics for each epoch, got {line!r}")
        for objective in (job.objective, job.objective.second):
            if objective and objective.name not in line:
                raise TaskError(f"{job.task} must yield the objective {objective.name!r}, got {', '.join(line)}")
        epoch = int(line.get("epoch", epoch + 1))
        yield Report(epoch=epoch, metrics={k: float(v) for k, v in line.items() if k != "epoch"})
        if epoch >= job.max_epochs:
            return


def accepted(function: Any, context: dict[str, Any]) -> dict[str, Any]:
    """Those of the context's entries that the function takes by name."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return context
    names = {parameter.name for parameter in list(parameters)[1:]}
    return {name: value for name, value in context.items() if name in names}


def is_best(value: float, earlier: list[float], objective: Objective) -> bool:
    """Whether a finite value is better than all finite ones before it."""
    if not math.isfinite(value):
        return False
    return all(objective.sign * value > objective.sign * other for other in earlier if math.isfinite(other))


def _write(folder: TrialFolder, events: SummaryWriter, report: Report, *, seconds: float, best: bool) -> None:
    """Metrics first, then the checkpoint that presupposes them."""
    line = {"epoch": report.epoch, "seconds": round(seconds, 4), "metrics": report.metrics, "details": report.details}
    folder.append_metrics(line)
    for name, value in report.metrics.items():
        events.add_scalar(tag(name), value, report.epoch)
    events.flush()
    if report.state is None:
        return
    state = report.state()
    evaluated = state.pop("evaluated")
    if best:
        folder.save_best({"epoch": report.epoch, "metrics": report.metrics, "model": evaluated})
    folder.save_last(state)
