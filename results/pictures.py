"""Pictures: what a trained model does with validation data, as its task draws it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from results.best import Best
from results.export import trial_export
from results.models import trained_model
from results.read import StudyRecord
from results.study_folder import StudyError
from trainables.accept import import_from
from trainables.job import Job
from trainables.task import Task, load_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120


def draw(record: StudyRecord, *, trial: int | None, rows: Sequence[int]) -> list[Path]:
    """Draw the pictures of a trial's model at its best epoch, as PNG files in the study's `pictures` folder.

    Args:
        record: The study.
        trial: Its number; None is the best that still has a model.
        rows: Which samples of the validation split to show.

    Raises:
        StudyError: when there is no such trial, its model is not kept, a row isn't there, or the task draws nothing.
    """
    import_from(record.description.import_paths)
    record.folder.fetch()
    best = chosen(record, trial)
    figures = task_pictures(trial_export(record, best).job, rows)
    target = record.folder.pictures
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / f"trial-{best.number:04d}-{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        figure.savefig(path, dpi=DOTS_PER_INCH, bbox_inches="tight")
    return paths


def chosen(record: StudyRecord, trial: int | None) -> Best:
    """The best trial whose model is kept, or the one that is asked for."""
    bests = record.ranked()
    kept = [best for best in bests if record.folder.trial(best.number).best.exists()]
    if trial is None and kept:
        return kept[0]
    found = [best for best in kept if best.number == trial]
    if found:
        return found[0]
    known = ", ".join(str(best.number) for best in kept) or "none yet"
    wanted = "there is no trial" if trial is None else f"trial {trial} is not one"
    raise StudyError(f"{record.folder.path}: {wanted} whose model is kept; those are {known}")


def task_pictures(job: Job, rows: Sequence[int]) -> "dict[str, Figure]":
    """A task's figures of a job's model, by name."""
    if not isinstance(load_task(job.task), Task):
        raise StudyError(f"{job.task} is a function: only a Task can draw pictures")
    task, config, splits, model = trained_model(job)
    outside = [row for row in rows if row >= len(splits.validation)]
    if outside:
        raise StudyError(
            f"rows must be below {len(splits.validation)}, the size of the validation split, got {outside}"
        )
    with torch.no_grad():
        figures = task.pictures(config, model, splits, list(rows))
    if not figures:
        raise StudyError(f"{job.task} draws no pictures")
    return figures
