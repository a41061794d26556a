"""Where a value lies in what was searched, and what was searched in words."""

import math
from typing import Any

from results.text import value_text
from search_spaces import Parameter
from search_spaces.problems import same

AWAY, MOST_MARKS = 0.16, 3


def place(parameter: Parameter, value: Any) -> float:
    """Where a value lies in its range, 0 to 1, on the scale that it was searched on.

    Choices are spread evenly.
    """
    if parameter.kind == "choice":
        index = next((i for i, choice in enumerate(parameter.choices) if same(choice, value)), 0)
        return index / (len(parameter.choices) - 1)
    assert parameter.low is not None and parameter.high is not None
    low, high, number = (
        _scaled(parameter, float(number)) for number in (parameter.low, parameter.high, value)
    )
    return (number - low) / (high - low)


def value_at(parameter: Parameter, part: float) -> float:
    """The value of a range at a place from 0 to 1."""
    assert parameter.low is not None and parameter.high is not None
    low, high = _scaled(parameter, float(parameter.low)), _scaled(parameter, float(parameter.high))
    return math.exp(low + part * (high - low)) if parameter.log else low + part * (high - low)


def _scaled(parameter: Parameter, value: float) -> float:
    return math.log(value) if parameter.log else value


def ticks(parameter: Parameter) -> tuple[list[float], list[str]]:
    """Places and texts that mark an axis of this parameter, whose places are 0 to 1."""
    if parameter.kind == "choice":
        return [place(parameter, choice) for choice in parameter.choices], [
            value_text(c) for c in parameter.choices
        ]
    if (
        parameter.kind == "int"
        and not parameter.log
        and _span(parameter) <= 4 * (parameter.step or 1)
    ):
        steps = round(_span(parameter) / (parameter.step or 1))
        places = [step / steps for step in range(steps + 1)]
        return places, [value_text(round(value_at(parameter, at))) for at in places]
    if parameter.log:
        marks = _log_marks(parameter)
        return [place(parameter, mark) for mark in marks], [value_text(mark) for mark in marks]
    parts = (0.0, 0.5, 1.0)
    return list(parts), [value_text(value_at(parameter, part)) for part in parts]


def few_ticks(parameter: Parameter) -> tuple[list[float], list[str]]:
    """Those for which a small figure has room."""
    places, texts = ticks(parameter)
    if parameter.kind == "choice" or len(places) <= 3:
        return places, texts
    kept = (0, len(places) // 2, len(places) - 1)
    return [places[i] for i in kept], [texts[i] for i in kept]


def _span(parameter: Parameter) -> float:
    assert parameter.low is not None and parameter.high is not None
    return parameter.high - parameter.low


def _log_marks(parameter: Parameter) -> list[float]:
    """The ends, and between them the powers of ten that don't come too near to one."""
    assert parameter.low is not None and parameter.high is not None
    decades = range(
        math.ceil(math.log10(parameter.low)), math.floor(math.log10(parameter.high)) + 1
    )
    marks = [10.0**decade for decade in decades]
    inner = [mark for mark in marks if AWAY <= place(parameter, mark) <= 1 - AWAY]
    inner = inner[:: math.ceil(len(inner) / MOST_MARKS)] if inner else []
    return [float(parameter.low), *inner, float(parameter.high)]


def searched_text(parameter: Parameter) -> str:
    """What was searched: `0.0001 to 0.003, log`, or the choices."""
    if parameter.kind == "choice":
        return ", ".join(value_text(choice) for choice in parameter.choices)
    texts = [f"{value_text(parameter.low)} to {value_text(parameter.high)}"]
    texts += ["whole"] if parameter.kind == "int" else []
    texts += ["log"] if parameter.log else []
    texts += [f"step {value_text(parameter.step)}"] if parameter.step else []
    return ", ".join(texts)


def when_text(parameter: Parameter) -> str:
    """When it takes part: `scheduler is cosine or plateau`; empty for always."""
    conditions = (
        f"{name} is {' or '.join(map(value_text, values))}"
        for name, values in parameter.when.items()
    )
    return " and ".join(conditions)
