"""Searched values that would be searched in vain, or would move what trials are compared by."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from search_spaces import Parameter, Space, SpaceError
from search_spaces.suggest import Values, high_corner, low_corner
from trainables.config import TaskError
from trainables.parts.optim import (
    NOT_EVALUATED,
    OPTIMIZER_SETTINGS,
    SCHEDULER_SETTINGS,
    OptimConfig,
    out_of_patience,
    plateau,
    unused_settings,
)
from trainables.task import Task, load_task, make_config

NEEDED_METHODS = {
    "optim.head_lr_mult": "head",
    "optim.freeze_epochs": "head",
    "optim.layer_decay": "layers",
}
"""Settings of the optimizer that act on what a method of the task names."""
MOST_COMBINATIONS = 10_000
SCHEDULER, PATIENCE = "optim.scheduler", "optim.patience_epochs"
CHOOSING: dict[str, dict[Any, set[str]]] = {
    SCHEDULER: dict(SCHEDULER_SETTINGS),
    "optim.optimizer": dict(OPTIMIZER_SETTINGS),
}
"""Settings that decide which others have an effect: for each of their values, those that do."""
WAITS = {
    "plateau": "optim.plateau_epochs",
    "step": "optim.step_epochs",
    "cosine_restarts": "optim.restart_epochs",
}
"""The epochs that a schedule waits for."""


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


def idle_knobs(space: Space) -> Iterator[str]:
    """Settings that have no effect in a part of the trials, or come too late in all of them.

    Yields:
        A warning about each: what has no effect, why, and the fix.
    """
    task = load_task(space.task)
    if isinstance(task, Task) and uses_the_loop(task):
        yield from _missing_conditions(space)
        yield from _late_schedules(space, task)
        yield from _late_patience(space)


def _missing_conditions(space: Space) -> Iterator[str]:
    """Parameters that take part under a schedule or an optimizer which does not use them."""
    for deciding, used_by in CHOOSING.items():
        known = set().union(*used_by.values())
        choices = _ends(space, deciding)
        for name in (parameter.name for parameter in space.parameters):
            field = name.removeprefix("optim.")
            users = [choice for choice in choices if field in used_by[choice]]
            idle = [
                choice
                for choice in choices
                if field in known
                and choice not in users
                and name in low_corner(space, {name: _ends(space, name)[0], deciding: choice})
            ]
            if users and idle:
                yield (
                    f"{name} has no effect where {deciding} is {' or '.join(idle)}: "
                    f"write when: {{{deciding}: [{', '.join(users)}]}}"
                )


def _late_schedules(space: Space, task: Task) -> Iterator[str]:
    """Schedules that would wait longer than any trial lasts."""
    kindest = {name: min(ends) for name in WAITS.values() if (ends := _ends(space, name))}
    if ends := _ends(space, PATIENCE):
        kindest[PATIENCE] = 0 if 0 in ends else max(ends)
    for choice in _ends(space, SCHEDULER) or [None]:
        pins = kindest if choice is None else {**kindest, SCHEDULER: choice}
        with contextlib.suppress(TaskError):  # Not all combinations need be possible.
            optim = make_config(task, low_corner(space, pins)).optim
            if not _comes_in_time(optim, space.budget.max_epochs):
                yield _too_late(optim, space.budget.max_epochs)


def _comes_in_time(optim: OptimConfig, max_epochs: int) -> bool:
    """Whether a schedule that waits comes to act, where no evaluation is better than the first."""
    if optim.scheduler != "plateau":
        wait = WAITS.get(optim.scheduler, "")
        return getattr(optim, wait.removeprefix("optim."), 0) < max_epochs
    scores = [
        NOT_EVALUATED if epoch % optim.evaluate_every else 0.0 for epoch in range(1, max_epochs)
    ]
    for epoch in range(1, max_epochs):
        if out_of_patience(scores[:epoch], optim.patience_epochs):
            return False
        if plateau(scores[:epoch], patience=optim.plateau_epochs, factor=0.5) < 1:
            return True
    return False


def _too_late(optim: OptimConfig, max_epochs: int) -> str:
    names = [WAITS[optim.scheduler]]
    if optim.scheduler == "plateau" and optim.patience_epochs:
        names.append(PATIENCE)
    waits = (f"{name} {getattr(optim, name.removeprefix('optim.'))}" for name in names)
    return (
        f"{SCHEDULER} {optim.scheduler} comes too late in trials of {max_epochs} epochs with "
        f"{' and '.join(waits)}: lower {names[0]}"
    )


def _late_patience(space: Space) -> Iterator[str]:
    """A patience that outlasts all trials."""
    given = _ends(space, PATIENCE) or [space.fixed.get(PATIENCE, 0)]
    shortest = min(filter(None, given), default=0)
    if shortest and shortest >= space.budget.max_epochs - 1:
        yield (
            f"{PATIENCE} {shortest} ends no trial of {space.budget.max_epochs} epochs: "
            "lower it, or leave it out"
        )


def _ends(space: Space, name: str) -> list[Any]:
    """The choices of a parameter, or the ends of its range; none if it is not searched."""
    found = [parameter for parameter in space.parameters if parameter.name == name]
    return [end for p in found for end in (p.choices or (p.low, p.high))]


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
