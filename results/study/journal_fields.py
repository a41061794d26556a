"""What a field of the journal, or of another file of a study, may hold, whatever the others do."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from search_spaces import SpaceError, read_objective
from search_spaces.problems import MAX_WHOLE, is_whole, show
from search_spaces.space import DIRECTIONS as OBJECTIVE_DIRECTIONS

MAX_DEPTH = 50


class Kind(NamedTuple):
    """What a field may hold: the check, and its rule in words."""

    holds: Callable[[Any], bool]
    words: str


def or_null(kind: Kind) -> Kind:
    """What may also be absent."""
    return Kind(lambda value: value is None or kind.holds(value), f"null or {kind.words}")


def list_of(kind: Kind, words: str) -> Kind:
    """A list whose items are all of a kind."""
    return Kind(lambda value: isinstance(value, list) and all(map(kind.holds, value)), words)


def wrong_fields(content: Mapping[str, Any], kinds: Mapping[str, Kind]) -> list[str]:
    """What is wrong with the fields of a mapping; null stands for one that isn't there."""
    return [
        f"{key} must be {kind.words}, got {show(content.get(key))}"
        for key, kind in kinds.items()
        if not kind.holds(content.get(key))
    ]


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(datetime.fromisoformat(value).astimezone())
    except (ValueError, OverflowError, OSError):
        return False


def _are_attributes(value: object, *, most: int) -> bool:
    """Whether it is so many names at most, at least one, with values of no great depth."""
    layer, depth = [value], 0
    while layer and depth <= MAX_DEPTH:
        layer = [part for item in layer for part in _parts(item)]
        depth += 1
    return not layer and isinstance(value, dict) and 1 <= len(value) <= most


def _is_objective(value: object) -> bool:
    try:
        read_objective(value)
    except SpaceError:
        return False
    return True


def _parts(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _is_value(value: object) -> bool:
    """Whether it is a number that a training may report: of any size, and not a number at that."""
    return isinstance(value, float) or (is_whole(value) and abs(value) <= MAX_WHOLE)


MAPPING = Kind(lambda value: isinstance(value, dict), "a mapping")
TEXT = Kind(lambda value: isinstance(value, str), "a text")
WHOLE = Kind(
    lambda value: type(value) is int and -MAX_WHOLE <= value <= MAX_WHOLE, "a whole number"
)
NUMBER = Kind(lambda value: _is_value(value) and math.isfinite(value), "a finite number")
VALUE = Kind(_is_value, "a number")
VALUES = Kind(
    lambda value: value is None or (isinstance(value, list) and all(map(_is_value, value))),
    "null or a list of numbers",
)
TIME = Kind(_is_time, "a date and time")
ONE = Kind(
    lambda value: _are_attributes(value, most=1), "an object with one key, and not deeply nested"
)
ONE_OR_TWO = Kind(
    lambda value: _are_attributes(value, most=2),
    "an object with one or two keys, and not deeply nested",
)
NULL = Kind(lambda value: value is None, "null")
EMPTY = Kind(lambda value: value == {}, "an empty object")
ZERO = Kind(lambda value: is_whole(value) and value == 0, "0: a journal holds one study")
DIRECTIONS = Kind(
    lambda value: isinstance(value, list) and len(value) == 1 and is_whole(value[0]),
    "one direction",
)
OBJECTIVE = Kind(_is_objective, f"{' or '.join(OBJECTIVE_DIRECTIONS)} with a metric's name")
