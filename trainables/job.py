"""One training job, from its configuration to its files.

It is the same under a test, `launch.py train` and a Tune actor.
"""

import json
import math
import multiprocessing
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from search_spaces.space import Objective
from trainables.checkpoints import CheckpointWriter
from trainables.machine import default_device
from trainables.mirror import NoMirror, mirror_at
from trainables.task import Report, Task, load_task, make_config
from trainables.team import ALONE, Team
from trainables.trial_folder import TrialFolder, write_text_atomically
from trainables.user_code.function import function_reports

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

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
        import_paths: Folders that the task's modules are looked for in, before installed packages.
        working_folder: What the user's code takes for the current folder, where it is there.
        known_epoch: The last epoch of which whoever asks has the report already; 0: none.
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
    import_paths: tuple[str, ...] = ()
    working_folder: Path | None = None
    known_epoch: int = 0


def run(job: Job, team: Team = ALONE) -> Iterator[Report]:
    """Train, write metrics, events and checkpoints, and yield a report for each evaluated epoch.

    Where the folder holds a checkpoint, the epochs that it contains are reported again from the
    metrics file and training goes on after them; so whoever lost some of the reports gets all that
    are not known yet.
    If the last checkpoint can't be read, the one before it is used, or training starts over; the
    first report then carries a warning. A function keeps its state itself, so of it all epochs in
    the metrics file are reported again.

    Of several workers the leader alone reads and writes the folder; all yield the same reports.
    """
    torch.set_num_threads(max(1, int(job.cpus)))
    is_task = isinstance(load_task(job.task), Task)
    folder, mirror = TrialFolder(job.folder), mirror_at(job.mirror)
    if team.rank == 0:
        mirror.pull(job.folder)
        _take_folder(job, folder)
    state, warning = team.from_leader(
        folder.load_state() if team.rank == 0 and is_task else (None, None)
    )
    past = team.from_leader(list(_past(job, folder, state, is_task)) if team.rank == 0 else [])
    new = (
        _written(job, folder, mirror, state, past, team)
        if team.rank == 0
        else reports(job, state, past, team)
    )
    unknown = [report for report in past if report.epoch > job.known_epoch]
    for report in chain(unknown, new if _goes_on(job, past) else ()):
        warnings = [text for text in (warning, report.warning) if text]
        yield replace(report, warning="; ".join(warnings) or None)
        warning = None


def _take_folder(job: Job, folder: TrialFolder) -> None:
    """Leave word of whose folder this is.

    What another configuration reported there is no past of this one.
    """
    values = {
        name: value for name, value in job.values.items() if not _is_absolute(value)
    }  # They may be moved.
    mine = json.dumps(
        {"task": job.task, "values": values, "seed": job.seed}, sort_keys=True, default=str
    )
    if folder.owner.exists() and folder.owner.read_text(encoding="utf-8") != mine:
        folder.keep_metrics_until(0)
    job.folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder.owner, mine)


def _is_absolute(value: object) -> bool:
    return isinstance(value, str) and Path(value).is_absolute()


def _past(
    job: Job, folder: TrialFolder, state: dict[str, Any] | None, is_task: bool
) -> Iterator[Report]:
    """The epochs that a state contains.

    Of a function, which keeps its state itself, all that it reported.
    """
    lines, last = folder.read_metrics(), 0
    end = (state["epoch"] if state else 0) if is_task else math.inf
    for line in lines:
        metrics = line.get("metrics")
        if line["epoch"] > end:
            return
        if (
            line["epoch"] <= last
            or not isinstance(metrics, dict)
            or job.objective.name not in metrics
        ):
            return  # It is damaged from here on.
        last = line["epoch"]
        yield Report(epoch=last, metrics=metrics, details=line.get("details", {}))


def _goes_on(job: Job, past: Sequence[Report]) -> bool:
    """Whether there is more to train after these epochs."""
    if not past:
        return True
    return past[-1].epoch < job.max_epochs and math.isfinite(past[-1].metrics[job.objective.name])


