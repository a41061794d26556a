"""The figure of the best configurations that were trained again with fresh seeds."""

from results.confirm.confirmation import Confirmation
from results.report.figures.style import COLOURS, INK, RULE, Figure, Trace, axis, plain, rounded
from results.states import COMPLETE, RUNNING, STOPPED
from results.text import metric_text


def confirmation_figure(confirmation: Confirmation) -> Figure | None:
    """For each candidate its fresh values, their mean with its interval, and what was searched."""
    shown = [each for each in confirmation.candidates if each.values]
    if not shown:
        return None
    rows = list(enumerate(shown))
    means = [(each.mean, each.low, each.high, row) for row, each in rows if each.mean is not None]
    fresh = [(value, row) for row, each in rows for value in each.values]
    searched = [(each.searched_value, row) for row, each in rows]
    tested = [(each.test_value, row) for row, each in rows if each.test_value is not None]
    interval = _markers(
        [(mean, row) for mean, _, _, row in means], "mean and interval", "diamond", INK, 10
    )
    interval["error_x"] = {
        "type": "data",
        "symmetric": False,
        "array": [rounded(0 if high is None else high - mean) for mean, _, high, _ in means],
        "arrayminus": [rounded(0 if low is None else mean - low) for mean, low, _, _ in means],
        "color": INK,
        "thickness": 2,
        "width": 6,
    }
    data = [
        _markers(fresh, "fresh seeds", "circle", COLOURS[COMPLETE], 8),
        interval,
        _markers(searched, "found by the search", "star", COLOURS[STOPPED], 11),
        _markers(tested, "test split", "square-open", COLOURS[RUNNING], 10),
    ]
    return Figure(
        name="confirmed",
        title="Fresh seeds",
        alt="; ".join(f"{each.name}: {' '.join(map(metric_text, each.values))}" for each in shown),
        caption="Each dot is a training with a seed of its own; the bars are "
        f"{confirmation.confidence:.0%} confidence intervals of the mean.",
        data=[trace for trace in data if trace["x"]],
        layout={
            "xaxis": axis(confirmation.objective),
            "yaxis": {
                "tickvals": [row for row, _ in rows],
                "ticktext": [plain(each.name) for each in shown],
                "range": [len(shown) - 0.5, -0.5],
                "automargin": True,
                "gridcolor": RULE,
            },
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        },
        height=150 + 46 * len(shown),
    )


def _markers(
    pairs: list[tuple[float, int]], name: str, symbol: str, colour: str, size: int
) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [rounded(value) for value, _ in pairs],
        "y": [row for _, row in pairs],
        "text": [metric_text(value) for value, _ in pairs],
        "hovertemplate": f"{name}: %{{text}}<extra></extra>",
        "marker": {
            "symbol": symbol,
            "color": colour,
            "size": size,
            "line": {"width": 1.5, "color": colour},
        },
    }
