"""From a space to configurations: what Optuna suggests, and the corners that a task is tried on."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.parameter import Parameter, active
from search_spaces.space import Space

Values = dict[str, Any]


def suggest(space: Space, trial: optuna.trial.Trial) -> Values:
    """Ask Optuna for a configuration: the parameters that take part, and the fixed values."""
    return _configuration(space, lambda parameter: parameter.cast(_ask(parameter, trial)))


def distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    """The parameter in Optuna's terms."""
    low: Any = parameter.low
    high: Any = parameter.high
    step: Any = parameter.step
    if parameter.kind == "choice":
        return CategoricalDistribution(parameter.choices)
    if parameter.kind == "int":
        return IntDistribution(low, high, log=parameter.log, step=step or 1)
    return FloatDistribution(low, high, log=parameter.log, step=step)


def corners(space: Space) -> Iterator[Values]:
    """Configurations that a task must accept, each once.

    The low and the high corner, the low one with each choice, and with each start point.
    """
    pinned: list[Values] = [
        {parameter.name: choice} for parameter in space.parameters for choice in parameter.choices
    ]
    given: list[Values] = []
    for values in (
        low_corner(space),
        high_corner(space),
        *(low_corner(space, pins) for pins in (*pinned, *map(dict, space.start))),
    ):
        if values not in given:
            given.append(values)
            yield values


def low_corner(space: Space, pins: Mapping[str, Any] | None = None) -> Values:
    """The configuration of the least values and the first choices, but for these `pins`.

    The conditions under which pinned parameters take part are met.
    """
    return _completed(space, dict(pins or {}), _low)


def high_corner(space: Space, pins: Mapping[str, Any] | None = None) -> Values:
    """The configuration of the greatest values and the last choices, but for these `pins`."""
    return _completed(space, dict(pins or {}), _high)


def _configuration(space: Space, pick: Callable[[Parameter], Any]) -> Values:
    values: Values = {}
    for parameter in space.parameters:
        if active(parameter, values):
            values[parameter.name] = pick(parameter)
    return {**space.fixed, **values}


def _completed(space: Space, pins: Values, pick: Callable[[Parameter], Any]) -> Values:
    for parameter in reversed(space.parameters):
        if parameter.name in pins:
            pins = {**{name: allowed[0] for name, allowed in parameter.when.items()}, **pins}
    return _configuration(
        space, lambda parameter: parameter.cast(pins.get(parameter.name, pick(parameter)))
    )


def _low(parameter: Parameter) -> Any:
    return parameter.choices[0] if parameter.kind == "choice" else parameter.cast(parameter.low)


def _high(parameter: Parameter) -> Any:
    return parameter.choices[-1] if parameter.kind == "choice" else parameter.cast(parameter.high)


def _ask(parameter: Parameter, trial: optuna.trial.Trial) -> Any:
    match distribution(parameter):
        case IntDistribution() as ints:
            return trial.suggest_int(
                parameter.name, ints.low, ints.high, step=ints.step, log=ints.log
            )
        case FloatDistribution() as floats:
            return trial.suggest_float(
                parameter.name, floats.low, floats.high, step=floats.step, log=floats.log
            )
    return trial.suggest_categorical(parameter.name, parameter.choices)
