"""Small texts that people read: durations, values, configurations."""

from collections.abc import Mapping
from typing import Any

from search_spaces import Space


def duration(seconds: float) -> str:
    """`95` becomes `1m35s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def value_text(value: Any) -> str:
    """A configuration's value, floats to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def metric_text(value: float) -> str:
    """A metric's value: four decimals, or four digits where that would show too little."""
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.01 else f"{value:.4g}"


def values_text(values: Mapping[str, Any]) -> str:
    """A configuration on one line, groups left out of the names: `lr=0.0003 cls_strategy=attn_pool`."""
    return " ".join(f"{name.rsplit('.', 1)[-1]}={value_text(value)}" for name, value in values.items())


def space_lines(space: Space) -> list[str]:
    """A space's name, task and budget, and a line for each parameter."""
    budget = space.budget
    lines = [f"{space.name}: {space.task}, {budget.trials} trials of up to {budget.max_epochs} epochs"]
    width = max(len(parameter.name) for parameter in space.parameters)
    return lines + [
        f"  {name.ljust(width)}  {_spec_text(spec)}" for name, spec in space.to_dict()["parameters"].items()
    ]


def _spec_text(spec: Mapping[str, Any]) -> str:
    """`{"float": [1, 20], "log": True}` becomes `float 1 to 20, log`."""
    (kind, values), *options = spec.items()
    drawn = f"choice of {', '.join(map(str, values))}" if kind == "choice" else f"{kind} {values[0]} to {values[1]}"
    told = [name if value is True else f"{name} {_option_text(value)}" for name, value in options]
    return ", ".join([drawn, *told])


def _option_text(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return " and ".join(f"{name} is {' or '.join(map(str, allowed))}" for name, allowed in value.items())
