"""Proves that flat values become a nested config strictly, with all mistakes told at once.

pytest tests/trainables
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from trainables.config import TaskError, build_config, flat_fields, flatten, require


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    rate: float = 0.5
    depth: int = 2
    wide: bool = False
    kind: Literal["relu", "tanh"] = "relu"
    power: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        require(self.rate > 0, "rate must be positive", rate=self.rate)
        require(self.depth < 9, "depth must be below 9", depth=self.depth, rate=self.rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    other: Inner = field(default_factory=Inner)
    path: Path | None = None
    sizes: tuple[int, ...] = (1, 2)
    limit: int | float | None = None
    name: str = "x"


@dataclass(frozen=True, kw_only=True)
class Required:
    folder: Path
    inner: Inner = field(default_factory=Inner)


def problems_of(values: dict[str, Any], config_class: type = Outer) -> list[str]:
    with pytest.raises(TaskError) as caught:
        build_config(config_class, values)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "value", "built"),
    [
        ("inner.rate", 1, 1.0),
        ("inner.rate", 2.5, 2.5),
        ("inner.depth", 3, 3),
        ("inner.wide", True, True),
        ("inner.kind", "tanh", "tanh"),
        ("inner.power", 2, 2),
        ("path", "a/b", Path("a/b")),
        ("path", Path("a"), Path("a")),
        ("path", None, None),
        ("sizes", [3, 4], (3, 4)),
        ("sizes", [], ()),
        ("limit", None, None),
        ("limit", 2.5, 2.5),
        ("name", "", ""),
    ],
)
def test_a_value_of_the_right_type_is_taken(name: str, value: Any, built: Any) -> None:
    got = flatten(build_config(Outer, {name: value}))[name]
    assert got == built
    assert type(got) is type(built)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("inner.rate", "1e-5", "inner.rate: must be a number, got '1e-5'"),
        ("inner.rate", True, "inner.rate: must be a number, got True"),
        ("inner.rate", None, "inner.rate: must be a number, got None"),
        ("inner.depth", 3.0, "inner.depth: must be a whole number, got 3.0"),
        ("inner.depth", True, "inner.depth: must be a whole number, got True"),
        ("inner.wide", 1, "inner.wide: must be true or false, got 1"),
        ("inner.kind", "gelu", "inner.kind: must be one of relu, tanh, got 'gelu'"),
        ("inner.kind", ["relu"], "inner.kind: must be one of relu, tanh, got ['relu']"),
        ("inner.power", True, "inner.power: must be one of 1, 2, got True"),
        ("inner.power", 1.0, "inner.power: must be one of 1, 2, got 1.0"),
        ("path", 3, "path: must be a path or null, got 3"),
        ("path", "", "path: must be a path or null, got ''"),
        ("sizes", 3, "sizes: must be a list, got 3"),
        ("sizes", [3, "4"], "sizes: must be a whole number, got [3, '4']"),
        ("limit", "3", "limit: must be a whole number or a number or null, got '3'"),
        ("name", 3, "name: must be text, got 3"),
        ("inner.rate", 0.0, "inner: rate must be positive, got rate=0.0"),
        ("inner.depth", 9, "inner: depth must be below 9, got depth=9, rate=0.5"),
    ],
)
def test_a_wrong_value_is_told_with_the_rule_and_the_value(
    name: str, value: Any, problem: str
) -> None:
    assert problems_of({name: value}) == [problem]


def test_an_unknown_name_is_told_with_a_close_one_and_all_others() -> None:
    (problem,) = problems_of({"inner.rat": 1.0})
    assert problem.startswith(
        "inner.rat: not a setting of this task; did you mean inner.rate? the settings are "
    )
    assert all(name in problem for name in flat_fields(Outer))
    (problem,) = problems_of({"zzz": 1.0})
    assert "did you mean" not in problem
    assert problems_of({"inner": 1.0})[0].startswith("inner: not a setting of this task")


def test_all_mistakes_are_told_at_once() -> None:
    problems = problems_of(
        {"inner.rate": -1.0, "other.rate": "x", "other.depth": None, "nam": "y", "path": 1}
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "inner",
        "nam",
        "other.depth",
        "other.rate",
        "path",
    ]


def test_a_value_without_default_must_be_given() -> None:
    assert problems_of({}, Required) == ["folder: must be given, it has no default"]
    assert build_config(Required, {"folder": "a"}).folder == Path("a")


def test_flatten_is_the_inverse() -> None:
    values = {"inner.rate": 0.25, "other.kind": "tanh", "sizes": (7,), "path": Path("a")}
    flat = flatten(build_config(Outer, values))
    assert values.items() <= flat.items()
    assert flat.keys() == flat_fields(Outer).keys()
    assert build_config(Outer, flat) == build_config(Outer, values)
