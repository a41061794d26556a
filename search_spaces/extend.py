"""One mapping laid over another: a child over the space that it extends, a command line over both.

Works on what the files hold, before it is checked; what has the wrong shape is left for the reader
to refuse.
"""

from collections.abc import Iterable
from typing import Any

from search_spaces.problems import SpaceError, same
from search_spaces.reader import TOP_KEYS, with_places
from search_spaces.strict_yaml import Mapping, read_value

SECTIONS = ("search", "budget", "resources")
_SETTABLE = (
    *(f"{section}.<key>" for section in SECTIONS),
    "seed",
    "task",
    "the name of a task value",
)


def extend(parent: Mapping, child: Mapping) -> Mapping:
    """The parent with the child's keys over it; the child's word wins wherever both have one.

    A value that the child fixes is no longer searched, nor is one that it sets to null; the start
    points forget both.
    """
    merged = with_places(parent, parent.place)
    merged.place = child.place
    for name, value in section_of(child, "fixed").items():
        fix(merged, name, value, child["fixed"].where[name])
    for name, spec in section_of(child, "parameters").items():
        _set_parameter(merged, name, spec, child["parameters"].where[name])
    for key, value in child.items():
        inner = key in (*SECTIONS, "fixed", "parameters") and isinstance(value, Mapping)
        if key in SECTIONS and inner:
            for name, item in value.items():
                put(merged, key, name, item, value.where[name])
        elif not inner and key != "extends":
            merged.put(key, value, child.where[key])
    return merged


def apply_override(root: Mapping, text: str) -> None:
    """Apply one `key=value` of a command line.

    Raises:
        SpaceError: if it cannot be read, or its key is none that a command line may set.
    """
    place = f"--set {text}"
    key, equals, written = text.partition("=")
    key = key.strip()
    first, _, rest = key.partition(".")
    if not equals or not key:
        raise SpaceError([f"{place}: must be key=value, such as optim.lr=0.001"])
    value = read_value(written, place)
    if first in SECTIONS and rest:
        put(root, first, rest, value, place)
    elif key in ("seed", "task"):
        root.put(key, value, place)
    elif first in TOP_KEYS:
        hint = f"; write --set {rest}=..." if first in ("fixed", "parameters") and rest else ""
        raise SpaceError(
            [f"{place}: the key must be one of {', '.join(_SETTABLE)}, got {key}{hint}"]
        )
    else:
        fix(root, key, value, place)


def put(root: Mapping, section: str, key: str, value: object, place: str) -> None:
    """Set a key of a section, which comes to be if it was not there."""
    if section not in root:
        root.put(section, Mapping(place=place), place)
    if isinstance(root[section], Mapping):
        root[section].put(key, value, place)


def section_of(root: Mapping, key: str) -> Mapping:
    """A section's mapping, or an empty one where there is none."""
    section = root.get(key)
    return section if isinstance(section, Mapping) else Mapping()


def fix(root: Mapping, name: str, value: object, place: str) -> None:
    """Fix a value, so that it is searched no longer and what depends on it is settled."""
    _forget(root, name)
    put(root, "fixed", name, value, place)
    _settle(root, name, [value])


def _set_parameter(root: Mapping, name: str, spec: object, place: str) -> None:
    if spec is None and name in section_of(root, "parameters"):
        _forget(root, name)
    else:
        section_of(root, "fixed").pop(name, None)
        put(root, "parameters", name, spec, place)


def _forget(root: Mapping, name: str) -> None:
    """Take a parameter out of the search and the start points.

    Drop points that this leaves empty or twice.
    """
    section_of(root, "parameters").pop(name, None)
    start = root.get("start")
    if not isinstance(start, list) or not any(
        isinstance(point, Mapping) and name in point for point in start
    ):
        return
    for point in start:
        if isinstance(point, Mapping):
            point.pop(name, None)
    start[:] = [point for index, point in enumerate(start) if point and point not in start[:index]]


def _settle(root: Mapping, parent: str, possible: Iterable[Any]) -> None:
    """Resolve each `when` on a name with a fixed value: if it holds it goes, else the parameter."""
    for name, spec in list(section_of(root, "parameters").items()):
        when = spec.get("when") if isinstance(spec, Mapping) else None
        if not isinstance(when, Mapping) or parent not in when:
            continue
        allowed = when[parent] if isinstance(when[parent], list) else [when[parent]]
        if any(same(value, item) for value in possible for item in allowed):
            del when[parent]
        else:
            _forget(root, name)
            _settle(root, name, [])
