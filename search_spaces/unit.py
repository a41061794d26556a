"""Parameters on one scale: each value has a place from 0 (the low end) to 1 (the high end)."""

import math
from typing import Any

from search_spaces.parameter import Parameter
from search_spaces.problems import same


def value_at(parameter: Parameter, place: float) -> Any:
    """What lies at a place of 0 ... 1; discrete values share it out evenly, as Optuna does."""
    place = min(max(place, 0.0), 1.0)
    if parameter.kind == "choice":
        count = len(parameter.choices)
        return parameter.choices[min(int(place * count), count - 1)]
    low, high = _ends(parameter)
    number = low + place * (high - low)
    if parameter.log:
        number = math.exp(number)
    return _nearest(parameter, number)


def place_of(parameter: Parameter, value: Any) -> float:
    """Where a value lies; of discrete values, the middle of its share."""
    if parameter.kind == "choice":
        index = next(i for i, choice in enumerate(parameter.choices) if same(choice, value))
        return (index + 0.5) / len(parameter.choices)
    low, high = _ends(parameter)
    return ((math.log(value) if parameter.log else value) - low) / (high - low)


def _ends(parameter: Parameter) -> tuple[float, float]:
    """The ends of the scale: half a step beyond the range, so that all values have equal shares."""
    assert parameter.low is not None
    assert parameter.high is not None
    half = _step(parameter) / 2
    low, high = parameter.low - half, parameter.high + half
    return (math.log(low), math.log(high)) if parameter.log else (low, high)


def _nearest(parameter: Parameter, number: float) -> float:
    """The possible value that is nearest."""
    assert parameter.low is not None
    assert parameter.high is not None
    if step := _step(parameter):
        last = round((parameter.high - parameter.low) / step)
        number = parameter.low + step * min(max(round((number - parameter.low) / step), 0), last)
    number = min(max(number, parameter.low), parameter.high)
    return int(number) if parameter.kind == "int" else float(number)


def _step(parameter: Parameter) -> float:
    """The distance of neighbouring values; 0: there are none."""
    return parameter.step or (1 if parameter.kind == "int" else 0)
