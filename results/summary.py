"""A study at a glance: states, the best trials, the hand-made start points, failures."""

from collections import Counter
from collections.abc import Mapping

from optuna.trial import TrialState
from rich.table import Table

from results.console import Console
from results.states import FROZEN, TRAINED_AGAIN, state_name
from results.study.best import BestEpoch, pareto_front
from results.study.description import noted_changes
from results.study.notes import Notes, frozen_epoch
from results.study.record import StudyRecord, epochs_of
from results.text import metric_text, of_budget, short_names, values_text
from trainables.config import TaskError
from trainables.task import Task, load_task

SHOWN_TRIALS = 5
SHOWN_FRONT = 12
SHOWN_FAILURES = 5


def print_summary(record: StudyRecord, console: Console) -> None:
    """Print states, changes, the best trials and the start points, warnings and failures."""
    console.say(states_text(record))
    for text in noted_changes(record.description.origin):
        console.say(f"since this study began, {text}", style="yellow")
    if record.ranked():
        if record.description.objective.second:
            console.say("no other trial is better than these in both objectives:")
        console.print(best_table(record))
    for text in warning_texts(record):
        console.say(text, style="yellow")
    failures = [trial for trial in record.counted() if trial.state == TrialState.FAIL]
    for trial in failures[:SHOWN_FAILURES]:
        console.say(f"trial {trial.number} failed: {Notes.of(trial).reason}", style="red")
    if len(failures) > SHOWN_FAILURES:
        console.say(f"... and {len(failures) - SHOWN_FAILURES} more failed", style="red")


def nothing_found_text(record: StudyRecord) -> str:
    """Why a search has no best: the first reason, and where its traceback is."""
    none = f"no trial has a finite {record.description.objective.name}"
    for trial in record.counted():
        if trial.state == TrialState.FAIL:
            error = record.folder.trial(trial.number).error
            where = f"; the traceback: {error}" if error.exists() else ""
            return f"{none}: trial {trial.number} failed: {Notes.of(trial).reason}{where}"
    for trial in record.trials:
        if trial.intermediate_values:
            return (
                f"{none}: trial {trial.number} ended at epoch {max(trial.intermediate_values)} "
                "with a number that isn't"
            )
    return f"{none} yet"


def warning_texts(record: StudyRecord) -> list[str]:
    """What trials warned of, each warning once: that of the data is every trial's."""
    numbers: dict[str, list[int]] = {}
    for trial in record.trials:
        if (warning := Notes.of(trial).warning) is not None:
            numbers.setdefault(warning, []).append(trial.number)
    return [
        f"trial {first}{f' and {len(others)} more' if others else ''}: {text}"
        for text, (first, *others) in numbers.items()
    ]


def states_text(record: StudyRecord) -> str:
    """All trials accounted for, in one line."""
    states = Counter(state_name(trial, record) for trial in record.counted())
    if record.repeated_by:  # Last, as these no longer count.
        states[TRAINED_AGAIN] = len(record.repeated_by)
    epochs, most = epochs_of(record.trials), record.description.space.epochs
    by_count = sorted(states.items(), key=lambda item: (item[0] == TRAINED_AGAIN, -item[1]))
    counts = ", ".join(f"{count} {name}" for name, count in by_count)
    budget = record.description.space.budget
    return (
        f"{len(record.counted())} of {budget.trials} trials: {counts or 'none yet'}; "
        f"{of_budget(epochs, most)} epochs trained"
    )


def best_table(record: StudyRecord) -> Table:
    """The best trials, and below them the start points that are not among them."""
    objective, extra = record.description.objective, extra_metrics(record)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("trial", *objective.names, *extra, "epoch", "state"):
        table.add_column(column, justify="left" if column == "state" else "right")
    table.add_column("configuration", overflow="fold")
    shown = shown_bests(record)
    others = [best for best in record.start_points() if best not in shown]
    names = short_names(parameter.name for parameter in record.description.space.parameters)
    for best in [*shown, *others]:
        table.add_row(*_row(best, record, extra, names))
    return table


def shown_bests(record: StudyRecord) -> list[BestEpoch]:
    """The best few; with two objectives, those that no other trial beats in both."""
    bests = record.ranked()
    if record.description.objective.second is None:
        return bests[:SHOWN_TRIALS]
    return pareto_front(bests, record.description.objective)[:SHOWN_FRONT]


def extra_metrics(record: StudyRecord) -> list[str]:
    """The metrics that the task wants shown beside its objective.

    None if it can't be imported here.
    """
    try:
        task = load_task(record.description.space.task)
    except TaskError:
        return []
    if not isinstance(task, Task):
        return []
    return [name for name in task.shown_metrics if name not in record.description.objective.names]


def metrics_at(record: StudyRecord, best: BestEpoch) -> Mapping[str, float]:
    """All that a trial reported at its best epoch; nothing if its file is gone."""
    lines = record.folder.trial(best.number).read_metrics()
    return next((line["metrics"] for line in lines if line["epoch"] == best.epoch), {})


def _row(
    best: BestEpoch,
    record: StudyRecord,
    extra: list[str],
    names: Mapping[str, str],
) -> tuple[str, ...]:
    trial = record.trials[best.number]
    start = Notes.of(trial).start_point
    note = f"[start point {start}] " if start is not None else ""
    state = state_name(trial, record)
    if trial.state == TrialState.PRUNED:
        state = f"stopped at {max(trial.intermediate_values)}"
    elif state == FROZEN:
        state = f"frozen at {frozen_epoch(trial)}"
    metrics = metrics_at(record, best) if extra else {}
    return (
        str(trial.number),
        *map(metric_text, best.values),
        *(metric_text(metrics[name]) if name in metrics else "" for name in extra),
        f"{best.epoch}/{record.description.space.budget.max_epochs}",
        state,
        note + values_text(trial.params, names),
    )
