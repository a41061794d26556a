"""Small texts that people read: durations, values, configurations."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search_spaces import Space


def program() -> str:
    """What to type to run Rungs, in the way that this process was started."""
    return "rungs" if Path(sys.argv[0]).name == "rungs" else "python launch.py"


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


def short_names(names: Iterable[str]) -> dict[str, str]:
    """For each dotted name its shortest ending that no other one has: `gen.lr`, `depth`."""
    endings = {name: _endings(name) for name in names}
    counts = Counter(ending for ends in endings.values() for ending in ends)
    return {
        name: next((ending for ending in ends if counts[ending] == 1), name)
        for name, ends in endings.items()
    }


def _endings(name: str) -> list[str]:
    """`a.b.c` becomes `c`, `b.c`, `a.b.c`."""
    parts = name.split(".")
    return [".".join(parts[i:]) for i in reversed(range(len(parts)))]


def values_text(values: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """A configuration on one line, its parameters called by `names`: `lr=0.0003 depth=3`."""
    return " ".join(f"{names[name]}={value_text(value)}" for name, value in values.items())


def search_text(space: Space, why: str | None = None) -> str:
    """How a space is searched, and why so if that was chosen for it."""
    text = f"sampler {space.search.sampler}, scheduler {space.search.scheduler}"
    return f"{text} ({why})" if why else text


def budget_text(space: Space) -> str:
    """What may be trained, in trials and epochs."""
    text = f"{space.budget.trials} trials of up to {space.budget.max_epochs} epochs"
    return text if space.epochs is None else f"{text}, {space.epochs} epochs in all"


def of_budget(used: int, most: int | None) -> str:
    """`142`, or `142 of 600` where there is a limit."""
    return str(used) if most is None else f"{used} of {most}"


def space_lines(space: Space) -> list[str]:
    """A space's name, task and budget, and a line for each parameter."""
    lines = [f"{space.name}: {space.task}, {budget_text(space)}"]
    width = max(len(parameter.name) for parameter in space.parameters)
    return lines + [
        f"  {name.ljust(width)}  {_spec_text(spec)}"
        for name, spec in space.to_dict()["parameters"].items()
    ]


def _spec_text(spec: Mapping[str, Any]) -> str:
    """`{"float": [1, 20], "log": True}` becomes `float 1 to 20, log`."""
    (kind, values), *options = spec.items()
    drawn = (
        f"choice of {', '.join(map(str, values))}"
        if kind == "choice"
        else f"{kind} {values[0]} to {values[1]}"
    )
    texts = [name if value is True else f"{name} {_option_text(value)}" for name, value in options]
    return ", ".join([drawn, *texts])


def _option_text(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return " and ".join(
        f"{name} is {' or '.join(map(str, allowed))}" for name, allowed in value.items()
    )
