"""The rules that hold between the parts of a space.

Each yields its problems with the keys that lead to them. A parameter that could not be read is None
here: its name is known, so what refers to it is no mistake of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search_spaces.grid import MOST_POINTS, grid_points, has_grid
from search_spaces.parameter import Parameter, name_problem, ordered
from search_spaces.problems import Problem, is_scalar, show, unknown, whole, word

if TYPE_CHECKING:
    from search_spaces.space import Budget, Objective, Search

GREATEST_SEED = 2**32 - 1  # NumPy and scikit-learn take no larger one.
ByName = Mapping[str, Parameter | None]
Start = Mapping[str, Any]


def top_problems(task: object, seed: object) -> Iterator[Problem]:
    """The task must be named, and the seed be a seed."""
    yield from filter(None, (word("task", task), whole("seed", seed, least=0, most=GREATEST_SEED)))


def fixed_problems(by_name: ByName, fixed: Mapping[str, Any]) -> Iterator[Problem]:
    """Fixed values must be plain, well named, and not searched as well."""
    for name, value in fixed.items():
        if problem := name_problem(name):
            yield Problem(text=problem.text, path=("fixed", name))
        if name in by_name:
            text = f"{name} must be in parameters or in fixed, got both; remove one"
            yield Problem(text=text, path=("fixed", name))
        if not all(map(is_scalar, value if isinstance(value, list) else [value])):
            text = (
                f"{name} must be a text, a finite number, true, false, null or a list of "
                f"these, got {show(value)}"
            )
            yield Problem(text=text, path=("fixed", name))


def condition_problems(by_name: ByName, fixed: Mapping[str, Any]) -> Iterator[Problem]:
    """Each `when` must name other parameters and values that they can take, and come to an end."""
    for name, parameter in by_name.items():
        for parent, values in parameter.when.items() if parameter else ():
            path = ("parameters", name, "when", parent)
            if parent not in by_name:
                others = [other for other in by_name if other != name]
                yield Problem(
                    text=f"{name}: {_not_searched('a name in when', parent, others, fixed)}",
                    path=path,
                )
            elif (other := by_name[parent]) and parent != name:
                problems = filter(None, map(other.problem_with, values))
                yield from (
                    Problem(text=f"{name}: when: {parent} {text}", path=path) for text in problems
                )
    yield from _cycle_problems(by_name)


def _cycle_problems(by_name: ByName) -> Iterator[Problem]:
    waiting = {
        name: parameter.when.keys() & by_name.keys()
        for name, parameter in by_name.items()
        if parameter
    }
    while ready := [name for name, parents in waiting.items() if not parents & waiting.keys()]:
        for name in ready:
            del waiting[name]
    if waiting:
        text = f"when must not lead in a circle, got one among {', '.join(waiting)}"
        yield Problem(text=text, path=("parameters", next(iter(waiting)), "when"))


def _not_searched(what: str, name: str, names: Iterable[str], fixed: Mapping[str, Any]) -> str:
    if name in fixed:
        return f"{what} must name a parameter, got {name}, which is fixed; remove it here"
    return unknown(what, name, names)


def start_problems(
    by_name: ByName, fixed: Mapping[str, Any], start: Sequence[Start], *, may_repeat: bool
) -> Iterator[Problem]:
    """Each start point must be one that the parameters can take, and differ from the others.

    It need not differ where they may repeat.
    """
    for index, point in enumerate(start):
        if not point:
            yield Problem(
                text="a start point must name at least one parameter, got {}", path=("start", index)
            )
        elif point in start[:index] and not may_repeat:
            yield Problem(
                text=f"start points must differ, got {show(point)} twice", path=("start", index)
            )
        for name, value in point.items():
            if text := _value_problem(by_name, fixed, point, name, value):
                yield Problem(text=f"start: {text}", path=("start", index, name))


def _value_problem(
    by_name: ByName, fixed: Mapping[str, Any], point: Start, name: str, value: object
) -> str | None:
    if name not in by_name:
        return _not_searched("a start point's key", name, by_name, fixed)
    parameter = by_name[name]
    if parameter is None:
        return None
    if text := parameter.problem_with(value):
        return f"{name} {text}"
    if reason := _ruled_out(parameter, point, by_name, frozenset()):
        return f"{name} must be left out where it takes no part, got {show(value)} with {reason}"
    return None


def _ruled_out(
    parameter: Parameter, point: Start, by_name: ByName, seen: frozenset[str]
) -> str | None:
    """What in the point keeps the parameter from taking part; None: the point leaves it open."""
    for name, allowed in parameter.when.items():
        if name in point and point[name] not in allowed:
            return f"{name}: {show(point[name])}"
        parent = by_name.get(name)
        if (
            parent
            and name not in seen
            and (reason := _ruled_out(parent, point, by_name, seen | {name}))
        ):
            return reason
    return None


def search_problems(
    search: "Search", budget: "Budget", starts: int, objective: "Objective | None"
) -> Iterator[Problem]:
    """The search must fit into the budget, and the scheduler to what is compared.

    Where nothing is suggested, the budget must be that of the start points.
    """
    if search.scheduler == "median" and objective and objective.second:
        text = "scheduler median must have one objective, as two have no median, got two"
        yield Problem(text=text, path=("search", "scheduler"))
    if (search.sampler == "auto") != (search.scheduler == "auto"):
        got = f"sampler={search.sampler}, scheduler={search.scheduler}"
        text = f"sampler and scheduler are both chosen (search: auto) or both named, got {got}"
        yield Problem(text=text, path=("search",))
    if search.sampler == "curves" and search.scheduler != "freeze_thaw":
        got = f"scheduler={search.scheduler}"
        text = f"sampler curves is the model of scheduler freeze_thaw, got {got}"
        yield Problem(text=text, path=("search", "sampler"))
    if search.sampler == "none" and budget.trials > starts:
        got = f"trials={budget.trials}, {starts} start points"
        text = f"without a sampler there can be no more trials than start points, got {got}"
        yield Problem(text=text, path=("budget", "trials"))
    if search.scheduler != "none" and search.grace_epochs > budget.max_epochs:
        got = f"grace_epochs={search.grace_epochs}, max_epochs={budget.max_epochs}"
        yield Problem(
            text=f"grace_epochs must not exceed max_epochs, got {got}",
            path=("search", "grace_epochs"),
        )


def sampler_problems(
    sampler: str, by_name: Mapping[str, Parameter], objective: "Objective | None", trials: int
) -> Iterator[Problem]:
    """What the sampler can't do with these parameters, objectives and trials."""
    if sampler == "grid":
        yield from _grid_problems(by_name, trials)
    elif sampler == "cmaes":
        yield from _cmaes_problems(by_name, objective)


