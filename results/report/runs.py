"""When each trial ran, and in which order values came: by the journal's lines or a database."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from optuna.trial import FrozenTrial, TrialState

from results.study.journal_replay import Record
from results.study.optuna_private import JournalOperation as Op
from results.study.record import StudyRecord

Seconds = Mapping[int, Mapping[int, float]]  # by trial and epoch


@dataclass(slots=True)
class Run:
    """A stretch of time in which a trial trained; one that was interrupted has several.

    Attributes:
        trial: Its number.
        begin: When it began.
        end: When it ended, or its last sign of life.
        over: Whether its end is known.
        epochs: The epochs that it reported.
        lines: The journal's lines that say so; none for a database.
    """

    trial: int
    begin: datetime
    end: datetime
    over: bool = False
    epochs: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.begin).total_seconds()


@dataclass(frozen=True, slots=True)
class Reported:
    """A value that a trial reported, and when.

    The order of the journal's lines is exact. The time is an estimate: a run's time is shared out
    among its epochs as their seconds say.
    """

    trial: int
    epoch: int
    value: float
    at: datetime
    line: int


def seconds_by_epoch(record: StudyRecord) -> dict[int, dict[int, float]]:
    """The seconds of every epoch, as the trials' own files tell.

    Nothing of those whose file is gone.
    """
    return {trial.number: dict(_seconds(record, trial.number)) for trial in record.trials}


def _seconds(record: StudyRecord, number: int) -> Iterator[tuple[int, float]]:
    for line in record.folder.trial(number).read_metrics():
        seconds = line.get("seconds")
        if isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0:
            yield line["epoch"], float(seconds)


def read_runs(record: StudyRecord, seconds: Seconds, now: datetime) -> list[Run]:
    """All runs in the order in which they began; those that go on now reach to now."""
    description = record.description
    if not record.trials:
        return []
    if description.database:
        runs = list(_runs_of_trials(record.trials))
    else:
        runs = list(_runs_of_journal(record.journal))
    began_again: dict[int, datetime] = {}
    for run in sorted(runs, key=lambda run: run.begin, reverse=True):
        if not run.over:
            trained = sum(seconds[run.trial].get(epoch, 0.0) for epoch in run.epochs)
            going_on = (
                record.holder is not None and record.trials[run.trial].state == TrialState.RUNNING
            )
            last_sign = max(run.end, run.begin + timedelta(seconds=trained))
            run.end = now if going_on and run.trial not in began_again else last_sign
            run.end = min(run.end, began_again.get(run.trial, run.end))
        began_again[run.trial] = run.begin
    return sorted(runs, key=lambda run: run.begin)


def _runs_of_journal(lines: Sequence[Record]) -> Iterator[Run]:
    """The runs that the journal's lines tell of.

    An interrupted one ends with the last time noted before.
    """
    running: dict[int, Run] = {}
    created, clock = -1, datetime.fromtimestamp(0, UTC)
    for number_of_line, line in enumerate(lines, start=1):
        operation, state, number = line["op_code"], line.get("state"), line.get("trial_id", 0)
        times = [
            datetime.fromisoformat(line[key])
            for key in ("datetime_start", "datetime_complete")
            if line.get(key)
        ]
        clock = max([clock, *(time.astimezone(UTC) for time in times)])
        if operation == Op.CREATE_TRIAL:
            created += 1
            if state is None:
                running[created] = Run(created, clock, clock)
        elif operation == Op.SET_TRIAL_STATE_VALUES and state == TrialState.RUNNING:
            running[number] = Run(number, clock, clock)
        elif operation == Op.SET_TRIAL_STATE_VALUES and number in running:
            run = running.pop(number)
            run.end, run.over = clock, state != TrialState.WAITING
            yield run
        elif operation == Op.SET_TRIAL_INTERMEDIATE_VALUE and number in running:
            running[number].epochs.append(line["step"])
            running[number].lines.append(number_of_line)
    for run in running.values():
        run.end = max(clock, run.begin)
        yield run


def _runs_of_trials(trials: list[FrozenTrial]) -> Iterator[Run]:
    """One run for each trial: a database keeps only when it last began."""
    for trial in trials:
        if trial.datetime_start:
            begin = trial.datetime_start.astimezone(UTC)
            end = trial.datetime_complete.astimezone(UTC) if trial.datetime_complete else begin
            yield Run(
                trial.number,
                begin,
                end,
                trial.datetime_complete is not None,
                list(trial.intermediate_values),
            )


def reported(record: StudyRecord, runs: list[Run], seconds: Seconds) -> list[Reported]:
    """Every value of the study, in the journal's order; a database's in the order of time."""
    reports = []
    for run in runs:
        values = record.trials[run.trial].intermediate_values
        epochs = [epoch for epoch in run.epochs if epoch in values]
        spent = [seconds[run.trial].get(epoch, 0.0) for epoch in epochs]
        spent = spent if all(spent) else [1.0] * len(epochs)
        passed = 0.0
        lines = dict(zip(run.epochs, run.lines or [0] * len(run.epochs), strict=True))
        for epoch, cost in zip(epochs, spent, strict=True):
            passed += cost
            at = run.begin + (run.end - run.begin) * (passed / sum(spent))
            reports.append(Reported(run.trial, epoch, values[epoch], at, lines[epoch]))
    return sorted(reports, key=lambda report: (report.line, report.at))


def stacked(runs: list[Run]) -> list[int]:
    """A row for each run, so that no two overlap: the first row that is free when it begins."""
    free: list[datetime] = []
    rows = {}
    for index in sorted(range(len(runs)), key=lambda index: runs[index].begin):
        run = runs[index]
        row = next((row for row, since in enumerate(free) if since <= run.begin), len(free))
        free[row:] = [run.end, *free[row + 1 :]]
        rows[index] = row
    return [rows[index] for index in range(len(runs))]
