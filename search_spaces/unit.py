"""Parameters on one scale: each value has a place from 0 (the low end) to 1 (the high end)."""

import math
from typing import Any

import numpy as np

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


def snap(parameter: Parameter, places_N: np.ndarray) -> np.ndarray:
    """The places of the values that lie at these places."""
    if parameter.kind == "int" and parameter.log:
        assert parameter.low is not None
        assert parameter.high is not None
        low, high = _ends(parameter)
        numbers_N = np.rint(np.exp(low + places_N * (high - low)))
        return (np.log(np.clip(numbers_N, parameter.low, parameter.high)) - low) / (high - low)
    if not (count := _shares(parameter)):
        return places_N
    return (np.minimum(np.floor(places_N * count), count - 1) + 0.5) / count


def _shares(parameter: Parameter) -> int:
    """How many values share the scale evenly; 0: it is continuous."""
    if parameter.kind == "choice":
        return len(parameter.choices)
    assert parameter.low is not None
    assert parameter.high is not None
    step = _step(parameter)
    return round((parameter.high - parameter.low) / step) + 1 if step else 0


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
