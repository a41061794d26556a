"""A trial's model as it was at its best epoch."""

from typing import Any

from torch import nn

from results.study_folder import StudyError
from trainables.data import Splits
from trainables.job import Job
from trainables.task import Task, default_device, load_task, make_config
from trainables.trial_folder import TrialFolder, read_state


def trained_model(job: Job) -> tuple[Task, Any, Splits, nn.Module]:
    """A trained job's task, config, data and model, which is ready to be evaluated on the default device.

    Raises:
        StudyError: when the task is a bare function, or the model isn't kept.
    """
    task = load_task(job.task)
    if not isinstance(task, Task):
        raise StudyError(f"{job.task} is a function: only a Task keeps its models")
    config = make_config(task, job.values)
    splits = task.data(config, job.split_seed)
    state = read_state(TrialFolder(job.folder).best)
    if state is None:
        raise StudyError(f"{TrialFolder(job.folder).best} can't be read")
    model = task.model(config, splits)
    model.load_state_dict(state["model"])
    return task, config, splits, model.to(default_device()).eval()
