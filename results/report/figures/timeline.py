"""What ran when: a bar for each run, in rows that stand for places in which trials ran."""

from results.report.facts import Facts
from results.report.figures.style import COLOURS, RULE, Figure, Trace, axis, by_state
from results.report.runs import Run
from results.text import duration

BARS_WITH_NUMBERS = 80
ROW_PX = 26


def timeline(facts: Facts) -> Figure | None:
    """What ran when: a row for each place in which trials ran."""
    if not facts.runs:
        return None
    rows = max(facts.rows) + 1
    data = []
    for state in by_state(facts.trials):
        bars = [
            (run, row)
            for run, row in zip(facts.runs, facts.rows, strict=True)
            if _state(run, facts) == state
        ]
        if bars:
            data.append(_bars(bars, facts, state))
    return Figure(
        name="timeline",
        title="What ran when",
        alt=f"A bar for each trial's run in {rows} rows, from {facts.began:%H:%M} to "
        f"{facts.ended:%H:%M} UTC.",
        caption=_timeline_caption(facts, rows),
        data=data,
        layout={
            "barmode": "overlay",
            "bargap": 0.15,
            "uniformtext": {"mode": "hide", "minsize": 9},
            "xaxis": axis("time, UTC", type="date"),
            "yaxis": axis(
                "", tickvals=list(range(rows)), ticktext=_row_names(rows), autorange="reversed"
            ),
        },
        height=110 + ROW_PX * min(max(rows, 2), 40),
    )


def _timeline_caption(facts: Facts, rows: int) -> str:
    busy = facts.trial_seconds / (rows * facts.wall_seconds) if facts.wall_seconds else 0.0
    text = f"Runs are packed into as few rows as they need: {rows}, busy {busy:.0%} of the time."
    again = len(facts.runs) - len({run.trial for run in facts.runs})
    unclear = sum(not run.over for run in facts.runs)
    text += f" Runs that go on with an interrupted or frozen trial: {again}." if again else ""
    return text + (
        f" Runs drawn to their last sign of life, as their end is not on record: {unclear}."
        if unclear
        else ""
    )


def _row_names(rows: int) -> list[str]:
    return [str(row + 1) for row in range(rows)]


def _state(run: Run, facts: Facts) -> str:
    return facts.trials[run.trial].state


def _bars(bars: list[tuple[Run, int]], facts: Facts, state: str) -> Trace:
    numbered = len(facts.runs) <= BARS_WITH_NUMBERS
    return {
        "type": "bar",
        "orientation": "h",
        "name": state,
        "meta": {"state": state},
        "showlegend": False,
        "base": [
            run.begin.isoformat(timespec="milliseconds").replace("+00:00", "") for run, _ in bars
        ],
        "x": [round(run.seconds * 1000) for run, _ in bars],
        "y": [row for _, row in bars],
        "customdata": [run.trial for run, _ in bars],
        "text": [str(run.trial) if numbered else "" for run, _ in bars],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "insidetextfont": {"color": "#ffffff", "size": 11},
        "hovertext": [
            f"<b>trial {run.trial}</b>: {state}<br>{run.begin:%H:%M:%S} to {run.end:%H:%M:%S}, "
            f"{duration(run.seconds)}<br>{len(run.epochs)} epochs"
            for run, _ in bars
        ],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {"color": COLOURS[state], "line": {"color": RULE, "width": 1 if numbered else 0}},
    }
