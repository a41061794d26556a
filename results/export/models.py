"""A trial's model as it was at its best epoch."""

import contextlib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from results.study.folder import StudyError
from trainables.job import Job
from trainables.machine import default_device, usable_cpus
from trainables.parts.data import Splits
from trainables.task import Task, load_task, make_config
from trainables.trial_folder import TrialFolder, read_state
from trainables.user_code.importing import task_folder

SHOWN_CHARACTERS = 400


def trained_model(job: Job) -> tuple[Task, Any, Splits, nn.Module]:
    """A trained job's task, config, data and model.

    The model is in evaluation mode, on the default device.

    Raises:
        StudyError: when the task is a bare function, or the model isn't kept or doesn't fit.
    """
    # PyTorch by itself heeds no container's limit.
    torch.set_num_threads(min(torch.get_num_threads(), usable_cpus()))
    task = task_with_model(job)
    config = make_config(task, job.values)
    best = TrialFolder(job.folder).best
    state = read_state(best)
    if state is None:
        raise StudyError(f"{best} can't be read")
    with contextlib.chdir(task_folder()):
        splits = task.data(config, job.split_seed)
        model = task.model(config, splits)
    fill(model, state["model"], best)
    return task, config, splits, model.to(default_device()).eval()


def task_with_model(job: Job) -> Task:
    """A job's task.

    Raises:
        StudyError: when it is a bare function.
        TaskError: when it can't be imported.
    """
    task = load_task(job.task)
    if not isinstance(task, Task):
        raise StudyError(
            f"{job.task} is a function, which keeps its model itself; only a Task's can be built "
            "here"
        )
    return task


def fill(model: nn.Module, state: Mapping[str, Any], source: Path) -> None:
    """Give a model its weights, which were read from `source`.

    Raises:
        StudyError: when they don't fit.
    """
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        why = textwrap.shorten(str(error), SHOWN_CHARACTERS)
        raise StudyError(
            f"{source}: the weights don't fit the configuration's model: {why}"
        ) from error
