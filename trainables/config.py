"""Flat names, nested configs: `{"optim.lr": 3e-4}` becomes `Config(optim=OptimConfig(lr=3e-4))`."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")

KIND_TEXTS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


class TaskError(ValueError):
    """A task, its configuration or its data can't be used; `problems` has a line for each."""

    def __init__(self, *problems: str):
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def require(holds: bool, rule: str, **got: object) -> None:
    """Raise `ValueError` with the rule and the values that broke it, unless it `holds`."""
    if not holds:
        raise ValueError(
            f"{rule}, got " + ", ".join(f"{name}={value!r}" for name, value in got.items())
        )


def at_least(config: Any, low: float, *names: str) -> None:
    """Require these fields to be `low` or more; of a tuple every entry, and None passes."""
    rule = "not be negative" if low == 0 else f"be at least {low}"
    _require_each(config, names, lambda value: value >= low, rule)


def positive(config: Any, *names: str) -> None:
    """Require these fields to be greater than 0."""
    _require_each(config, names, lambda value: value > 0, "be positive")


def within(config: Any, low: float, high: float, *names: str) -> None:
    """Require these fields to be from `low` to `high`."""
    _require_each(config, names, lambda value: low <= value <= high, f"be in [{low}, {high}]")


def up_to(config: Any, high: float, *names: str) -> None:
    """Require these fields to be greater than 0 and at most `high`."""
    _require_each(config, names, lambda value: 0 < value <= high, f"be in (0, {high}]")


def share(config: Any, *names: str) -> None:
    """Require these fields to be from 0 to 1, like the share of something that is chosen."""
    within(config, 0, 1, *names)


def fraction(config: Any, *names: str) -> None:
    """Require these fields to be greater than 0 and less than 1, like a factor that lowers."""
    _require_each(config, names, lambda value: 0 < value < 1, "be in (0, 1)")


def below_one(config: Any, *names: str) -> None:
    """Require these fields to be from 0 to less than 1, like a dropout rate."""
    _require_each(config, names, lambda value: 0 <= value < 1, "be in [0, 1)")


def _require_each(
    config: Any, names: Sequence[str], holds: Callable[[Any], bool], rule: str
) -> None:
    for name in names:
        value = getattr(config, name)
        entries = value if isinstance(value, tuple) else () if value is None else (value,)
        require(all(map(holds, entries)), f"{name} must {rule}", **{name: value})


def build_config(config_class: type[T], values: Mapping[str, Any]) -> T:
    """Build a task's (nested, frozen) config dataclass from flat dotted names.

    Raises:
        TaskError: names every unknown field, every value of a wrong type and the first broken rule
            of each group.
    """
    problems: list[str] = []
    valid = flat_fields(config_class)
    for name in values.keys() - valid.keys():
        close = difflib.get_close_matches(name, valid, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        problems.append(
            f"{name}: not a setting of this task; {hint}the settings are {', '.join(sorted(valid))}"
        )
    config = _build(config_class, {k: v for k, v in values.items() if k in valid}, "", problems)
    if problems:
        raise TaskError(*sorted(problems))
    return typing.cast(T, config)


def flat_fields(config_class: type, prefix: str = "") -> dict[str, Any]:
    """Every dotted field name of a nested config dataclass, with its type."""
    fields: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(config_class).items():
        if dataclasses.is_dataclass(kind):
            fields |= flat_fields(typing.cast(type, kind), f"{prefix}{name}.")
        else:
            fields[prefix + name] = kind
    return fields


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A config's values by flat dotted name: the inverse of `build_config`."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f"{prefix}{field.name}.")
        else:
            flat[prefix + field.name] = value
    return flat


def _build(config_class: type, values: Mapping[str, Any], prefix: str, problems: list[str]) -> Any:
    arguments: dict[str, Any] = {}
    before = len(problems)
    required = {
        field.name
        for field in dataclasses.fields(config_class)
        if field.init and field.default is field.default_factory is dataclasses.MISSING
    }
    for name, kind in typing.get_type_hints(config_class).items():
        path = prefix + name
        if dataclasses.is_dataclass(kind):
            arguments[name] = _build(typing.cast(type, kind), values, path + ".", problems)
        elif path in values:
            try:
                arguments[name] = _coerce(values[path], kind)
            except TypeError as error:
                problems.append(f"{path}: must be {error}, got {values[path]!r}")
        elif name in required:
            problems.append(f"{path}: must be given, it has no default")
    if len(problems) > before:
        return None
    try:
        return config_class(**arguments)
    except ValueError as error:
        problems.append(f"{prefix.rstrip('.') or 'config'}: {error}")
    except Exception as error:  # A config's checks are anyone's code.
        problems.append(f"{prefix.rstrip('.') or 'config'}: {type(error).__name__}: {error}")
    return None


def _coerce(value: Any, kind: Any) -> Any:
    """`value` as `kind`; only an int becomes a float.

    Raises TypeError with a description of `kind`.
    """
    origin = typing.get_origin(kind)
    if origin is Literal:
        return _one_of(value, typing.get_args(kind))
    if origin in (typing.Union, types.UnionType):
        return _any_of(value, typing.get_args(kind))
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError("a list")
        return tuple(_coerce(item, typing.get_args(kind)[0]) for item in value)
    if kind is float and type(value) is int:
        return float(value)
    if kind is Path and isinstance(value, (str, Path)) and value != "":
        return Path(value)
    if type(value) is not kind:
        raise TypeError(KIND_TEXTS[kind])
    return value


def _one_of(value: Any, options: tuple[Any, ...]) -> Any:
    if not any(value == option and type(value) is type(option) for option in options):
        raise TypeError("one of " + ", ".join(map(str, options)))
    return value


def _any_of(value: Any, kinds: tuple[Any, ...]) -> Any:
    if value is None and type(None) in kinds:
        return None
    described = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return _coerce(value, kind)
        except TypeError as error:
            described.append(str(error))
    raise TypeError(" or ".join([*described, "null"] if type(None) in kinds else described))
