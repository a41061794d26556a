"""The numbers of a report, each computed in one place; nothing is drawn here."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from optuna.trial import FrozenTrial

from results.report.runs import Reported, Run, read_runs, reported, seconds_by_epoch, stacked
from results.states import state_name
from results.study.best import BestEpoch, best_epoch, pareto_front
from results.study.notes import Notes
from results.study.record import StudyRecord
from results.text import short_names
from search_spaces import Objective, Space


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialFacts:
    """A trial, as far as a report shows it.

    Attributes:
        number: Given by Optuna, from 0.
        state: What it is called: one of `results.states`.
        params: What was searched.
        start: The number of the start point that it is, if it is one.
        values: The objective by epoch; not all need be finite.
        best: Its best epoch.
        seconds: How long it ran, all its runs together; None when that isn't known.
        reason: Why it failed.
        warning: What it warned of.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    start: int | None
    values: Mapping[int, float]
    best: BestEpoch | None
    seconds: float | None
    reason: str | None
    warning: str | None

    @property
    def epochs(self) -> int:
        """The last epoch that it reported; 0 for none."""
        return max(self.values, default=0)

    def finite(self) -> list[tuple[int, float]]:
        """Its finite values, in the order of their epochs."""
        return sorted(
            (epoch, value) for epoch, value in self.values.items() if math.isfinite(value)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A new best value.

    Attributes:
        cost: Epochs that all trials together had trained by then.
        seconds: Time since the study began.
        value: The objective.
        trial: Whose it was.
        epoch: At which epoch.
    """

    cost: int
    seconds: float
    value: float
    trial: int
    epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """A study in numbers.

    Attributes:
        record: What was read.
        trials: By number.
        runs: When they ran.
        rows: For each run, its row of the timeline.
        reports: Every value, in the order of time.
        ranked: The trials' best epochs, the best trial first.
        names: What each parameter is called where there is little room.
        now: When this was computed.
    """

    record: StudyRecord
    trials: list[TrialFacts]
    runs: list[Run]
    rows: list[int]
    reports: list[Reported]
    ranked: list[BestEpoch]
    names: Mapping[str, str]
    now: datetime

    @classmethod
    def of(cls, record: StudyRecord) -> Self:
        """Compute a study's facts; reads the trials' own files for the seconds of their epochs."""
        now, seconds = datetime.now(UTC), seconds_by_epoch(record)
        runs = read_runs(record, seconds, now)
        lengths: dict[int, float] = {}
        for run in runs:
            lengths[run.trial] = lengths.get(run.trial, 0.0) + run.seconds
        trials = [_trial(trial, record, lengths.get(trial.number)) for trial in record.trials]
        reports = reported(record, runs, seconds)
        return cls(
            record=record,
            trials=trials,
            runs=runs,
            rows=stacked(runs),
            reports=reports,
            ranked=record.ranked(),
            names=short_names(parameter.name for parameter in record.description.space.parameters),
            now=now,
        )

    @property
    def space(self) -> Space:
        """What was searched."""
        return self.record.description.space

    @property
    def objective(self) -> Objective:
        """What trials are compared by."""
        return self.record.description.objective

    @property
    def best(self) -> BestEpoch | None:
        """The best of all; with two objectives, the best in the first one."""
        return next(iter(self.ranked), None)

    @property
    def best_start(self) -> BestEpoch | None:
        """The best of the start points."""
        return next(
            (best for best in self.ranked if self.trials[best.number].start is not None), None
        )

    @property
    def front(self) -> list[BestEpoch]:
        """The Pareto front of a study with two objectives."""
        return pareto_front(self.ranked, self.objective) if self.objective.second else []

    @property
    def counts(self) -> Counter[str]:
        """How many trials are in each state."""
        return Counter(trial.state for trial in self.trials)

    @property
    def epochs(self) -> int:
        """Epochs that all trials together trained."""
        return sum(len(trial.values) for trial in self.trials)

    @property
    def trial_seconds(self) -> float:
        """How long all trials ran, added up."""
        return sum(run.seconds for run in self.runs)

    @property
    def began(self) -> datetime | None:
        """When the first trial began."""
        return min((run.begin for run in self.runs), default=None)

    @property
    def ended(self) -> datetime | None:
        """When the last trial ended, or now if one is running."""
        return max((run.end for run in self.runs), default=None)

    @property
    def wall_seconds(self) -> float:
        """From the first trial's begin to the last one's end, pauses between launches included."""
        return (self.ended - self.began).total_seconds() if self.began and self.ended else 0.0

    def steps(self) -> list[Step]:
        """Every new best value in the order of time.

        What a failed trial reported doesn't count, as nowhere.
        """
        steps: list[Step] = []
        began, sign = self.began or self.now, self.objective.sign
        for cost, report in enumerate(self.reports, start=1):
            counts = math.isfinite(report.value) and self.trials[report.trial].best is not None
            if counts and (not steps or sign * report.value > sign * steps[-1].value):
                since = max(
                    (report.at - began).total_seconds(), steps[-1].seconds if steps else 0.0
                )
                steps.append(
                    Step(
                        cost=cost,
                        seconds=since,
                        value=report.value,
                        trial=report.trial,
                        epoch=report.epoch,
                    )
                )
        return steps


def _trial(trial: FrozenTrial, record: StudyRecord, seconds: float | None) -> TrialFacts:
    notes = Notes.of(trial)
    return TrialFacts(
        number=trial.number,
        state=state_name(trial, record),
        params=trial.params,
        start=notes.start_point,
        values=trial.intermediate_values,
        best=best_epoch(trial, record.description.objective),
        seconds=seconds,
        reason=notes.reason,
        warning=notes.warning,
    )
