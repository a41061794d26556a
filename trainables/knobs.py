"""Searched values that would be searched in vain, or would move what trials are compared by."""

import itertools
from collections.abc import Iterator

from search_spaces import Parameter, Space, SpaceError
from search_spaces.suggest import Values, high_corner, low_corner
from trainables.config import TaskError
from trainables.parts.optim import unused_settings
from trainables.task import Task, load_task, make_config

NEEDED_METHODS = {
    "optim.head_lr_mult": "head",
    "optim.freeze_epochs": "head",
    "optim.layer_decay": "layers",
}
"""Settings of the optimizer that act on what a method of the task names."""
MOST_COMBINATIONS = 10_000


def check_knobs(space: Space) -> None:
    """Refuse searched values that the task can't use, and those that move the validation data.

    Each trial would spend part of the sampler's attention on a value that changes nothing; or its
    value would be that of an easier or a harder validation split than another trial's.

    Raises:
        SpaceError: names each such value.
    """
    task = load_task(space.task)
    if isinstance(task, Task) and (problems := list(_problems(space, task))):
        raise SpaceError([f"{space.file.name}: {problem}" for problem in problems])


def _problems(space: Space, task: Task) -> Iterator[str]:
    for name in [parameter.name for parameter in space.parameters]:
        if name in task.validation_settings:
            yield (
                f"{name} is searched, but decides the validation data, so trials could not be "
                "compared: fix it, and search each value in a study of its own"
            )
        elif name.startswith("optim.") and uses_the_loop(task):
            yield from _optim_problems(space, task, name)
    frozen_epochs = space.fixed.get("optim.freeze_epochs")
    if frozen_epochs and uses_the_loop(task) and not _writes(task, "head"):
        yield (
            f"optim.freeze_epochs is {frozen_epochs}, but {space.task} doesn't write head(), so "
            "nothing would be trained while all else is frozen: write head(), or leave it at 0"
        )


def _optim_problems(space: Space, task: Task, name: str) -> Iterator[str]:
    method = NEEDED_METHODS.get(name)
    if method and not _writes(task, method):
        yield (
            f"{name} is searched, but {space.task} doesn't write {method}(), so it has nothing to "
            f"act on: write {method}(), or remove the parameter"
        )
    elif not _is_used(space, task, name):
        yield (
            f"{name} is searched, but no scheduler or optimizer of this space uses it: "
            "remove the parameter, or search one that does"
        )


def uses_the_loop(task: Task) -> bool:
    """Whether the task is trained by the loop that tasks share, and not by a `train` of its own."""
    return not _writes(task, "train")


def _writes(task: Task, method: str) -> bool:
    return getattr(type(task), method, None) is not getattr(Task, method, None)


def _is_used(space: Space, task: Task, name: str) -> bool:
    """Whether a setting of the optimizer has an effect in any configuration of the space."""
    field, tried = name.removeprefix("optim."), False
    for values in itertools.islice(_combinations(space, name), MOST_COMBINATIONS):
        try:
            optim = make_config(task, values).optim
        except TaskError:  # Not all combinations need be possible.
            continue
        tried = True
        if name in values and field not in unused_settings(optim):
            return True
    return not tried


def _combinations(space: Space, name: str) -> Iterator[Values]:
    """Configurations with all choices on which the use of a parameter may depend.

    They are the optimizer's, and those that its `when` names, directly or through others.
    """
    parameters = {parameter.name: parameter for parameter in space.parameters}
    deciding = [
        parameter
        for parameter in space.parameters
        if parameter.choices
        and (parameter.name.startswith("optim.") or parameter.name in _conditions(name, parameters))
    ]
    pinned = {name: parameters[name].low}  # So that it takes part, if the choices let it.
    for choices in itertools.product(*(parameter.choices for parameter in deciding)):
        pins = pinned | {p.name: choice for p, choice in zip(deciding, choices, strict=True)}
        yield from (low_corner(space, pins), high_corner(space, pins))


def _conditions(name: str, parameters: dict[str, Parameter]) -> set[str]:
    above = set(parameters[name].when)
    return above.union(*(_conditions(each, parameters) for each in above))