def _grid_problems(by_name: Mapping[str, Parameter], trials: int) -> Iterator[Problem]:
    endless = [parameter for parameter in by_name.values() if not has_grid(parameter)]
    for parameter in endless:
        text = f"{parameter.name}: a float on a grid needs a step, or its values as a choice"
        yield Problem(text=f"{text}, got neither", path=("parameters", parameter.name))
    points = 0 if endless else len(grid_points(ordered(by_name)))
    if points > MOST_POINTS:
        text = f"a grid can have at most {MOST_POINTS} points, got more; sobol spreads trials too"
        yield Problem(text=text, path=("search", "sampler"))
    elif not endless and trials > points:
        text = f"there can be no more trials than points of the grid, got trials={trials}"
        yield Problem(text=f"{text}, {points} points", path=("budget", "trials"))


def _cmaes_problems(
    by_name: Mapping[str, Parameter], objective: "Objective | None"
) -> Iterator[Problem]:
    ranges = [name for name, parameter in by_name.items() if parameter.is_free_range]
    if len(ranges) < 2:
        text = f"cmaes needs at least two ranges without when, got {', '.join(ranges) or 'none'}"
        yield Problem(text=text, path=("search", "sampler"))
    if objective and objective.second:
        text = "cmaes follows one objective, got two; tpe and gp trade them"
        yield Problem(text=text, path=("search", "sampler"))
