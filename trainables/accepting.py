"""Whether a task accepts a space: names, types, rules, corners and files.

In milliseconds, before anything starts.
"""

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from search_spaces import Objective, Space, SpaceError
from search_spaces.suggest import corners
from trainables.config import TaskError, flat_fields
from trainables.job import Job
from trainables.knobs import uses_the_loop
from trainables.parts.optim import OptimConfig
from trainables.task import Task, TrainFunction, load_task, make_config
from trainables.user_code.importing import describe, import_from
from trainables.user_code.signature import accepted, first_argument


def accept_at(space: Space, import_paths: Iterable[str]) -> tuple[Space, Objective]:
    """Find the task and the files of a space that the task accepts.

    From now on the task's modules are imported from these folders.

    Gives the space with its files' absolute paths, and its objective.

    Raises:
        SpaceError: with all that the task refuses, or each file that isn't there.
        TaskError: when the task can't be found, or is no task.
    """
    import_from(import_paths)
    objective = accept(space)
    return locate_files(space), objective


def accept(space: Space) -> Objective:
    """The objective of a space whose every corner the task accepts.

    Raises:
        SpaceError: with all that the task refuses.
        TaskError: when the task can't be found, or is no task.
    """
    task = load_task(space.task)
    if isinstance(task, Task):
        if problems := list(config_problems(task, space.task)):
            raise TaskError(*problems)
        if problem := _objective_problem(space.objective, task, space.task):
            raise SpaceError([f"{space.file.name}: {problem}"])
        _check_corners(space, task)
        return space.objective or task.objective
    if problem := _function_problem(space, task):
        raise SpaceError([f"{space.file.name}: {problem}"])
    assert space.objective is not None
    return space.objective


def config_problems(task: Task, name: str) -> Iterator[str]:
    """What the training loop needs of a task's Config, and it hasn't."""
    prefix = f"task {name!r}: "
    try:
        groups = list(_mutable_groups(task.Config))
        fields = flat_fields(task.Config) if not groups else {}
    except Exception as error:  # Its annotations are anyone's code.
        yield f"{prefix}the types of Config's fields can't be found: {describe(error)}"
        return
    for group in groups:
        yield (
            f"{prefix}{group} must be a frozen dataclass: "
            "write @dataclass(frozen=True, kw_only=True) above it"
        )
    if groups or not uses_the_loop(task):
        return
    optim = typing.get_type_hints(task.Config).get("optim")
    if not (isinstance(optim, type) and issubclass(optim, OptimConfig)):
        got = "none" if optim is None else f"one of the type {getattr(optim, '__name__', optim)}"
        yield (
            f"{prefix}Config must have a group optim, got {got}: add "
            "optim: OptimConfig = field(default_factory=OptimConfig), from trainables.parts.optim"
        )
    if fields.get("data.batch_size") is not int:
        yield (
            f"{prefix}Config must have a whole number data.batch_size: "
            "add batch_size: int = 32 to the dataclass of its group data"
        )


def _mutable_groups(config_class: type) -> Iterator[str]:
    """The names of the classes of a config, itself among them, that are no frozen dataclasses."""
    parameters = getattr(config_class, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        yield config_class.__name__
        return
    for kind in typing.get_type_hints(config_class).values():
        if dataclasses.is_dataclass(kind):
            yield from _mutable_groups(typing.cast(type, kind))


def _function_problem(space: Space, function: TrainFunction) -> str | None:
    if space.resources.workers > 1 and "rank" not in accepted(function, {"rank": 0}):
        return (
            f"resources.workers: the function {space.task} knows nothing of other workers: write a "
            "Task, or take `rank` and `workers` as keyword arguments and use torch.distributed"
        )
    if space.objective is None:
        return (
            f"objective: {space.task} is a function, so the space must name what to compare by: "
            "objective: {maximize: accuracy} or {minimize: loss}"
        )
    if "epoch" in (space.objective.name, space.objective.second and space.objective.second.name):
        return "objective: must be a metric, got epoch, which counts the reports"
    argument = first_argument(function)
    if argument in {*(parameter.name for parameter in space.parameters), *space.fixed}:
        return (
            f"{space.task} takes the whole configuration, a dict, as its first argument, got one "
            f"that is named as the parameter {argument}: def train(config), then "
            f"config[{argument!r}]"
        )
    return None


def locate_files(space: Space) -> Space:
    """The space with the absolute paths of its data files.

    They are seen from the current folder, or else from the space's own.

    Raises:
        SpaceError: names each file that isn't there.
    """
    fixed, problems = dict(space.fixed), []
    for name in file_settings(load_task(space.task)):
        value = fixed.get(name)
        if isinstance(value, str):
            paths = [base / value for base in (Path.cwd(), space.file.parent.resolve())]
            found = next((path for path in paths if path.exists()), None)
            if found is None:
                problems.append(f"{space.file.name}: {name}: no such file or folder: {value}")
            else:
                fixed[name] = str(found)
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
    offered = {each.name: each.direction for each in (task.objective, *task.other_objectives)}
    asked = [each for each in (objective, objective and objective.second) if each]
    wrong = {
        each.name: each.direction for each in asked if offered.get(each.name) != each.direction
    }
    if not wrong:
        return None
    return f"objective: {name} is compared by {_as_yaml(offered)}, got {_as_yaml(wrong)}"


def _as_yaml(directions: Mapping[str, str]) -> str:
    return ", ".join(f"{{{direction}: {metric}}}" for metric, direction in directions.items())


def _check_corners(space: Space, task: Task) -> None:
    problems: dict[str, None] = {}
    for values in corners(space):
        try:
            make_config(task, values)
        except TaskError as error:
            problems |= dict.fromkeys(f"{space.file.name}: {problem}" for problem in error.problems)
    if problems:
        raise SpaceError(list(problems))
