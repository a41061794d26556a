"""The figures of a search as it went: values by trial and by cost, and the Pareto front."""

from results.report.facts import Facts, Step, TrialFacts
from results.report.figures.style import (
    INK,
    Figure,
    Trace,
    axis,
    by_state,
    hover,
    plain,
    points,
    rounded,
    selected,
    view,
)
from results.text import duration, metric_text


def history(facts: Facts) -> Figure | None:
    """The best value of each trial by its number, and the best of all so far."""
    shown = [trial for trial in facts.trials if trial.best]
    if not shown:
        return None
    data = [_history_points(group, facts, state) for state, group in by_state(shown).items()]
    without = [trial for trial in facts.trials if not trial.best]
    data += [_no_value(group, facts, state) for state, group in by_state(without).items()]
    data += [_start_rings(shown), _best_so_far(shown, facts), selected()]
    values = [trial.best.value for trial in shown if trial.best]
    limits, outside = view(values, facts.objective)
    layout = {
        "xaxis": axis("trial", range=_trial_range(len(facts.trials)), zeroline=False),
        "yaxis": axis(facts.objective.name, range=limits, domain=[0.14 if without else 0, 1]),
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    }
    if without:
        layout["xaxis"]["anchor"] = "y2"
        layout["yaxis2"] = {
            "domain": [0, 0.08],
            "range": [0, 1],
            "tickvals": [0.5],
            "ticktext": ["no value"],
        }
        layout["yaxis2"] |= {
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
            "fixedrange": True,
        }
    return Figure(
        name="history",
        title="Value of each trial",
        alt=f"{len(shown)} trials by number with their best {facts.objective.name}, and the best "
        "so far as a line.",
        caption="Each trial at its best epoch; the line is the best of all trials up to there."
        + _hidden(outside),
        data=data,
        layout=layout,
        height=420,
    )


def _trial_range(count: int) -> list[float]:
    pad = max(0.5, 0.015 * count)
    return [-pad, count - 1 + pad]


def _hidden(outside: int) -> str:
    noun = "value is" if outside == 1 else "values are"
    return f" {outside} very poor {noun} out of view: double-click shows all." if outside else ""


def _history_points(group: list[TrialFacts], facts: Facts, state: str) -> Trace:
    bests = [(trial, trial.best) for trial in group if trial.best]
    return points(
        state,
        x=[trial.number for trial, _ in bests],
        y=[rounded(best.value) for _, best in bests],
        customdata=[trial.number for trial, _ in bests],
        text=[hover(trial, facts) for trial, _ in bests],
    )


def _no_value(group: list[TrialFacts], facts: Facts, state: str) -> Trace:
    numbers = [trial.number for trial in group]
    text = [hover(trial, facts) for trial in group]
    return points(state, x=numbers, y=[0.5] * len(numbers), yaxis="y2", text=text)


def _start_rings(shown: list[TrialFacts]) -> Trace:
    starts = [(trial, trial.best) for trial in shown if trial.best and trial.start is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "start points",
        "x": [trial.number for trial, _ in starts],
        "y": [rounded(best.value) for _, best in starts],
        "marker": {
            "symbol": "circle-open",
            "size": 16,
            "color": INK,
            "line": {"width": 1.5, "color": INK},
        },
        "hoverinfo": "skip",
        "showlegend": bool(starts),
    }


def _best_so_far(shown: list[TrialFacts], facts: Facts) -> Trace:
    best, values = None, []
    for trial in shown:
        if trial.best and (best is None or facts.objective.sign * (trial.best.value - best) > 0):
            best = trial.best.value
        values.append(best)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [trial.number for trial in shown],
        "y": [rounded(value) for value in values if value is not None],
        "line": {"shape": "hv", "color": INK, "width": 1.5},
        "hoverinfo": "skip",
    }


def progress(facts: Facts) -> list[Figure]:
    """The best so far by what it had cost: in epochs of all trials, and in time."""
    steps = facts.steps()
    if not steps:
        return []
    unit, scale = time_unit(facts.wall_seconds)
    by_cost = (
        [(float(step.cost), step) for step in steps],
        facts.epochs,
        "epochs trained, all trials together",
    )
    by_time = (
        [(step.seconds / scale, step) for step in steps],
        facts.wall_seconds / scale,
        f"{unit} since the start",
    )
    return [
        Figure(
            name=f"progress_{name}",
            title=f"Best so far by {words}",
            alt=f"The best {facts.objective.name} so far; it improved {len(steps)} times.",
            caption=f"Last improved after {last}, by trial {steps[-1].trial}.",
            data=[step_line(line, end, facts, INK, "best so far")],
            layout={
                "xaxis": axis(title, rangemode="tozero"),
                "yaxis": axis(facts.objective.name),
                "showlegend": False,
            },
            height=280,
        )
        for name, words, last, (line, end, title) in (
            ("epochs", "epochs", f"{steps[-1].cost} of {facts.epochs} epochs", by_cost),
            (
                "time",
                "time",
                f"{duration(steps[-1].seconds)} of {duration(facts.wall_seconds)}",
                by_time,
            ),
        )
    ]


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit that a span of time is drawn in, and its seconds."""
    if seconds < 300:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)


def step_line(
    steps: list[tuple[float, Step]], end: float, facts: Facts, colour: str, name: str
) -> Trace:
    """The best so far as a line with a point where it improved, drawn on to the end."""
    last = steps[-1][1]
    text = [
        f"{metric_text(step.value)}<br>trial {step.trial}, epoch {step.epoch}" for _, step in steps
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(name),
        "x": [rounded(at) for at, _ in steps] + [rounded(end)],
        "y": [rounded(step.value) for _, step in steps] + [rounded(last.value)],
        "text": [*text, f"{metric_text(last.value)}<br>the end of {facts.epochs} epochs"],
        "line": {"shape": "hv", "color": colour, "width": 2},
        "marker": {"size": [6] * len(steps) + [1], "color": colour},
        "hovertemplate": "%{text}<extra></extra>",
    }


def pareto(facts: Facts) -> Figure | None:
    """Both objectives of each trial, and the front that no trial beats in both."""
    second = facts.objective.second
    shown = [trial for trial in facts.trials if trial.best and trial.best.second is not None]
    if second is None or not shown:
        return None
    data = [_pareto_points(group, facts, state) for state, group in by_state(shown).items()]
    front = sorted(facts.front, key=lambda best: best.value)
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": [rounded(best.value) for best in front],
        "y": [rounded(best.second) for best in front if best.second is not None],
        "line": {
            "shape": "hv" if facts.objective.direction == "minimize" else "vh",
            "color": INK,
            "width": 1.5,
        },
        "hoverinfo": "skip",
    }
    return Figure(
        name="pareto",
        title=f"{facts.objective.name} against {second.name}",
        alt=f"{len(shown)} trials by both objectives; {len(front)} of them form the Pareto front.",
        caption=f"To {facts.objective.text}. No trial is better in both objectives than the "
        f"{len(front)} on the line.",
        data=[line, *data, selected()],
        layout={
            "xaxis": axis(facts.objective.name),
            "yaxis": axis(second.name),
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        },
        height=420,
    )


def _pareto_points(group: list[TrialFacts], facts: Facts, state: str) -> Trace:
    bests = [
        (trial, trial.best, trial.best.second)
        for trial in group
        if trial.best and trial.best.second is not None
    ]
    return points(
        state,
        x=[rounded(best.value) for _, best, _ in bests],
        y=[rounded(second) for _, _, second in bests],
        customdata=[trial.number for trial, _, _ in bests],
        text=[hover(trial, facts) for trial, _, _ in bests],
    )
