"""`confirm.json`: the best configurations trained again with fresh seeds. What it lacks is left out, never guessed."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from results.report.style import COLOURS, INK, RULE, Figure, Trace, axis, plain, rounded
from results.study_folder import StudyFolder
from results.text import metric_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A configuration that was trained again.

    Attributes:
        name: `trial 3`, or `start point 0`.
        searched: The value that the search found.
        values: Those of the fresh seeds.
        mean: Their mean.
        low: The lower end of its confidence interval.
        high: The upper end.
        test: The objective on the test split, if that was opened.
        test_metrics: The other metrics there.
    """

    name: str
    searched: float | None
    values: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None
    test: float | None
    test_metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """What `confirm.json` says.

    Attributes:
        objective: The metric's name.
        direction: Which way is better.
        verdict: In a sentence; empty for none.
        confidence: Of the intervals, 0 to 1, if it is told.
        candidates: The configurations.
        optimism: How much better the search's value looked than fresh seeds, in words; empty if it isn't known.
    """

    objective: str
    direction: str
    verdict: str
    confidence: float | None
    candidates: tuple[Candidate, ...]
    optimism: str


def read_confirmation(folder: StudyFolder) -> tuple[Confirmation | None, str | None]:
    """The study's confirmation, if there is one, and what is wrong with its file, if anything."""
    path = folder.confirmed
    if not path.exists():
        return None, None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return None, f"{path.name} can't be read: {error}"
    if not isinstance(content, dict):
        return None, f"{path.name} must be an object, got {type(content).__name__}"
    return _confirmation(content), None


def _confirmation(content: Mapping[str, Any]) -> Confirmation:
    listed = content.get("candidates")
    candidates = [_candidate(one) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    direction = "minimize" if content.get("direction") == "minimize" else "maximize"
    objective = str(content.get("objective", "objective"))
    return Confirmation(
        objective=objective,
        direction=direction,
        verdict=str(content.get("verdict") or ""),
        confidence=_number(content.get("confidence")),
        candidates=tuple(candidates),
        optimism=_optimism(content.get("optimism"), objective, direction),
    )


def _candidate(content: Mapping[str, Any]) -> Candidate:
    values, metrics = content.get("values"), content.get("test_metrics")
    numbers = [_number(value) for value in values] if isinstance(values, list) else []
    tested = {str(k): _number(v) for k, v in metrics.items()} if isinstance(metrics, dict) else {}
    return Candidate(
        name=str(content.get("name", "unnamed")),
        searched=_number(content.get("searched_value")),
        values=tuple(value for value in numbers if value is not None),
        mean=_number(content.get("mean")),
        low=_number(content.get("low")),
        high=_number(content.get("high")),
        test=_number(content.get("test_value")),
        test_metrics={name: value for name, value in tested.items() if value is not None},
    )


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]


def _optimism(content: object, objective: str, direction: str) -> str:
    told = content if isinstance(content, dict) else {}
    searched, fresh = _number(told.get("searched")), _number(told.get("fresh_mean"))
    if searched is None or fresh is None:
        return ""
    gap = (searched - fresh) * (1 if direction == "maximize" else -1)
    how = "better than" if gap > 0 else "worse than" if gap < 0 else "the same as"
    by = f"{metric_text(abs(gap))} {how}" if gap else how
    return (
        f"The search's best {objective} was {metric_text(searched)}; fresh seeds of the same configuration reach "
        f"{metric_text(fresh)} on average. The search's value is {by} what to expect"
        + (": the optimism of picking the highest of many noisy values." if gap > 0 else ".")
    )


def confirmation_figure(confirmation: Confirmation) -> Figure | None:
    """For each candidate its fresh values as dots, their mean with its interval, and what the search had found."""
    shown = [one for one in confirmation.candidates if one.values or one.mean is not None]
    if not shown:
        return None
    rows = {one.name: row for row, one in enumerate(shown)}
    confidence = f"{confirmation.confidence:.0%} " if confirmation.confidence is not None else ""
    means = [one for one in shown if one.mean is not None]
    fresh = [(value, rows[one.name]) for one in shown for value in one.values]
    searched = [(one.searched, rows[one.name]) for one in shown if one.searched is not None]
    tested = [(one.test, rows[one.name]) for one in shown if one.test is not None]
    interval = _markers([(one.mean or 0.0, rows[one.name]) for one in means], "mean and interval", "diamond", INK, 10)
    interval["error_x"] = {
        "type": "data",
        "symmetric": False,
        "array": [
            rounded(one.high - one.mean) if one.high is not None and one.mean is not None else 0 for one in means
        ],
        "arrayminus": [
            rounded(one.mean - one.low) if one.low is not None and one.mean is not None else 0 for one in means
        ],
        "color": INK,
        "thickness": 2,
        "width": 6,
    }
    data = [
        _markers(fresh, "fresh seeds", "circle", COLOURS["complete"], 8),
        interval,
        _markers(searched, "found by the search", "star", COLOURS["stopped early"], 11),
        _markers(tested, "test split", "square-open", COLOURS["running"], 10),
    ]
    return Figure(
        name="confirmed",
        title="Fresh seeds",
        alt="; ".join(f"{one.name}: {' '.join(map(metric_text, one.values))}" for one in shown),
        caption="Each dot is a training with a seed of its own; the bars are "
        f"{confidence}confidence intervals of the mean.",
        data=[trace for trace in data if trace["x"]],
        layout={
            "xaxis": axis(confirmation.objective),
            "yaxis": {
                "tickvals": list(rows.values()),
                "ticktext": [plain(name) for name in rows],
                "range": [len(rows) - 0.5, -0.5],
                "automargin": True,
                "gridcolor": RULE,
            },
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        },
        height=150 + 46 * len(shown),
    )


def _markers(pairs: list[tuple[float, int]], name: str, symbol: str, colour: str, size: int) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [rounded(value) for value, _ in pairs],
        "y": [row for _, row in pairs],
        "text": [metric_text(value) for value, _ in pairs],
        "hovertemplate": f"{name}: %{{text}}<extra></extra>",
        "marker": {"symbol": symbol, "color": colour, "size": size, "line": {"width": 1.5, "color": colour}},
    }
