"""From the mapping of a YAML file to a Space: all mistakes, each with its line, are raised once."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from search_spaces.checks import (
    condition_problems,
    fixed_problems,
    sampler_problems,
    search_problems,
    start_problems,
    top_problems,
)
from search_spaces.parameter import KINDS, Kind, Parameter
from search_spaces.problems import Problem, SpaceError, is_number, show, unknown
from search_spaces.space import AUTO, Budget, Objective, Resources, Search, Space, parse_duration
from search_spaces.strict_yaml import Mapping as YamlMapping

TOP_KEYS = (
    "task",
    "extends",
    "objective",
    "parameters",
    "fixed",
    "start",
    "search",
    "budget",
    "resources",
    "seed",
)
BUDGET_KEYS = ("trials", "max_epochs", "epochs", "time", "retries", "keep")
_UNTOLD = {
    "trials": 10**9,
    "max_epochs": 10**9,
}  # stand for what is missing, so that nothing is out of budget
Section = TypeVar("Section", Search, Resources)


def space_from_mapping(mapping: Mapping[str, Any], *, name: str, file: str | Path) -> Space:
    """Build a space from the mapping that a YAML file holds, or from `Space.to_dict`.

    Raises:
        SpaceError: with every mistake, each with its line if the mapping knows it.
    """
    return build_space(with_places(mapping, Path(file).name), name=name, file=Path(file))


def build_space(root: YamlMapping, *, name: str, file: Path, problems: Sequence[str] = ()) -> Space:
    """Build a space from a mapping with places; `problems` were found before and are raised too.

    Raises:
        SpaceError: with every mistake, at most one a line for the lines that `problems` name.
    """
    reading = _Reading(root, problems)
    parts = reading.parts()
    if not reading.problems:
        with reading.at():
            return Space(name=name, file=file, **parts)
    reading.problems.sort(key=_by_line)
    raise SpaceError(reading.problems)


def with_places(value: Any, place: str) -> Any:
    """A copy in which every mapping knows its place; one that knows it already keeps it."""
    if isinstance(value, Mapping):
        own = value.place if isinstance(value, YamlMapping) else place
        where = value.where if isinstance(value, YamlMapping) else {}
        copy = YamlMapping(place=own)
        for key, item in value.items():
            copy.put(key, with_places(item, where.get(key, place)), where.get(key, place))
        return copy
    return (
        [with_places(item, place) for item in value] if isinstance(value, list | tuple) else value
    )


def place_of(root: YamlMapping, path: Iterable[str | int]) -> str:
    """Where the last part of a path is written that there is."""
    place, node = root.place, root
    for key in path:
        if isinstance(node, YamlMapping) and key in node:
            place, node = node.where[str(key)], node[str(key)]
        elif isinstance(node, list) and isinstance(key, int):
            node = node[key]
            place = node.place if isinstance(node, YamlMapping) else place
        else:
            break
    return place


def read_objective(given: object) -> Objective:
    """What `Objective.to_yaml` gives.

    Raises:
        SpaceError: if it is something else.
    """
    listed = given if isinstance(given, list) else [given]
    if not 1 <= len(listed) <= 2 or not all(
        isinstance(each, dict) and len(each) == 1 for each in listed
    ):
        shape = "{maximize: name}, {minimize: name} or a list of two such"
        raise SpaceError([f"objective must be {shape}, got {show(given)}"])
    objective: Objective | None = None
    for each in reversed(listed):
        ((direction, name),) = each.items()
        objective = Objective(name=name, direction=direction, second=objective)
    assert objective is not None
    return objective


def plain(value: Any) -> Any:
    """A value without the places of a mapping's keys."""
    return dict(value) if isinstance(value, YamlMapping) else value


