"""The figures of what mattered: importance, each parameter alone, the first two together."""

import random

import numpy as np
from numpy.typing import NDArray

from results.report.facts import Facts, TrialFacts
from results.report.figures.scales import few_ticks, place, ticks
from results.report.figures.style import (
    COLOURS,
    INK,
    MANY,
    Figure,
    Trace,
    axis,
    by_state,
    plain,
    points,
    rounded,
    selected,
    view,
)
from results.report.importance import Comparison, Importance
from results.states import COMPLETE
from results.text import metric_text, value_text
from search_spaces import Parameter

Array = NDArray[np.float64]
GRID = 30
WIDTH = 0.12  # of the kernel, as a part of the range
LEAST_WEIGHT = 0.05  # of all trials together, below which nothing is said
FEWEST_PAIRS = 12
JITTER = 0.06


def importance_figure(facts: Facts, found: list[Importance]) -> Figure | None:
    """The shares as bars, with the range that leaving out a quarter of the trials gives."""
    if not found:
        return None
    shown = found[::-1]
    label = [_bar_name(each, facts) for each in shown]
    data: Trace = {
        "type": "bar",
        "orientation": "h",
        "x": [rounded(each.share) for each in shown],
        "y": list(range(len(shown))),
        "marker": {
            "color": ["#8a8f98" if each.conditional else COLOURS[COMPLETE] for each in shown]
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [rounded(each.high - each.share) for each in shown],
            "arrayminus": [rounded(each.share - each.low) for each in shown],
            "color": INK,
            "thickness": 1.2,
            "width": 3,
        },
        "text": [
            f"{plain(each.name)}: {each.share:.0%}, {each.low:.0%} to {each.high:.0%}"
            for each in shown
        ],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }
    return Figure(
        name="importance",
        title="Importance",
        alt="; ".join(f"{each.name} {each.share:.0%}" for each in found),
        caption="The whiskers: the range when each quarter of the trials is left out once. Wide "
        "ones mean that there are too few trials to tell."
        + (
            " Grey: takes part in some trials only, its share is among those."
            if found[-1].conditional
            else ""
        ),
        data=[data],
        layout={
            "xaxis": axis("share explained", tickformat=".0%", rangemode="tozero"),
            "yaxis": {"tickvals": list(range(len(shown))), "ticktext": label, "automargin": True},
            "bargap": 0.35,
        },
        height=110 + 26 * len(shown),
    )


def _bar_name(each: Importance, facts: Facts) -> str:
    return plain(facts.names[each.name] + (f" ({each.trials} trials)" if each.conditional else ""))


def slices(facts: Facts, comparison: Comparison, found: list[Importance]) -> list[Figure]:
    """A small figure for each parameter: its values against the objective, at one epoch."""
    if not comparison.values:
        return []
    shares = {each.name: each.share for each in found if not each.conditional}
    parameters = sorted(facts.space.parameters, key=lambda each: -shares.get(each.name, -1.0))
    limits, _ = view(comparison.values.values(), facts.objective)
    return [_slice(each, index, facts, comparison, limits) for index, each in enumerate(parameters)]


def _slice(
    parameter: Parameter,
    index: int,
    facts: Facts,
    comparison: Comparison,
    limits: list[float] | None,
) -> Figure:
    having = [
        facts.trials[number]
        for number in comparison.values
        if parameter.name in facts.trials[number].params
    ]
    places, texts = few_ticks(parameter)
    data = [
        points(
            state,
            x=[
                round(place(parameter, trial.params[parameter.name]) + _jitter(parameter, trial), 4)
                for trial in group
            ],
            y=[rounded(comparison.values[trial.number]) for trial in group],
            customdata=[trial.number for trial in group],
            text=[
                _slice_text(parameter, trial, comparison.values[trial.number]) for trial in group
            ],
            hovertemplate="trial %{customdata}: %{text}<extra></extra>",
            marker=points(state)["marker"] | {"size": 6 if len(having) <= MANY else 3.5},
        )
        for state, group in by_state(having).items()
    ]
    ticktext = [plain(text, 12) for text in texts]
    span = [-0.25, 1.25] if parameter.kind == "choice" else [-0.06, 1.06]
    return Figure(
        name=f"slice_{index}",
        title=parameter.name,
        alt=f"{facts.objective.name} at epoch {comparison.epoch} against {parameter.name}, "
        f"{len(having)} trials.",
        caption=f"{len(having)} of {len(comparison.values)} trials have it."
        if parameter.when
        else "",
        data=[*data, selected()],
        layout={
            "xaxis": {
                "tickvals": places,
                "ticktext": ticktext,
                "range": span,
                "automargin": True,
                "zeroline": False,
                "tickangle": None if parameter.kind == "choice" else 0,
            },
            "yaxis": {"range": limits, "automargin": True, "nticks": 5},
            "margin": {"l": 40, "r": 8, "t": 8, "b": 30},
        },
        height=210,
    )


def _jitter(parameter: Parameter, trial: TrialFacts) -> float:
    return (
        random.Random(trial.number).uniform(-JITTER, JITTER) if parameter.kind == "choice" else 0.0
    )


