"""A task's figures of a trained model: the part of `pictures` that needs PyTorch."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from results.export.export import trial_export
from results.export.models import trained_model
from results.study.best import BestEpoch
from results.study.folder import StudyError
from results.study.record import StudyRecord
from trainables.user_code.importing import task_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures_of(record: StudyRecord, best: BestEpoch, rows: Sequence[int]) -> "dict[str, Figure]":
    """The figures of a trial's model at its best epoch, by name.

    Raises:
        StudyError: when a row isn't there, or the task draws nothing.
    """
    job = trial_export(record, best).job
    task, config, splits, model = trained_model(job)
    outside = [row for row in rows if row >= len(splits.validation)]
    if outside:
        raise StudyError(
            f"rows must be below {len(splits.validation)}, the size of the validation split, got "
            f"{outside}"
        )
    with torch.no_grad(), contextlib.chdir(task_folder()):
        figures = task.pictures(config, model, splits, list(rows))
    if not figures:
        raise StudyError(f"{job.task} draws no pictures")
    return figures
