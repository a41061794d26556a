"""Whether a task accepts a space: names, types, rules, corners and files; in milliseconds, before anything starts."""

import dataclasses
import typing
from pathlib import Path

from search_spaces import Objective, Space, SpaceError
from search_spaces.suggest import corners
from trainables.config import TaskError, flat_fields
from trainables.signature import accepted, first_argument
from trainables.task import Task, load_task, make_config


def accept(space: Space) -> Objective:
    """The objective of a space whose every corner the task accepts.

    Raises:
        SpaceError: with all that the task refuses.
        TaskError: when the task can't be found.
    """
    task = load_task(space.task)
    if isinstance(task, Task):
        _check_objective(space, task)
        _check_corners(space, task)
        return space.objective or task.objective
    if space.resources.workers > 1 and "rank" not in accepted(task, {"rank": 0}):
        raise SpaceError(
            [
                f"{space.file.name}: resources.workers: the function {space.task} knows nothing of other workers: "
                "write a Task, or take `rank` and `workers` as keyword arguments and use torch.distributed"
            ]
        )
    if space.objective is None:
        raise SpaceError(
            [
                f"{space.file.name}: objective: {space.task} is a function, so the space must name what to compare by: "
                "objective: {maximize: accuracy} or {minimize: loss}"
            ]
        )
    argument, names = first_argument(task), {*(parameter.name for parameter in space.parameters), *space.fixed}
    if argument in names:
        raise SpaceError(
            [
                f"{space.file.name}: {space.task} takes the whole configuration, a dict, as its first argument, got "
                f"one that is named as the parameter {argument}: def train(config), then config[{argument!r}]"
            ]
        )
    return space.objective


def locate_files(space: Space) -> Space:
    """The space with its data files' paths made absolute, seen from the current folder or from the space's own.

    Raises:
        SpaceError: names each file that isn't there.
    """
    task = load_task(space.task)
    if not isinstance(task, Task):
        return space
    fixed, problems = dict(space.fixed), []
    for name, kind in flat_fields(task.Config).items():
        value = fixed.get(name)
        if Path in (kind, *typing.get_args(kind)) and isinstance(value, str):
            found = [base / value for base in (Path.cwd(), space.file.parent.resolve()) if (base / value).exists()]
            fixed[name] = str(found[0]) if found else value
            problems += [] if found else [f"{space.file.name}: {name}: no such file or folder: {value}"]
    if problems:
        raise SpaceError(problems)
    return dataclasses.replace(space, fixed=fixed)


def _check_objective(space: Space, task: Task) -> None:
    valid = {objective.name: objective.direction for objective in (task.objective, *task.other_objectives)}
    first = space.objective
    wrong = [each for each in (first, first and first.second) if each and valid.get(each.name) != each.direction]
    if wrong:
        named = ", ".join(f"{{{direction}: {name}}}" for name, direction in valid.items())
        got = ", ".join(f"{{{each.direction}: {each.name}}}" for each in wrong)
        raise SpaceError([f"{space.file.name}: objective: {space.task} is compared by {named}, got {got}"])


def _check_corners(space: Space, task: Task) -> None:
    problems: dict[str, None] = {}
    for values in corners(space):
        try:
            make_config(task, values)
        except TaskError as error:
            problems |= dict.fromkeys(f"{space.file.name}: {problem}" for problem in error.problems)
    if problems:
        raise SpaceError(list(problems))