def _slice_text(parameter: Parameter, trial: TrialFacts, value: float) -> str:
    return f"{metric_text(value)} at {plain(value_text(trial.params[parameter.name]))}"


def contour(facts: Facts, comparison: Comparison, found: list[Importance]) -> Figure | None:
    """The objective over the two most important parameters, smoothed, with the trials on it."""
    names = [each.name for each in found if not each.conditional and each.share > 0][:2]
    pair = [
        parameter
        for name in names
        for parameter in facts.space.parameters
        if parameter.name == name
    ]
    if len(pair) < 2 or len(comparison.values) < FEWEST_PAIRS:
        return None
    first, second = pair
    trials = [
        facts.trials[number] for number in comparison.values if _has(facts.trials[number], names)
    ]
    grids = [
        ticks(parameter)[0] if parameter.kind == "choice" else list(np.linspace(0, 1, GRID))
        for parameter in pair
    ]
    weights = [
        _weights(parameter, grid, trials) for parameter, grid in zip(pair, grids, strict=True)
    ]
    z = [comparison.values[trial.number] for trial in trials]
    limits, _ = view(z, facts.objective)
    surface: Trace = {
        "type": "heatmap",
        "x": [rounded(at) for at in grids[0]],
        "y": [rounded(at) for at in grids[1]],
        "z": [
            list(map(rounded, row)) for row in smoothed(weights[0], weights[1], _clipped(z, limits))
        ],
        "zsmooth": False if any(parameter.kind == "choice" for parameter in pair) else "best",
        "colorscale": "Viridis",
        "reversescale": facts.objective.direction == "minimize",
        "colorbar": {
            "thickness": 12,
            "title": {"text": plain(facts.objective.name, 24), "side": "right"},
        },
        "hoverinfo": "skip",
    }
    data = [
        _contour_points(group, facts, comparison, first, second)
        for group in by_state(trials).values()
    ]
    (x_places, x_texts), (y_places, y_texts) = ticks(first), ticks(second)
    span = [-0.05, 1.05]
    return Figure(
        name="contour",
        title=f"{facts.names[first.name]} and {facts.names[second.name]}",
        alt=f"{facts.objective.name} at epoch {comparison.epoch} over {first.name} and "
        f"{second.name}.",
        caption=f"The mean of {len(trials)} trials at epoch {comparison.epoch}, weighted by a "
        f"Gaussian of {WIDTH:.0%} "
        "of each range; choices are kept apart. Blank where no trial is near.",
        data=[surface, *data, selected()],
        layout={
            "xaxis": axis(
                first.name,
                tickvals=x_places,
                ticktext=list(map(plain, x_texts)),
                range=span,
                zeroline=False,
            ),
            "yaxis": axis(
                second.name,
                tickvals=y_places,
                ticktext=list(map(plain, y_texts)),
                range=span,
                zeroline=False,
            ),
        },
        height=400,
    )


def _has(trial: TrialFacts, names: list[str]) -> bool:
    return all(name in trial.params for name in names)


def _clipped(values: list[float], limits: list[float] | None) -> list[float]:
    return [min(max(value, limits[0]), limits[1]) for value in values] if limits else values


def _weights(parameter: Parameter, grid: list[float], trials: list[TrialFacts]) -> Array:
    """How near each trial is to each place, 0 to 1; another choice is not near at all."""
    places = np.array([place(parameter, trial.params[parameter.name]) for trial in trials])
    distances_GN = np.array(grid)[:, None] - places
    near_GN = (
        np.abs(distances_GN) < 1e-9
        if parameter.kind == "choice"
        else np.exp(-((distances_GN / WIDTH) ** 2) / 2)
    )
    return near_GN.astype(float)


def smoothed(x_GN: Array, y_HN: Array, z: list[float]) -> list[list[float]]:
    """Nadaraya and Watson's weighted mean at every place.

    Not a number where all trials together weigh too little.
    """
    total_HG = y_HN @ x_GN.T
    mean_HG = (y_HN * np.array(z)) @ x_GN.T / np.maximum(total_HG, 1e-12)
    return [list(map(float, row)) for row in np.where(total_HG >= LEAST_WEIGHT, mean_HG, np.nan)]


def _contour_points(
    group: list[TrialFacts],
    facts: Facts,
    comparison: Comparison,
    first: Parameter,
    second: Parameter,
) -> Trace:
    state = group[0].state
    return points(
        state,
        x=[
            round(place(first, trial.params[first.name]) + _jitter(first, trial) / 2, 4)
            for trial in group
        ],
        y=[
            round(place(second, trial.params[second.name]) + _jitter(second, trial) / 2, 4)
            for trial in group
        ],
        customdata=[trial.number for trial in group],
        text=[
            _slice_text(first, trial, comparison.values[trial.number])
            + f", {plain(value_text(trial.params[second.name]))}"
            for trial in group
        ],
        hovertemplate="trial %{customdata}: %{text}<extra></extra>",
        marker={
            "color": "#ffffff",
            "size": 7 if len(comparison.values) <= MANY else 4,
            "symbol": "circle",
            "line": {"color": "#20242a", "width": 1.2},
        },
    )
