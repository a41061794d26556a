"""The grid of a space: all configurations of choices, whole numbers and stepped floats."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any

from search_spaces.parameter import Parameter, active

MOST_POINTS = 100_000  # It is listed for each suggestion.


def grid_points(parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    """Every configuration, in order; of a larger grid, the first `MOST_POINTS` + 1.

    Parameters that take no part in a configuration are left out of it.

    Args:
        parameters: Each after those that its `when` names; none is without a grid.
    """
    return list(islice(_points(parameters, {}), MOST_POINTS + 1))


def has_grid(parameter: Parameter) -> bool:
    """Whether its values can be counted: a float needs a step."""
    return parameter.kind != "float" or parameter.step is not None


def _points(parameters: Sequence[Parameter], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not parameters:
        yield values
        return
    parameter, *others = parameters
    if not active(parameter, values):
        yield from _points(others, values)
        return
    for value in _values(parameter):
        yield from _points(others, {**values, parameter.name: value})


def _values(parameter: Parameter) -> Iterator[Any]:
    if parameter.kind == "choice":
        yield from parameter.choices
        return
    low, high, step = (
        Fraction(str(number)) for number in (parameter.low, parameter.high, parameter.step or 1)
    )
    for i in range(int((high - low) / step) + 1):
        value = low + i * step
        yield int(value) if parameter.kind == "int" else float(value)
