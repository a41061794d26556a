"""The tables of a report: the best trial next to the start points, and all trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from results.confirm.confirmation import Confirmation
from results.report.facts import Facts, TrialFacts
from results.report.figures.scales import place, searched_text, when_text
from results.summary import metrics_at
from results.text import duration, metric_text, value_text

MOST_STARTS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A cell of a table that can be sorted.

    Attributes:
        text: As it is shown.
        order: What it is sorted by: a number, or a text; empty cells come last.
    """

    text: str
    order: float | str | None = None

    @property
    def data_order(self) -> str | None:
        """What the page's script sorts it by: a number, or empty; None leaves it to the text."""
        if isinstance(self.order, str):
            return None
        return "" if self.order is None else f"{self.order:.6g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterRow:
    """A parameter: what was searched, and what the best and the start points have.

    Attributes:
        name: Its dotted name.
        searched: The range or the choices.
        when: The condition under which it takes part; empty for always.
        place: Where the best lies in the range, per cent; None if that is no range or it takes no
            part.
        values: The best's, then the start points'; empty where it takes no part.
    """

    name: str
    searched: str
    when: str
    place: float | None
    values: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class BestTable:
    """The best configuration beside the one that fresh seeds found best, and the start points.

    Attributes:
        heads: A head for each column of values.
        results: Rows of what each reached: value, mean of fresh seeds, epoch, state, time.
        parameters: A row for each parameter.
        metrics: Rows of what else was reported at the best epochs.
    """

    heads: list[str]
    results: list[tuple[str, list[str]]]
    parameters: list[ParameterRow]
    metrics: list[tuple[str, list[str]]]


def best_table(facts: Facts, confirmation: Confirmation | None) -> BestTable:
    """The best, that on fresh seeds, and the start points, whatever became of them."""
    heads = _heads(facts, confirmation)
    shown = [facts.trials[number] for number in heads]
    return BestTable(
        heads=list(heads.values()),
        results=_results(facts, shown, confirmation),
        parameters=[
            _parameter_row(index, facts, shown) for index in range(len(facts.space.parameters))
        ],
        metrics=_other_metrics(facts, shown),
    )


def _heads(facts: Facts, confirmation: Confirmation | None) -> dict[int, str]:
    """The trials that are shown, by number, and what to call each."""
    heads = {facts.best.number: f"best: trial {facts.best.number}"} if facts.best else {}
    winner = confirmation.winner if confirmation else None
    if winner and winner.trial in range(len(facts.trials)):
        heads.setdefault(winner.trial, f"best on fresh seeds: {winner.name}")
    starts = [
        trial for trial in facts.trials if trial.start is not None and trial.number not in heads
    ]
    return heads | {trial.number: f"start point {trial.start}" for trial in starts[:MOST_STARTS]}


def _parameter_row(index: int, facts: Facts, shown: list[TrialFacts]) -> ParameterRow:
    parameter = facts.space.parameters[index]
    has_best = bool(facts.best) and parameter.name in shown[0].params and parameter.kind != "choice"
    return ParameterRow(
        name=parameter.name,
        searched=searched_text(parameter),
        when=when_text(parameter),
        place=round(100 * place(parameter, shown[0].params[parameter.name]), 1)
        if has_best
        else None,
        values=[
            value_text(trial.params[parameter.name]) if parameter.name in trial.params else ""
            for trial in shown
        ],
    )


def _results(
    facts: Facts, shown: list[TrialFacts], confirmation: Confirmation | None
) -> list[tuple[str, list[str]]]:
    objective, bests = facts.objective, [trial.best for trial in shown]
    rows = [(objective.name, [metric_text(best.value) if best else "none" for best in bests])]
    if objective.second:
        seconds = [
            metric_text(best.second) if best and best.second is not None else "none"
            for best in bests
        ]
        rows.append((objective.second.name, seconds))
    if confirmation:
        means = {
            candidate.trial: metric_text(candidate.mean)
            for candidate in confirmation.candidates
            if candidate.mean is not None
        }
        rows.append(("mean of fresh seeds", [means.get(trial.number, "") for trial in shown]))
    rows.append(("at epoch", [str(best.epoch) if best else "" for best in bests]))
    rows.append(("state", [_state_text(trial) for trial in shown]))
    rows.append(
        (
            "trained for",
            [duration(trial.seconds) if trial.seconds is not None else "" for trial in shown],
        )
    )
    return rows


