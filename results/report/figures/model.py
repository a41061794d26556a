"""The figures of the model of the curves: what it expected and what came, what it believes."""

from results.curves.model import BAND
from results.report.beliefs import Belief, Foretold
from results.report.facts import Facts
from results.report.figures.scales import few_ticks, place
from results.report.figures.style import (
    COLOURS,
    INK,
    Figure,
    Trace,
    axis,
    plain,
    points,
    rounded,
    selected,
    view,
)
from results.states import COMPLETE
from results.text import metric_text

BAND_COLOUR = "rgba(58, 127, 200, 0.22)"


def expectations(facts: Facts, found: list[Foretold]) -> Figure | None:
    """Each value that was foretold against the one that came, by the trials' states."""
    judged = [each for each in found if each.came is not None]
    if not judged:
        return None
    objective = facts.objective
    values = [value for each in judged for value in (each.expected.value, each.came or 0.0)]
    limits, outside = view(values, objective)
    ends = limits or [min(values), max(values)]
    states = dict.fromkeys(facts.trials[each.trial].state for each in judged)
    groups = {
        state: [each for each in judged if facts.trials[each.trial].state == state]
        for state in states
    }
    diagonal: Trace = {
        "type": "scatter",
        "mode": "lines",
        "x": [rounded(end) for end in ends],
        "y": [rounded(end) for end in ends],
        "line": {"color": INK, "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return Figure(
        name="expectations",
        title="Expected and reached",
        alt=f"{objective.name} that was expected against what was reached, {len(judged)} choices.",
        caption="A point for each time that the model had a trial begin or go on: what it expected "
        f"at the trial's next look, with the band that should hold {BAND:.0%} of all, against what "
        "it had reached there. On the dotted line it came as expected."
        + (f" {outside} very poor values are out of view." if outside else ""),
        data=[
            diagonal,
            *(_expected_points(state, group, facts) for state, group in groups.items()),
            selected(),
        ],
        layout={
            "xaxis": axis(f"expected {objective.name}", range=limits),
            "yaxis": axis(f"{objective.name} reached", range=limits),
        },
    )


def _expected_points(state: str, group: list[Foretold], facts: Facts) -> Trace:
    return points(
        state,
        x=[rounded(each.expected.value) for each in group],
        y=[rounded(each.came or 0.0) for each in group],
        customdata=[each.trial for each in group],
        text=[_expected_text(each) for each in group],
        hovertemplate="%{text}<extra></extra>",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [rounded(each.expected.high - each.expected.value) for each in group],
            "arrayminus": [rounded(each.expected.value - each.expected.low) for each in group],
            "color": COLOURS[state],
            "thickness": 0.8,
            "width": 0,
        },
    )


def _expected_text(each: Foretold) -> str:
    chosen = f"went on after epoch {each.after}" if each.after else "began"
    expected = each.expected
    return (
        f"trial {each.trial} {chosen}: expected {metric_text(expected.value)} "
        f"({metric_text(expected.low)} to {metric_text(expected.high)}) at epoch "
        f"{expected.epoch}, reached {metric_text(each.came or 0.0)}"
    )


def believed(facts: Facts, found: list[Belief]) -> list[Figure]:
    """A small figure for each parameter: the objective on the full budget, with its band."""
    values = [value for each in found for value in (*each.low, *each.high)]
    limits = [min(values), max(values)] if values else None
    return [_believed(each, index, facts, limits) for index, each in enumerate(found)]


def _believed(each: Belief, index: int, facts: Facts, limits: list[float] | None) -> Figure:
    parameter, is_choice = each.parameter, each.parameter.kind == "choice"
    ticks, texts = few_ticks(parameter)
    # A choice's place on the axis is not the one that it is encoded by.
    places = [place(parameter, choice) for choice in parameter.choices] or each.places
    return Figure(
        name=f"belief_{index}",
        title=parameter.name,
        alt=f"{facts.objective.name} on the full budget by {parameter.name}, as the model has it.",
        caption="",
        data=[*(_bars(each, places) if is_choice else _band(each, places)), _best(each, facts)],
        layout={
            "xaxis": {
                "tickvals": ticks,
                "ticktext": [plain(text, 12) for text in texts],
                "range": [-0.25, 1.25] if is_choice else [-0.06, 1.06],
                "automargin": True,
                "zeroline": False,
                "tickangle": None if is_choice else 0,
            },
            "yaxis": {"range": limits, "automargin": True, "nticks": 5},
            "margin": {"l": 40, "r": 8, "t": 8, "b": 30},
        },
        height=210,
    )


def _line(each: Belief, places: list[float], **more: object) -> Trace:
    return {
        "type": "scatter",
        "x": [rounded(at) for at in places],
        "y": [rounded(value) for value in each.value],
        "text": [
            f"{metric_text(value)} ({metric_text(low)} to {metric_text(high)})"
            for low, value, high in zip(each.low, each.value, each.high, strict=True)
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        **more,
    }


def _bars(each: Belief, places: list[float]) -> list[Trace]:
    whiskers = {
        "type": "data",
        "symmetric": False,
        "array": [rounded(high - value) for high, value in zip(each.high, each.value, strict=True)],
        "arrayminus": [
            rounded(value - low) for low, value in zip(each.low, each.value, strict=True)
        ],
        "color": BAND_COLOUR,
        "thickness": 8,
        "width": 0,
    }
    marker = {"color": COLOURS[COMPLETE], "size": 8}
    return [_line(each, places, mode="markers", marker=marker, error_y=whiskers)]


def _band(each: Belief, places: list[float]) -> list[Trace]:
    band: Trace = {
        "type": "scatter",
        "mode": "lines",
        "x": [rounded(at) for at in (*places, *reversed(places))],
        "y": [rounded(value) for value in (*each.high, *reversed(each.low))],
        "fill": "toself",
        "fillcolor": BAND_COLOUR,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    line = {"color": COLOURS[COMPLETE], "width": 2}
    return [band, _line(each, places, mode="lines", line=line)]


def _best(each: Belief, facts: Facts) -> Trace:
    assert facts.best is not None
    best = facts.best
    value = facts.trials[best.number].params[each.parameter.name]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [rounded(place(each.parameter, value))],
        "y": [rounded(best.value)],
        "marker": {"symbol": "star", "size": 10, "color": INK},
        "hovertemplate": f"trial {best.number}, the best: {metric_text(best.value)}<extra></extra>",
        "showlegend": False,
    }
