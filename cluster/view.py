"""The live view of a search: a table on a terminal, a line now and then where there is none."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.trial import FrozenTrial, TrialState
from rich.console import Group
from rich.live import Live
from rich.table import Table

from cluster.search.study import Study
from cluster.tune_hooks import Halt
from results.console import Console
from results.states import NAMES, plain_state_name
from results.study.notes import frozen_epoch
from results.study.record import epochs_of
from results.text import duration, metric_text, of_budget, short_names, values_text
from search_spaces import Space

REFRESH_S = 0.5
LINE_S = 10.0


class SilentView:
    """Shows nothing."""

    def refresh(self) -> None:
        """Nothing."""


class LineView:
    """One line every ten seconds, for logs."""

    def __init__(self, study: Study, halt: Halt, console: Console):
        self._study, self._halt, self._console = study, halt, console
        self._started = self._shown = time.monotonic()

    def refresh(self) -> None:
        """Print a line when it is time."""
        if time.monotonic() - self._shown >= LINE_S:
            self._shown = time.monotonic()
            self._console.say(headline(self._study, self._halt, self._started))


class TableView:
    """A table that is drawn anew twice a second: states, epochs, best, what runs, time left."""

    def __init__(self, study: Study, halt: Halt, live: Live):
        self._study, self._halt, self._live = study, halt, live
        self._started = time.monotonic()
        self._shown = 0.0

    def refresh(self) -> None:
        """Draw when it is time."""
        if time.monotonic() - self._shown >= REFRESH_S:
            self._shown = time.monotonic()
            self._live.update(self._draw(), refresh=True)

    def _draw(self) -> Group:
        running = [trial for trial in self._study.trials() if trial.state == TrialState.RUNNING]
        return Group(
            headline(self._study, self._halt, self._started), running_table(self._study, running)
        )


@contextmanager
def open_view(
    study: Study, halt: Halt, console: Console, *, quiet: bool
) -> Iterator[SilentView | LineView | TableView]:
    """The view that suits the terminal; it is cleared away on leaving."""
    if quiet:
        yield SilentView()
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield TableView(study, halt, live)
    else:
        yield LineView(study, halt, console)


def headline(study: Study, halt: Halt, started: float) -> str:
    """How far the search is, in one line."""
    trials = study.counted()
    states = Counter(map(plain_state_name, trials))
    counts = ", ".join(f"{states[name]} {name}" for name in NAMES if states[name])
    epochs = of_budget(epochs_of(study.trials()), study.space.epochs)
    best = study.best
    finished = sum(trial.state.is_finished() for trial in trials)
    parts = [
        f"{finished}/{study.space.budget.trials} trials: {counts or 'starting'}",
        f"{epochs} epochs",
        f"best {study.objective.name} {metric_text(best.value)} (trial {best.number}, epoch "
        f"{best.epoch})"
        if best
        else "no value yet",
        f"{duration(time.monotonic() - started)} gone",
    ]
    left = seconds_left(trials, study.space, halt, time.monotonic() - started)
    return "  ".join([*parts, *([f"about {duration(left)} left"] if left is not None else [])])


def seconds_left(
    trials: list[FrozenTrial], space: Space, halt: Halt, elapsed_s: float
) -> float | None:
    """An estimate: what is to come at the pace so far, but no more than the time that is left."""
    gone = sum(trial.state.is_finished() or frozen_epoch(trial) is not None for trial in trials)
    share = max(gone / space.budget.trials, epochs_of(trials) / (space.epochs or math.inf))
    estimate = elapsed_s * (1 - min(1.0, share)) / share if gone >= 3 else None
    limits = [seconds for seconds in (estimate, halt.seconds_left()) if seconds is not None]
    return min(limits, default=None)


def running_table(study: Study, running: list[FrozenTrial]) -> Table:
    """What trains now."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("trial", "epoch", study.objective.name):
        table.add_column(column, justify="right", style="dim" if column == "trial" else None)
    table.add_column("configuration", overflow="ellipsis", no_wrap=True)
    names = short_names(parameter.name for parameter in study.space.parameters)
    for trial in running:
        epoch, value = max(trial.intermediate_values.items(), default=(0, None))
        shown = "" if value is None else metric_text(value)
        epochs = f"{epoch}/{study.space.budget.max_epochs}"
        table.add_row(str(trial.number), epochs, shown, values_text(trial.params, names))
    return table
