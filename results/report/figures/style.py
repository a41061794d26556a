"""How the figures look: one colour and one symbol for each state, and what all layouts share.

A colour that begins with @ is one of the page's, which knows whether it is light or dark.
"""

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from results.report.facts import Facts, TrialFacts
from results.states import COMPLETE, FAILED, FROZEN, RUNNING, STOPPED, TRAINED_AGAIN, UNFINISHED
from results.text import metric_text, value_text
from search_spaces import Objective

Trace = dict[str, Any]

COLOURS = {
    COMPLETE: "#3a7fc8",
    STOPPED: "#bd7f14",
    RUNNING: "#2f9a60",
    FROZEN: "#1c9aa8",
    UNFINISHED: "#8a8f98",
    FAILED: "#d2504b",
    TRAINED_AGAIN: "#d9a3a0",
}
SYMBOLS = {
    COMPLETE: "circle",
    STOPPED: "diamond-open",
    RUNNING: "triangle-up",
    FROZEN: "star-open",
    UNFINISHED: "square-open",
    FAILED: "x",
    TRAINED_AGAIN: "x-thin-open",
}
STATES = tuple(COLOURS)
STUDY_COLOURS = ("#3a7fc8", "#bd7f14", "#2f9a60", "#a55cc4", "#d2504b", "#1c9aa8", "#8a8f98")
INK, RULE, ACCENT = "@ink", "@rule", "@accent"
SHOWN_PARAMS = 16
MANY = 200  # points, which are drawn smaller
# The part of an axis that the better half of all values has at least; else the poorest are left
# out of view.
SQUEEZED = 0.02
TAIL = 3.0  # times the better half's width is shown of the other half
MOST_OUTSIDE = 0.35


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A figure and the words around it.

    Attributes:
        name: Its id on the page.
        title: Above it.
        alt: What it shows, for those who can't see it.
        caption: Below it: how to read it.
        data: Plotly's traces; a trace of one state says so in its `meta`.
        layout: Plotly's layout.
        height: Pixels.
        min_width: Pixels below which it scrolls in its own box.
    """

    name: str
    title: str
    alt: str
    caption: str
    data: list[Trace]
    layout: dict[str, Any]
    height: int = 380
    min_width: int = 0

    def spec(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {"data": self.data, "layout": _without_none({"height": self.height, **self.layout})}


def _without_none(part: Any) -> Any:
    """A layout without what is left to Plotly, which doesn't take null for that everywhere."""
    if isinstance(part, dict):
        return {key: _without_none(value) for key, value in part.items() if value is not None}
    return part


def plain(text: object, limit: int = 48) -> str:
    """A user's text for Plotly, which would read it as HTML; cut where it is long."""
    words = " ".join(str(text).split())
    return html.escape(words if len(words) <= limit else words[: limit - 1] + "…", quote=False)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title of the user's."""
    return {"title": {"text": plain(title), "standoff": 8}, "automargin": True, **more}


def points(state: str, **more: Any) -> Trace:
    """A trace of markers of one state; the page's filter shows and hides it."""
    size = 8 if len(more.get("x", ())) <= MANY else 5
    return {
        "type": "scatter",
        "mode": "markers",
        "name": state,
        "meta": {"state": state},
        "showlegend": False,
        "marker": {
            "color": COLOURS[state],
            "symbol": SYMBOLS[state],
            "size": size,
            "line": {"width": 1.5 if size > 5 else 1, "color": COLOURS[state]},
        },
        "hovertemplate": "%{text}<extra></extra>",
        **more,
    }


def selected(**more: Any) -> Trace:
    """An empty trace that the page fills with the trial that was chosen by a click."""
    line = {"color": ACCENT, "width": 3}
    marker = {
        "color": ACCENT,
        "size": 11,
        "symbol": "circle-open",
        "line": {"width": 3, "color": ACCENT},
    }
    meta = {"role": "selected"}
    return {
        "type": "scatter",
        "x": [],
        "y": [],
        "meta": meta,
        "showlegend": False,
        "hoverinfo": "skip",
    } | {
        "line": line,
        "marker": marker,
        "mode": "markers",
        **more,
    }


def hover(trial: TrialFacts, facts: Facts) -> str:
    """What a tooltip says of a trial."""
    objective, params = facts.objective, list(trial.params.items())
    start = "" if trial.start is None else f", start point {trial.start}"
    lines = [f"<b>trial {trial.number}</b>: {trial.state}{start}"]
    if trial.best:
        lines.append(
            f"{plain(objective.name)} {metric_text(trial.best.value)} at epoch {trial.best.epoch}"
        )
    if trial.best and trial.best.second is not None and objective.second:
        lines.append(f"{plain(objective.second.name)} {metric_text(trial.best.second)}")
    if trial.reason:
        lines.append(plain(trial.reason, 80))
    for name, value in params[:SHOWN_PARAMS]:
        lines.append(f"{plain(facts.names[name])} = {plain(value_text(value))}")
    lines += [f"and {len(params) - SHOWN_PARAMS} more"] if len(params) > SHOWN_PARAMS else []
    return "<br>".join(lines)


def view(values: Iterable[float], objective: Objective) -> tuple[list[float] | None, int]:
    """A range of the axis that some very poor values don't squeeze, and how many lie outside.

    None shows all.
    """
    scores = sorted(objective.sign * value for value in values)
    if len(scores) < 8:
        return None, 0
    worst, middle, best = scores[0], scores[len(scores) // 2], scores[-1]
    least = middle - TAIL * (best - middle)
    outside = sum(score < least for score in scores)
    if best - middle >= SQUEEZED * (best - worst) or outside > MOST_OUTSIDE * len(scores):
        return None, 0
    pad = 0.05 * (best - least)
    return [objective.sign * least, objective.sign * (best + pad)][:: objective.sign], outside


def rounded(value: float) -> float | None:
    """Six digits, which is more than a figure shows; nothing for what is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def by_state(trials: Iterable[TrialFacts]) -> Mapping[str, list[TrialFacts]]:
    """The trials of each state that occurs, in the states' order."""
    trials = list(trials)
    groups = {state: [trial for trial in trials if trial.state == state] for state in STATES}
    return {state: group for state, group in groups.items() if group}