def _state_text(trial: TrialFacts) -> str:
    return f"{trial.state} after epoch {trial.epochs}" if trial.epochs else trial.state


def _other_metrics(facts: Facts, shown: list[TrialFacts]) -> list[tuple[str, list[str]]]:
    """What else was reported at the best epochs; nothing where the file is gone."""
    reported = [metrics_at(facts.record, trial.best) if trial.best else {} for trial in shown]
    shown_above = {
        "lr",
        facts.objective.name,
        facts.objective.second.name if facts.objective.second else None,
    }
    names = [
        name
        for name in dict.fromkeys(name for metrics in reported for name in metrics)
        if name not in shown_above
    ]
    return [(name, [_metric(metrics.get(name)) for metrics in reported]) for name in names]


def _metric(value: object) -> str:
    return (
        metric_text(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialTable:
    """All trials.

    Attributes:
        heads: A short head for each column, with the full name.
        rows: Each with the trial's state and its cells.
    """

    heads: list[tuple[str, str]]
    rows: list[tuple[TrialFacts, list[Cell]]]


def trial_table(facts: Facts) -> TrialTable:
    """Every trial with its numbers and its configuration, the best first."""
    second = [(facts.objective.second.name,) * 2] if facts.objective.second else []
    heads = [
        ("trial", "trial"),
        ("state", "state"),
        (facts.objective.name, facts.objective.name),
        *second,
    ]
    heads += [
        ("best epoch", "best epoch"),
        ("epochs", "epochs trained"),
        ("time", "time"),
        ("start", "start point"),
    ]
    heads += [(text, name) for name, text in facts.names.items()]
    heads += [("note", "reason or warning")]
    ranks = {best.number: rank for rank, best in enumerate(facts.ranked)}
    trials = sorted(facts.trials, key=lambda trial: ranks.get(trial.number, len(ranks)))
    return TrialTable(heads=heads, rows=[(trial, _cells(trial, facts)) for trial in trials])


def _cells(trial: TrialFacts, facts: Facts) -> list[Cell]:
    best = trial.best
    cells = [
        Cell(text=str(trial.number), order=trial.number),
        Cell(text=trial.state, order=trial.state),
    ]
    cells.append(Cell(text=metric_text(best.value), order=best.value) if best else Cell(text=""))
    if facts.objective.second:
        second = best.second if best else None
        cells.append(Cell(text="" if second is None else metric_text(second), order=second))
    cells.append(Cell(text=str(best.epoch), order=best.epoch) if best else Cell(text=""))
    cells.append(Cell(text=str(trial.epochs), order=trial.epochs))
    cells.append(
        Cell(text="" if trial.seconds is None else duration(trial.seconds), order=trial.seconds)
    )
    cells.append(Cell(text="" if trial.start is None else str(trial.start), order=trial.start))
    cells += [_value_cell(trial.params, parameter.name) for parameter in facts.space.parameters]
    return [
        *cells,
        Cell(text=trial.reason or trial.warning or "", order=trial.reason or trial.warning),
    ]


def _value_cell(params: Mapping[str, Any], name: str) -> Cell:
    if name not in params:
        return Cell(text="")
    value = params[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(text=value_text(value), order=float(value) if number else str(value))


def data_of(facts: Facts) -> dict[str, Any]:
    """The study's numbers in full, for whoever reads the page by program."""
    best, second = facts.best, facts.objective.second
    return {
        "study": facts.space.name,
        "condition": facts.record.condition(),
        "objective": facts.objective.text,
        "second": second.name if second else None,
        "best": {"trial": best.number, "epoch": best.epoch, "value": best.value} if best else None,
        "front": [best.number for best in facts.front],
        "counts": dict(facts.counts),
        "epochs": facts.epochs,
        "rungs": facts.space.rungs,
        "best_so_far": [[step.cost, step.value, step.trial, step.epoch] for step in facts.steps()],
        "trials": [_trial_data(trial) for trial in facts.trials],
    }


def _trial_data(trial: TrialFacts) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.best.value if trial.best else None,
        "epoch": trial.best.epoch if trial.best else None,
        "second": trial.best.second if trial.best else None,
        "epochs": trial.epochs,
        "seconds": trial.seconds,
        "start": trial.start,
    }
