"""Training an exported configuration again, in this process, to its full budget."""

import contextlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from results.console import Console
from results.exit_codes import EXIT_DONE, EXIT_FAILED
from results.export.export import Export, read_export, retrain_folder
from results.study.folder import StudyError
from results.text import metric_text
from trainables.accepting import check_job
from trainables.config import TaskError
from trainables.job import Job, is_best, run
from trainables.task import Report
from trainables.trial_folder import TrialFolder
from trainables.user_code.importing import import_from, task_folder


def retrain(
    path: Path,
    *,
    seed: int | None,
    console: Console,
    train: Callable[[Job], Iterator[Report]] = run,
) -> int:
    """Train an export; says at the end whether it reached the exported value again.

    Gives the exit code.

    It writes to a folder beside the file. What lies there is gone on with if it is the same
    training, unfinished; else it is trained anew.

    Args:
        path: The export.
        seed: Another one than the export's.
        console: Where its progress is printed.
        train: What does the training; default: this process.

    Raises:
        StudyError: when the file is no export, or the folder beside it can't be written.
        TaskError: when its task can't be found or doesn't accept it, or a file isn't there.
    """
    export = read_export(path, path.parent)
    seed = export.job.seed if seed is None else seed
    folder = retrain_folder(path, seed)
    job = replace(export.job, seed=seed, folder=folder.absolute(), import_paths=export.import_paths)
    import_from(export.import_paths)
    try:
        check_job(job)
    except TaskError as error:
        raise TaskError(*(f"{path}: {problem}" for problem in error.problems)) from error
    console.say(f"{path}: {export.summary()}")
    console.say(f"training with seed {seed}; writes {folder}")
    try:
        _prepare(job, replace(export, job=job))
    except OSError as error:
        raise StudyError(
            f"{folder} can't be written: {error.strerror}; copy {path.name} to a folder of your "
            "own, and train that"
        ) from error
    with contextlib.chdir(task_folder()):
        best = _train(job, console, train)
    name = job.objective.name
    if best is None:
        console.say(f"no finite {name} was reached", style="red")
        return EXIT_FAILED
    verdict = _verdict(export, job, best[0])
    console.say(f"best {name} {metric_text(best[0])} at epoch {best[1]}{verdict}")
    return EXIT_DONE


def _train(
    job: Job, console: Console, train: Callable[[Job], Iterator[Report]]
) -> tuple[float, int] | None:
    """Train, telling of each epoch; gives the best value and its epoch."""
    best, values = None, list[float]()
    for report in train(job):
        if report.warning:
            console.say(report.warning, style="yellow")
        shown = "  ".join(
            f"{name} {metric_text(value)}" for name, value in report.metrics.items() if name != "lr"
        )
        console.say(f"epoch {report.epoch}/{job.max_epochs}  {shown}")
        value = report.metrics[job.objective.name]
        best = (value, report.epoch) if is_best(value, values, job.objective) else best
        values.append(value)
    return best


def _prepare(job: Job, export: Export) -> None:
    """Clear the folder, unless it holds this very training in an unfinished state."""
    folder, note = TrialFolder(job.folder), job.folder / "config.json"
    content = json.dumps(export.content(), indent=2)
    epochs = len(folder.read_metrics())
    if epochs >= job.max_epochs or not note.exists() or note.read_text(encoding="utf-8") != content:
        shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True, exist_ok=True)
    note.write_text(content, encoding="utf-8")


def _verdict(export: Export, job: Job, value: float) -> str:
    if job.seed != export.job.seed:
        return f"; the export's seed reached {metric_text(export.best.value)}"
    if _is_the_same(value, export.best.value):
        return ": the exported value, reproduced"
    said = f"; the export says {metric_text(export.best.value)}"
    if _is_the_same(_value_at(export.best.epoch, job), export.best.value):
        return f"{said} at epoch {export.best.epoch}: reproduced, and then trained on"
    return said


def _is_the_same(value: float, exported: float) -> bool:
    return math.isclose(value, exported, rel_tol=0, abs_tol=1e-12)


def _value_at(epoch: int, job: Job) -> float:
    """NaN where that epoch was not reported."""
    for line in TrialFolder(job.folder).read_metrics():
        if line["epoch"] == epoch:
            return float(line["metrics"][job.objective.name])
    return math.nan
