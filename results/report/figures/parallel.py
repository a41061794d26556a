"""Parallel coordinates: a line for each trial through all that was searched."""

from itertools import pairwise

from results.report.facts import Facts, TrialFacts
from results.report.figures.scales import place, ticks
from results.report.figures.style import RULE, Figure, Trace, by_state, plain, points, selected
from results.report.importance import Importance
from results.text import value_text
from search_spaces import Parameter

BAND_COLOURS = ("#1f9e89", "#35739a", "#7d6aa8", "#a98a8a", "#b9b4a8")  # from the best to the last
MOST_BEST = 20
ABSENT = -0.12  # where a parameter is drawn that takes no part


def parallel(facts: Facts, found: list[Importance]) -> Figure | None:
    """A line for each trial through its parameters, coloured by how good it became."""
    ranked = [facts.trials[best.number] for best in facts.ranked]
    if not ranked:
        return None
    order = {each.name: i for i, each in enumerate(sorted(found, key=lambda each: -each.share))}
    parameters = sorted(
        facts.space.parameters, key=lambda parameter: order.get(parameter.name, len(order))
    )
    data: list[Trace] = []
    for band, (first, last) in reversed(list(enumerate(bands(len(ranked))))):
        for number, (state, group) in enumerate(by_state(ranked[first - 1 : last]).items()):
            line = _lines(group, parameters, state, band, last - first + 1)
            data.append(
                line
                | {
                    "name": _band_name(first, last),
                    "legendgroup": str(band),
                    "showlegend": number == 0,
                }
            )
    columns, some_absent = len(parameters), any(parameter.when for parameter in parameters)
    absent = " A line at the bottom: the parameter takes no part." if some_absent else ""
    layout = {
        "xaxis": {
            "tickvals": list(range(columns)),
            "ticktext": [plain(facts.names[parameter.name], 20) for parameter in parameters],
            "range": [-0.08, columns - 1 + 0.5],
            "showgrid": False,
            "zeroline": False,
            "side": "top",
            "tickangle": -30,
            "automargin": True,
        },
        "yaxis": {"visible": False, "range": [-0.2 if some_absent else -0.05, 1.05]},
        "shapes": [_axis_line(column) for column in range(columns)],
        "annotations": [
            mark
            for column, parameter in enumerate(parameters)
            for mark in _marks(column, parameter)
        ],
        "margin": {"l": 12, "r": 30, "t": 20, "b": 30},
        "legend": {
            "orientation": "h",
            "y": -0.02,
            "yanchor": "top",
            "x": 0,
            "traceorder": "reversed",
        },
    }
    return Figure(
        name="parallel",
        title="Parallel coordinates",
        alt=f"A line for each of {len(ranked)} trials through its {columns} parameters.",
        caption="Coloured by the rank of the trial's best value, the most important parameters "
        f"first. Click a line to see its trial everywhere.{absent}",
        data=[*data, selected(mode="lines+markers")],
        layout=layout,
        height=470,
        min_width=max(340, 95 * columns),
    )


def bands(count: int) -> list[tuple[int, int]]:
    """First and last rank of each colour: the best few, and the others in even parts."""
    best = max(1, min(count // len(BAND_COLOURS), MOST_BEST))
    rest, parts = count - best, len(BAND_COLOURS) - 1
    cuts = [0, best, *(best + rest * (part + 1) // parts for part in range(parts))]
    return [(low + 1, high) for low, high in pairwise(cuts) if high > low]


def _band_name(first: int, last: int) -> str:
    return f"rank {first}" if first == last else f"rank {first} to {last}"


def _lines(
    group: list[TrialFacts], parameters: list[Parameter], state: str, band: int, size: int
) -> Trace:
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str | None] = []
    numbers: list[int | None] = []
    for trial in group:
        for column, parameter in enumerate(parameters):
            x.append(column)
            y.append(
                round(place(parameter, trial.params[parameter.name]), 4)
                if parameter.name in trial.params
                else ABSENT
            )
            shown = (
                value_text(trial.params[parameter.name])
                if parameter.name in trial.params
                else "takes no part"
            )
            text.append(plain(shown))
        x.append(None)
        y.append(None)
        text.append(None)
        numbers += [trial.number] * len(parameters) + [None]
    return points(
        state,
        mode="lines+markers",
        x=x,
        y=y,
        text=text,
        customdata=numbers,
        hovertemplate="trial %{customdata}: %{text}<extra></extra>",
        line={"color": BAND_COLOURS[band], "width": 1 if band else 2.2},
        marker={"color": BAND_COLOURS[band], "size": 4 if size <= MOST_BEST else 2},
        opacity=0.9 if band == 0 else 0.5 if size <= 100 else 0.2,
    )


def _axis_line(column: int) -> dict[str, object]:
    line = {"color": RULE, "width": 1.5}
    return {
        "type": "line",
        "x0": column,
        "x1": column,
        "y0": 0,
        "y1": 1,
        "line": line,
        "layer": "below",
    }


def _marks(column: int, parameter: Parameter) -> list[dict[str, object]]:
    where = {
        "x": column,
        "xanchor": "left",
        "xshift": 5,
        "showarrow": False,
        "font": {"size": 10.5},
    }
    marks = zip(*ticks(parameter), strict=True)
    return [{**where, "y": y, "text": plain(text, 14), "bgcolor": "@veil"} for y, text in marks]
