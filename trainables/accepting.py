"""Whether a task accepts a space: names, types, rules, corners and files.

In milliseconds, before anything starts.
"""

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path

from search_spaces import Objective, Space, SpaceError
from search_spaces.suggest import corners
from trainables.config import TaskError, flat_fields
from trainables.job import Job
from trainables.task import Task, TrainFunction, load_task, make_config
from trainables.user_code.signature import accepted, first_argument


def accept(space: Space) -> Objective:
    """The objective of a space whose every corner the task accepts.

    Raises:
        SpaceError: with all that the task refuses.
        TaskError: when the task can't be found.
    """
    task = load_task(space.task)
    if isinstance(task, Task):
        if problem := _objective_problem(space.objective, task, space.task):
            raise SpaceError([f"{space.file.name}: {problem}"])
        _check_corners(space, task)
        return space.objective or task.objective
    if space.resources.workers > 1 and "rank" not in accepted(task, {"rank": 0}):
        raise SpaceError(
            [
                f"{space.file.name}: resources.workers: the function {space.task} knows nothing "
                "of other workers: "
                "write a Task, or take `rank` and `workers` as keyword arguments and use "
                "torch.distributed"
            ]
        )
    if space.objective is None:
        raise SpaceError(
            [
                f"{space.file.name}: objective: {space.task} is a function, so the space must "
                "name what to compare by: "
                "objective: {maximize: accuracy} or {minimize: loss}"
            ]
        )
    if "epoch" in (space.objective.name, space.objective.second and space.objective.second.name):
        raise SpaceError(
            [f"{space.file.name}: objective: must be a metric, got epoch, which counts the reports"]
        )
    argument, names = (
        first_argument(task),
        {*(parameter.name for parameter in space.parameters), *space.fixed},
    )
    if argument in names:
        raise SpaceError(
            [
                f"{space.file.name}: {space.task} takes the whole configuration, a dict, as its "
                "first argument, got "
                f"one that is named as the parameter {argument}: def train(config), then "
                f"config[{argument!r}]"
            ]
        )
    return space.objective


def locate_files(space: Space) -> Space:
    """The space with its data files' paths made absolute, seen from the current folder or from the space's own.

    Raises:
        SpaceError: names each file that isn't there.
    """
    fixed, problems = dict(space.fixed), []
    for name in file_settings(load_task(space.task)):
        value = fixed.get(name)
        if isinstance(value, str):
            found = [
                base / value
                for base in (Path.cwd(), space.file.parent.resolve())
                if (base / value).exists()
            ]
            fixed[name] = str(found[0]) if found else value
            problems += (
                [] if found else [f"{space.file.name}: {name}: no such file or folder: {value}"]
            )
    if problems:
        raise SpaceError(problems)
    return dataclasses.replace(space, fixed=fixed) if fixed != space.fixed else space


def file_settings(task: Task | TrainFunction) -> list[str]:
    """The settings of a task that name files; of a function nobody knows."""
    if not isinstance(task, Task):
        return []
    kinds = flat_fields(task.Config).items()
    return [name for name, kind in kinds if Path in (kind, *typing.get_args(kind))]


def check_job(job: Job) -> None:
    """Make sure that a configuration that was written down can be trained.

    Raises:
        TaskError: when its task can't be found, or refuses its values or what it is compared by; or
            a file isn't there.
    """
    task = load_task(job.task)
    make_config(task, job.values)
    problems = [
        f"{name}: no such file or folder: {job.values[name]}"
        for name in file_settings(task)
        if isinstance(job.values.get(name), str) and not Path(job.values[name]).exists()
    ]
    if isinstance(task, Task) and (problem := _objective_problem(job.objective, task, job.task)):
        problems.append(problem)
    if problems:
        raise TaskError(*problems)


def _objective_problem(objective: Objective | None, task: Task, name: str) -> str | None:
    valid = {each.name: each.direction for each in (task.objective, *task.other_objectives)}
    wrong = [
        each
        for each in (objective, objective and objective.second)
        if each and _is_other(each, valid)
    ]
    if not wrong:
        return None
    named = ", ".join(f"{{{direction}: {metric}}}" for metric, direction in valid.items())
    got = ", ".join(f"{{{each.direction}: {each.name}}}" for each in wrong)
    return f"objective: {name} is compared by {named}, got {got}"


def _is_other(objective: Objective, valid: Mapping[str, str]) -> bool:
    return valid.get(objective.name) != objective.direction


def _check_corners(space: Space, task: Task) -> None:
    problems: dict[str, None] = {}
    for values in corners(space):
        try:
            make_config(task, values)
        except TaskError as error:
            problems |= dict.fromkeys(f"{space.file.name}: {problem}" for problem in error.problems)
    if problems:
        raise SpaceError(list(problems))