class _Reading:
    """One pass over the mapping of a file, which notes each mistake and goes on."""

    def __init__(self, root: YamlMapping, problems: Sequence[str]) -> None:
        self.root = root
        self.problems = list(problems)
        self._before = tuple(problems)

    def parts(self) -> dict[str, Any]:
        """The fields of a Space; not to be used if there are problems."""
        self._keys((), self.root, TOP_KEYS, required=("task", "parameters", "budget"))
        if self.root.get("extends") is not None:
            self.add(
                f"extends must be read from a file, got {show(self.root['extends'])} in a mapping",
                "extends",
            )
        by_name = {
            name: self._parameter(name, spec) for name, spec in self._section("parameters").items()
        }
        parts = {
            "task": self.root.get("task", "?"),
            "objective": self._objective(),
            "fixed": dict(self._section("fixed")),
            "start": self._start(by_name),
            "search": self._search(),
            "budget": self._budget(),
            "resources": self._plain("resources", Resources),
            "seed": self.root.get("seed", 0),
        }
        self._cross_check(by_name, parts)
        return {**parts, "parameters": tuple(by_name.values())}

    def add(self, text: str, *path: str | int) -> None:
        """Note a mistake, unless one found before on its line may be the cause."""
        place = place_of(self.root, path)
        if not any(problem.startswith(f"{place}: ") for problem in self._before):
            self._tell(text, place)

    def _tell(self, text: str, place: str) -> None:
        self.problems.append(f"{place}: {text}")

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Note the mistakes that are raised within, and go on behind."""
        try:
            yield
        except SpaceError as error:
            self._add_all(error.found, *path)

    def _add_all(self, found: Iterable[Problem], *path: str | int) -> None:
        for problem in found:
            self.add(problem.text, *path, *problem.path)

    def _keys(
        self,
        path: tuple[str, ...],
        mapping: YamlMapping,
        valid: Sequence[str],
        required: Sequence[str],
    ) -> None:
        within = f"in {'.'.join(path)}, " if path else ""
        for key in mapping:
            if key not in valid:
                self._tell(unknown(f"{within}a key", key, valid), place_of(self.root, (*path, key)))
        for key in required:
            if key not in mapping:
                self.add(
                    f"{within}the key {key} must be given, got {', '.join(mapping) or 'none'}",
                    *path,
                )

    def _section(self, key: str) -> YamlMapping:
        section = self.root.get(key, YamlMapping())
        if isinstance(section, YamlMapping):
            return section
        self.add(f"{key} must be a mapping, got {show(section)}", key)
        return YamlMapping()

    def _plain(self, key: str, make: type[Section]) -> Section:
        names = [item.name for item in fields(make)]
        section = self._section(key)
        self._keys((key,), section, names, required=())
        with self.at(key):
            return make(**{name: plain(section[name]) for name in names if name in section})
        return make()

    def _search(self) -> Search:
        if self.root.get("search", "auto") == "auto":
            return AUTO
        return self._plain("search", Search)

    def _budget(self) -> Budget | None:
        section = self._section("budget")
        if isinstance(self.root.get("budget"), YamlMapping):
            self._keys(("budget",), section, BUDGET_KEYS, required=("trials", "max_epochs"))
        values = {**_UNTOLD, **{key: section[key] for key in BUDGET_KEYS if key in section}}
        time = values.pop("time", None)
        time_s = None
        with self.at("budget", "time"):
            time_s = None if time is None else parse_duration(time)
        with self.at("budget"):
            return Budget(**values, time_s=time_s)
        return None

    def _objective(self) -> Objective | None:
        given = self.root.get("objective")
        if given is None:
            return None
        with self.at("objective"):
            return read_objective(given)
        return None

    def _start(self, by_name: Mapping[str, Parameter | None]) -> tuple[dict[str, Any], ...]:
        points = self.root.get("start", [])
        if not isinstance(points, list) or not all(
            isinstance(point, YamlMapping) for point in points
        ):
            self.add(
                f"start must be a list of mappings from name to value, got {show(points)}", "start"
            )
            return ()
        return tuple(
            {name: _cast(by_name.get(name), value) for name, value in point.items()}
            for point in points
        )

    def _parameter(self, name: str, spec: object) -> Parameter | None:
        if spec is None:
            text = "null must remove a parameter of the space that is extended, got a new name"
            self.add(f"{name}: {text}", "parameters", name)
        elif (
            not isinstance(spec, YamlMapping)
            or len(kinds := [kind for kind in KINDS if kind in spec]) != 1
        ):
            text = "must be {float: [low, high]}, {int: [low, high]} or {choice: [values]}"
            self.add(f"{name}: {text}, got {show(spec)}", "parameters", name)
        else:
            return self._of_kind(name, kinds[0], spec)
        return None

    def _of_kind(self, name: str, kind: Kind, spec: YamlMapping) -> Parameter | None:
        valid = (kind, "when") if kind == "choice" else (kind, "log", "step", "when")
        self._keys(("parameters", name), spec, valid, required=())
        values, when = spec[kind], spec.get("when", {})
        if not isinstance(values, list) or (kind != "choice" and len(values) != 2):
            shape = "a list of values" if kind == "choice" else "[low, high]"
            self.add(
                f"{name}: {kind} must be {shape}, got {show(values)}", "parameters", name, kind
            )
        elif not isinstance(when, dict):
            self.add(
                f"{name}: when must be {{name: value or [values]}}, got {show(when)}",
                "parameters",
                name,
                "when",
            )
        else:
            drawn: dict[str, Any] = (
                {"choices": tuple(values)}
                if kind == "choice"
                else {"low": values[0], "high": values[1]}
            )
            options = {key: spec[key] for key in ("log", "step") if key in valid and key in spec}
            allowed = {
                parent: tuple(item) if isinstance(item, list) else (item,)
                for parent, item in when.items()
            }
            with self.at("parameters", name):
                return Parameter(name=name, kind=kind, **drawn, **options, when=allowed)
        return None

    def _cross_check(
        self, by_name: Mapping[str, Parameter | None], parts: Mapping[str, Any]
    ) -> None:
        fixed, start, budget = parts["fixed"], parts["start"], parts["budget"]
        self._add_all(top_problems(parts["task"], parts["seed"]))
        self._add_all(fixed_problems(by_name, fixed))
        self._add_all(condition_problems(by_name, fixed))
        may_repeat = parts["search"].sampler == "none"
        self._add_all(start_problems(by_name, fixed, start, may_repeat=may_repeat))
        if budget:
            self._add_all(search_problems(parts["search"], budget, len(start), parts["objective"]))
            sampler, known = parts["search"].sampler, {n: p for n, p in by_name.items() if p}
            if len(known) == len(by_name):
                self._add_all(sampler_problems(sampler, known, parts["objective"], budget.trials))
        if isinstance(self.root.get("parameters"), dict) and not by_name:
            self.add("a space must have at least one parameter, got none", "parameters")


def _by_line(problem: str) -> tuple[bool, str, int]:
    """What is written in a file comes first, from its top to its end."""
    match = re.match(r"(.*?):(\d{1,9}): ", problem)
    return (False, match[1], int(match[2])) if match else (True, "", 0)


def _cast(parameter: Parameter | None, value: object) -> object:
    return parameter.cast(value) if parameter and is_number(value) else value