def _written(
    job: Job,
    folder: TrialFolder,
    mirror: NoMirror,
    state: dict[str, Any] | None,
    past: Sequence[Report],
    team: Team,
) -> Iterator[Report]:
    """New epochs, each written before it is reported, so that whoever heard of it finds it."""
    last = past[-1].epoch if past else 0
    values: list[float] | None = None  # of the epochs before, read when the first new one is there
    with (
        event_writer(job.folder, purge_step=last + 1 if past else None) as events,
        CheckpointWriter(folder, written=lambda: mirror.push(job.folder)) as checkpoints,
    ):
        _write_values(events, job)
        started = time.monotonic()
        for report in reports(job, state, past, team):
            if report.epoch <= last:  # It was written; there is just more to say of it.
                yield report
                continue
            if values is None:
                values = [
                    line["metrics"][job.objective.name]
                    for line in folder.keep_metrics_until(report.epoch - 1)
                ]
            value, last = report.metrics[job.objective.name], report.epoch
            best = is_best(value, values, job.objective)
            values.append(value)
            checkpoints.wait()  # Of the epoch before.
            _write_metrics(folder, events, report, seconds=time.monotonic() - started)
            last_one = report.epoch == job.max_epochs
            checkpoints.write(report, reports=len(values), best=best, at_once=last_one)
            yield report
            started = time.monotonic()
            if not math.isfinite(value):
                return


def event_writer(folder: Path, purge_step: int | None) -> "SummaryWriter":
    """A writer of TensorBoard events that leaves multiprocessing's start method to the user's code.

    Its queue would fix it: `multiprocessing.set_start_method` may be called once, and before any
    such thing is made.
    """
    from tensorboardX import SummaryWriter  # Who reads a study has no need of it.

    method = multiprocessing.get_start_method(allow_none=True)
    writer = SummaryWriter(str(folder), purge_step=purge_step)
    multiprocessing.set_start_method(method, force=True)
    return writer


def _write_values(events: "SummaryWriter", job: Job) -> None:
    """The configuration, for TensorBoard's page of hyperparameters."""
    from tensorboardX.summary import hparams

    values = {
        name: value if isinstance(value, str | int | float) else str(value)
        for name, value in job.values.items()
    }
    for summary in hparams(values, {tag(job.objective.name): None})[:2]:
        events.file_writer.add_summary(summary)


def tag(name: str) -> str:
    """A metric's name as TensorBoard takes it, on the page of hyperparameters too."""
    return OTHER_CHARACTERS.sub("_", name).lstrip("/")


def reports(
    job: Job, state: dict[str, Any] | None = None, past: Sequence[Report] = (), team: Team = ALONE
) -> Iterator[Report]:
    """The bare reports of a job, those that are `past` left out: nothing is written."""
    task = load_task(job.task)
    device = default_device()
    if isinstance(task, Task):
        new = task.train(
            make_config(task, job.values),
            seed=job.seed,
            split_seed=job.split_seed,
            device=device,
            max_epochs=job.max_epochs,
            objective=job.objective,
            resume_from=state,
            team=team,
        )
        return _within_budget(new, job.max_epochs)
    context = {
        "seed": job.seed,
        "max_epochs": job.max_epochs,
        "device": device,
        "folder": job.folder,
    }
    context |= {"rank": team.rank, "workers": team.size}
    new = function_reports(
        task, job.values, task=job.task, objective=job.objective, context=context, past=past
    )
    return _within_budget(new, job.max_epochs)


def _within_budget(reports: Iterator[Report], max_epochs: int) -> Iterator[Report]:
    """The reports up to the last epoch of the budget; whoever trains on is not asked for more."""
    for report in reports:
        yield report
        if report.epoch >= max_epochs:
            return


def is_best(value: float, earlier: list[float], objective: Objective) -> bool:
    """Whether a finite value is better than all finite ones before it."""
    if not math.isfinite(value):
        return False
    return all(
        objective.sign * value > objective.sign * other for other in earlier if math.isfinite(other)
    )


def _write_metrics(
    folder: TrialFolder, events: "SummaryWriter", report: Report, *, seconds: float
) -> None:
    """Metrics come first: the checkpoint presupposes them."""
    line = {
        "epoch": report.epoch,
        "seconds": round(seconds, 4),
        "metrics": report.metrics,
        "details": report.details,
    }
    folder.append_metrics(line)
    for name, value in report.metrics.items():
        events.add_scalar(tag(name), value, report.epoch)
    events.flush()
