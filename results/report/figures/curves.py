"""Every learning curve, with the rungs and where trials were stopped."""

from results.report.facts import Facts, TrialFacts
from results.report.figures.style import (
    COLOURS,
    INK,
    MANY,
    RULE,
    SYMBOLS,
    Figure,
    Trace,
    axis,
    by_state,
    points,
    rounded,
    selected,
    view,
)
from results.states import STOPPED
from results.text import metric_text

MAX_POINTS = 20_000
LEAST_POINTS = 8


def curves(facts: Facts) -> Figure | None:
    """The objective of every trial by epoch; one trace for each state, with gaps between trials."""
    shown = [trial for trial in facts.trials if trial.finite()]
    if not shown:
        return None
    most = max(LEAST_POINTS, MAX_POINTS // len(shown))
    data = [_lines(group, facts, state, most) for state, group in by_state(shown).items()]
    data += [_ends([trial for trial in shown if trial.state == STOPPED])]
    data += [*_best_curve(facts), selected(mode="lines")]
    values = [value for trial in shown for _, value in trial.finite()]
    limits, outside = view(values, facts.objective)
    return Figure(
        name="curves",
        title="Every learning curve",
        alt=f"{facts.objective.name} by epoch of {len(shown)} trials; rungs at epochs "
        f"{facts.space.rungs or 'none'}.",
        caption=_caption(facts, shown, most, outside),
        data=data,
        layout={
            "xaxis": axis("epoch", range=_epoch_range(facts, shown)),
            "yaxis": axis(facts.objective.name, range=limits),
            "shapes": [_rung_line(epoch) for epoch in facts.space.rungs],
            "annotations": [_rung_name(epoch) for epoch in facts.space.rungs],
            "legend": {"orientation": "h", "y": 1.06, "yanchor": "bottom", "x": 0},
            "margin": {"l": 50, "r": 14, "t": 26, "b": 44},
        },
        height=480,
    )


def _caption(facts: Facts, shown: list[TrialFacts], most: int, outside: int) -> str:
    stopped = sum(trial.state == STOPPED for trial in shown)
    text = f"{len(shown)} curves, {stopped} stopped early (a square where)."
    if facts.space.rungs:
        text += f" Dotted lines: the rungs, epochs {', '.join(map(str, facts.space.rungs))}."
    if any(len(trial.finite()) > most for trial in shown):
        text += (
            f" Long curves are thinned to about {most} epochs each; first, best, last and "
            "rungs are kept."
        )
    noun = "value is" if outside == 1 else "values are"
    return text + (
        f" {outside} very poor {noun} out of view: double-click shows all." if outside else ""
    )


def thinned(trial: TrialFacts, most: int, keep: list[int]) -> list[tuple[int, float]]:
    """A curve's finite points, at most about so many; ends, best epoch and rungs stay."""
    finite = trial.finite()
    if len(finite) <= most:
        return finite
    stride = len(finite) / most
    kept = {int(index * stride) for index in range(most)} | {0, len(finite) - 1}
    epochs = {trial.best.epoch if trial.best else 0, *keep}
    return [pair for index, pair in enumerate(finite) if index in kept or pair[0] in epochs]


def _lines(group: list[TrialFacts], facts: Facts, state: str, most: int) -> Trace:
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    text: list[str | None] = []
    for trial in group:
        curve = thinned(trial, most, facts.space.rungs)
        x += [*(epoch for epoch, _ in curve), None]
        y += [*(rounded(value) for _, value in curve), None]
        text += [*(metric_text(value) for _, value in curve), None]
        numbers += [trial.number] * len(curve) + [None]
    few = len(group) <= 60
    return points(
        state,
        mode="lines+markers",
        x=x,
        y=y,
        customdata=numbers,
        text=text,
        line={"color": COLOURS[state], "width": 1.3 if few else 0.8},
        marker={
            "color": COLOURS[state],
            "symbol": SYMBOLS[state].removesuffix("-open"),
            "size": 3.5 if few else 2,
        },
        opacity=0.8 if few else 0.45,
        hovertemplate="trial %{customdata}, epoch %{x}: %{text}<extra></extra>",
    )


def _ends(stopped: list[TrialFacts]) -> Trace:
    ends = [(trial.number, *trial.finite()[-1]) for trial in stopped]
    return points(
        STOPPED,
        x=[epoch for _, epoch, _ in ends],
        y=[rounded(value) for _, _, value in ends],
        customdata=[number for number, _, _ in ends],
        text=[
            f"trial {number}: ended after epoch {epoch}, {metric_text(value)}"
            for number, epoch, value in ends
        ],
        marker={
            "symbol": "square",
            "size": 7 if len(ends) <= MANY else 4,
            "color": COLOURS[STOPPED],
        },
    )


def _best_curve(facts: Facts) -> list[Trace]:
    if facts.best is None:
        return []
    best, curve = facts.best, facts.trials[facts.best.number].finite()
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": f"trial {best.number}, the best",
        "x": [epoch for epoch, _ in curve],
        "y": [rounded(value) for _, value in curve],
        "line": {"color": INK, "width": 2.5},
        "hoverinfo": "skip",
    }
    star = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{metric_text(best.value)} at epoch {best.epoch}",
        "x": [best.epoch],
        "y": [rounded(best.value)],
        "marker": {"symbol": "star", "size": 14, "color": INK},
        "hoverinfo": "skip",
    }
    return [line, star]


def _epoch_range(facts: Facts, shown: list[TrialFacts]) -> list[float]:
    last = max([facts.space.budget.max_epochs, *(trial.epochs for trial in shown)])
    return [max(0.0, 1 - 0.03 * last), last * 1.03]


def _rung_line(epoch: int) -> dict[str, object]:
    line = {"color": RULE, "width": 1.5, "dash": "dot"}
    return {
        "type": "line",
        "x0": epoch,
        "x1": epoch,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": line,
        "layer": "below",
    }


def _rung_name(epoch: int) -> dict[str, object]:
    place = {"x": epoch, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return {**place, "text": f"rung {epoch}", "font": {"size": 11}}
