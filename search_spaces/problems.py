"""How a user's mistakes are told: the rule, the value got, the valid names; all at once."""

import difflib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

Scalar = str | int | float | bool | None
MAX_WHOLE = 2**53  # Beyond it JSON's readers and floats have no exact whole numbers.


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One mistake: its text, and the keys that lead to it from the object that found it."""

    text: str
    path: tuple[str | int, ...] = ()


class SpaceError(Exception):
    """The mistakes of a user, all of them, each with its rule and its place."""

    def __init__(self, found: Iterable[Problem | str]) -> None:
        """Keep every mistake; a plain text is one whose place is already in it."""
        self.found = [Problem(text=item) if isinstance(item, str) else item for item in found]
        super().__init__(self.found)

    @property
    def problems(self) -> list[str]:
        """One text a mistake."""
        return [problem.text for problem in self.found]

    def __str__(self) -> str:
        return "\n".join(self.problems)


def check(*rules: Problem | None) -> None:
    """Raise every broken rule at once.

    Raises:
        SpaceError: if any of the rules is a problem.
    """
    if found := [rule for rule in rules if rule is not None]:
        raise SpaceError(found)


def rule(holds: bool, field: str, text: str) -> Problem | None:
    """Nothing if the rule about this field holds, else the problem."""
    return None if holds else Problem(text=text, path=(field,))


def whole(field: str, value: object, *, least: int, most: int = MAX_WHOLE) -> Problem | None:
    """The rule that a field is a whole number, how small it may be and how large."""
    too_large = is_whole(value) and value > most
    limits = f"at most {most}" if too_large else f"at least {least}"
    return rule(
        is_whole(value) and least <= value <= most,
        field,
        f"{field} must be a whole number, {limits}, got {show(value)}",
    )


def one_of(field: str, value: object, valid: Iterable[str]) -> Problem | None:
    """The rule that a field is one of these words."""
    return rule(
        isinstance(value, str) and value in (valid := list(valid)),
        field,
        unknown(field, value, valid),
    )


def word(field: str, value: object) -> Problem | None:
    """The rule that a field is a text with something in it."""
    holds = isinstance(value, str) and bool(value.strip())
    return rule(holds, field, f"{field} must be a text that is not empty, got {show(value)}")


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is an int; a bool is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite int or float; a bool is none."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_scalar(value: object) -> bool:
    """Whether it is a text, a finite number, true, false or null."""
    return value is None or isinstance(value, str | bool) or is_number(value)


def same(left: object, right: object) -> bool:
    """Equality that tells true from 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def unknown(kind: str, name: object, valid: Iterable[str]) -> str:
    """The message for a name that is none of the valid ones, with the nearest if one is near."""
    names = list(valid)
    near = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else []
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{kind} must be one of {', '.join(names) or '(there are none)'}, got {show(name)}{hint}"


def show(value: object) -> str:
    """A value as it would be written in YAML, cut short if it is long."""
    text = _show(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _show(value: Any) -> str:
    match value:
        case float():
            return show_float(value)
        case list() | tuple():
            return f"[{', '.join(map(_show, value))}]"
        case dict():
            return "{" + ", ".join(f"{key}: {_show(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False, default=str)


def show_float(value: float) -> str:
    """A float in the form that YAML 1.1 reads as a float: 1.0e-05, never 1e-05."""
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
