"""What a line of the journal must say, given the lines before it, and the trials that come out.

The trials are those that Optuna makes of the same lines, in a third of its time.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, cast

from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from results.study.identity import SPACE_KEY, other_name_text, other_space_text
from results.study.notes import (
    ALONE_KEY,
    CODE_KEY,
    FROZEN_KEY,
    PASSED_KEY,
    REASON_KEY,
    REPEATS_KEY,
    START_POINT_KEY,
    WARNING_KEY,
    Notes,
    expected_epoch,
    second_epoch,
)
from results.study.optuna_private import can_hold
from search_spaces import Space
from search_spaces.parameter import Parameter, active
from search_spaces.problems import is_number, is_whole, show
from search_spaces.space import Objective
from search_spaces.suggest import distribution

FIXED_KEY = "fixed_params"  # Optuna's, for what `enqueue_trial` was given.

Record = dict[str, Any]


@dataclass(slots=True)
class _TrialSoFar:
    """What the lines that were read say of a trial."""

    state: TrialState
    pinned: Mapping[str, Any] = field(default_factory=dict)
    repeated: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)
    failed_for: str | None = None
    second_noted: bool = False
    began: str | None = None
    ended: str | None = None
    final_values: list[float] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    notes_of_optuna: dict[str, Any] = field(default_factory=dict)

    @property
    def is_frozen(self) -> bool:
        """Whether it waits at an epoch at which it was frozen, and from which it may be pruned."""
        return self.state == TrialState.WAITING and FROZEN_KEY in self.notes


class _Searched(NamedTuple):
    """A parameter, and how the journal spells its distribution."""

    parameter: Parameter
    distribution: BaseDistribution
    spellings: set[str]


class Replay:
    """The study as far as the lines have told it.

    Each method takes in a line whose fields are checked already.

    Raises:
        ValueError: when the line can't follow those before it.
    """

    def __init__(self, space: Space, objective: Objective):
        self.space, self.objective = space, objective
        self.begun = self.space_noted = False
        self.starts = 0
        self.trials: list[_TrialSoFar] = []
        self.searched = {parameter.name: _searched(parameter) for parameter in space.parameters}

    def frozen_trials(self) -> list[FrozenTrial]:
        """The trials so far, as Optuna would give them."""
        return [self._frozen(number, trial) for number, trial in enumerate(self.trials)]

    def _frozen(self, number: int, trial: _TrialSoFar) -> FrozenTrial:
        return FrozenTrial(
            number=number,
            trial_id=number,
            state=trial.state,
            value=None,
            values=trial.final_values,
            datetime_start=_local_time(trial.began),
            datetime_complete=_local_time(trial.ended),
            params=trial.values,
            distributions={name: self.searched[name].distribution for name in trial.values},
            user_attrs=trial.notes,
            system_attrs=trial.notes_of_optuna,
            intermediate_values=trial.reports,
        )

    def create_study(self, record: Record) -> None:
        """The first line: whose study it is."""
        name, direction = record["study_name"], StudyDirection[self.objective.direction.upper()]
        if name != self.space.name:
            raise ValueError(other_name_text(name, self.space.name))
        rule = (
            f"directions must be {[direction.value]}, as the study is to {self.objective.direction}"
        )
        _require(record["directions"] == [direction.value], rule, record["directions"])
        self.begun = True

    def set_study_attr(self, record: Record) -> None:
        """The space that was searched; the rest is other tools'."""
        ((key, kept),) = record["user_attr"].items()
        if key != SPACE_KEY:
            return
        _require(isinstance(kept, dict), f"{SPACE_KEY} must be an object", kept)
        if differing := other_space_text(kept, self.space):
            raise ValueError(differing)
        self.space_noted = True

    def keep_for_others(self, record: Record) -> None:
        """Notes that other tools, such as Optuna's dashboard, keep in a journal."""

    def create_trial(self, record: Record) -> None:
        """A trial that is suggested as it runs."""
        self._add(_TrialSoFar(TrialState.RUNNING, began=record["datetime_start"]))

    def enqueue_trial(self, record: Record) -> None:
        """A start point, or a failed trial's configuration, to be tried when its turn comes."""
        noted, fixed = record["user_attrs"], record["system_attrs"]
        if REPEATS_KEY in noted:
            trial = self._repeat(noted[REPEATS_KEY])
        else:
            trial = self._next_start_point(noted)
        is_due = noted == trial.notes and all(map(is_whole, noted.values()))
        _require(is_due, f"user_attrs must be {show(trial.notes)}", noted)
        trial.notes_of_optuna = {FIXED_KEY: dict(trial.pinned)}
        _require(
            fixed == trial.notes_of_optuna,
            f"system_attrs must be {show(trial.notes_of_optuna)}",
            fixed,
        )
        self._add(trial)

    def _next_start_point(self, noted: object) -> _TrialSoFar:
        number = self.starts
        _require(
            number < len(self.space.start), "a space's start points must each be tried once", noted
        )
        self.starts += 1
        notes = Notes(start_point=number).to_attrs()
        return _TrialSoFar(TrialState.WAITING, pinned=self.space.start[number], notes=notes)

    def _repeat(self, number: object) -> _TrialSoFar:
        rule = f"{REPEATS_KEY} must be the number of a failed trial that no other one repeats"
        is_trial = isinstance(number, int) and is_whole(number) and 0 <= number < len(self.trials)
        _require(is_trial, rule, number)
        failed = self.trials[cast(int, number)]
        _require(failed.state == TrialState.FAIL and not failed.repeated, rule, number)
        failed.repeated = True
        notes = Notes(start_point=failed.notes.get(START_POINT_KEY), repeats=cast(int, number))
        return _TrialSoFar(TrialState.WAITING, pinned=dict(failed.values), notes=notes.to_attrs())

    def set_param(self, record: Record) -> None:
        """A parameter that takes part, with a value that it can take; the order is not checked."""
        trial, name = self._running(record), record["param_name"]
        value = record["param_value_internal"]
        asked = self.searched.get(name)
        if asked is None or not _takes_part(asked.parameter, trial.values):
            raise ValueError(
                f"param_name must be one of {', '.join(self._lacking(trial)) or 'none'}, got "
                f"{show(name)}"
            )
        if name in trial.values:
            raise ValueError(f"the trial must have each parameter once, got {show(name)} again")
        _check_spelling(asked, record["distribution"])
        if not _inside(asked.distribution, value):
            raise ValueError(
                f"param_value_internal must be in {asked.distribution}, got {show(value)}"
            )
        if name in trial.pinned:
            pinned = asked.distribution.to_internal_repr(trial.pinned[name])
            _require(
                value == pinned,
                f"param_value_internal must be what the trial was enqueued with, {show(pinned)}",
                value,
            )
        trial.values[name] = asked.parameter.cast(asked.distribution.to_external_repr(value))

    def run(self, record: Record) -> None:
        """A waiting trial begins, or goes on."""
        trial = self._trial(record)
        _require(
            trial.state == TrialState.WAITING,
            "a trial that begins must be WAITING",
            trial.state.name,
        )
        trial.state, trial.began = TrialState.RUNNING, record["datetime_start"]

    def wait(self, record: Record) -> None:
        """A running trial is left to a later launch."""
        self._running(record).state = TrialState.WAITING

    def report(self, record: Record) -> None:
        """A value at an epoch that has none yet."""
        trial, epoch = self._running(record), record["step"]
        if not trial.reports and (lacking := self._lacking(trial)):
            raise ValueError(
                f"a trial must have all its parameters before it reports, got none for {lacking[0]}"
            )
        _require(
            epoch not in trial.reports, "step must be an epoch that was not reported before", epoch
        )
        second = self.objective.second
        if second and not trial.second_noted and math.isfinite(record["intermediate_value"]):
            raise ValueError(
                f"{second.name} must be noted before {self.objective.name} is reported"
            )
        trial.reports[epoch] = record["intermediate_value"]

    def set_trial_attr(self, record: Record) -> None:
        """Why a trial failed and by which code, what it warned of, where it passed or was frozen.

        The rest is other tools'.
        """
        trial = self._running(record)
        ((key, value),) = record["user_attr"].items()
        at_creation = key in (START_POINT_KEY, REPEATS_KEY)
        _require(not at_creation, f"{key} must be set when the trial is created", value)
        if key in (PASSED_KEY, FROZEN_KEY):
            _require(
                is_whole(value) and value in trial.reports,
                f"{key} must be an epoch reported",
                value,
            )
        elif (epoch := second_epoch(key)) is not None:
            self._check_second(trial, key, epoch, value)
            trial.second_noted = True
        elif expected_epoch(key) is not None:
            _require(_is_expected(value), f"{key} must be an epoch and three numbers", value)
        elif key == ALONE_KEY:
            _require(value is True, f"{key} must be true", value)
        elif key in (REASON_KEY, WARNING_KEY, CODE_KEY):
            _require(isinstance(value, str), f"{key} must be a text", value)
            trial.failed_for = value if key == REASON_KEY else trial.failed_for
        trial.notes[key] = value

    def _check_second(self, trial: _TrialSoFar, key: str, epoch: int, value: object) -> None:
        _require(
            self.objective.second is not None,
            "a study of one objective must have no second value",
            key,
        )
        _require(is_number(value), f"{key} must be a finite number", value)
        late = epoch <= max(trial.reports, default=0)
        _require(not late, "a second value must stand before the report of its epoch", key)

    def finish(self, record: Record) -> None:
        """The end of a trial, with the value that follows from its reports."""
        trial, state = self._trial(record), TrialState(record["state"])
        if not (state == TrialState.PRUNED and trial.is_frozen):
            trial = self._running(record)
        _require(
            state != TrialState.FAIL or trial.failed_for is not None,
            "a failed trial must have a reason",
            None,
        )
        values = self._final_values(trial, state)
        if record["values"] != values:
            raise ValueError(
                f"values must be {show(values)}, as it reported, got {show(record['values'])}"
            )
        trial.state, trial.ended = state, record["datetime_complete"]
        trial.final_values = values

    def _final_values(self, trial: _TrialSoFar, state: TrialState) -> list[float] | None:
        """The best value of a complete trial, as `Study` has it; a stopped one's last."""
        if state == TrialState.FAIL:
            return None
        finite = [value for value in trial.reports.values() if math.isfinite(value)]
        if not (finite if state == TrialState.COMPLETE else trial.reports):
            raise ValueError(f"a trial that is {state.name} must have reported a value, got none")
        if state == TrialState.COMPLETE:
            return [max(finite, key=lambda value: self.objective.sign * value)]
        last = trial.reports[max(trial.reports)]
        return None if math.isnan(last) else [last]

    def _add(self, trial: _TrialSoFar) -> None:
        if not self.space_noted:
            raise ValueError(f"{SPACE_KEY} must be noted before a trial is created")
        self.trials.append(trial)

    def _trial(self, record: Record) -> _TrialSoFar:
        number = record["trial_id"]
        _require(
            0 <= number < len(self.trials),
            "trial_id must be that of a trial created before",
            number,
        )
        return self.trials[number]

    def _running(self, record: Record) -> _TrialSoFar:
        trial = self._trial(record)
        if trial.state is not TrialState.RUNNING:
            raise ValueError(
                f"trial {record['trial_id']} must be RUNNING to be updated, got {trial.state.name}"
            )
        return trial

    def _lacking(self, trial: _TrialSoFar) -> list[str]:
        """The parameters that take part and that the trial has not yet."""
        return [
            name
            for name, asked in self.searched.items()
            if name not in trial.values and _takes_part(asked.parameter, trial.values)
        ]


def _local_time(written: str | None) -> datetime | None:
    """A time of the journal as Optuna has it: this machine's, without a zone."""
    return datetime.fromisoformat(written).astimezone().replace(tzinfo=None) if written else None


def _takes_part(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    return not parameter.when or active(parameter, values)


def _searched(parameter: Parameter) -> _Searched:
    searched = distribution(parameter)
    return _Searched(parameter, searched, {distribution_to_json(searched)})


def _check_spelling(due: _Searched, text: str) -> None:
    """A distribution must be the space's.

    One that is only written otherwise is remembered, so as to be fast.
    """
    if text in due.spellings:
        return
    try:
        same = _sorted(text) in map(_sorted, due.spellings)
    except ValueError:
        same = False
    _require(same, f"distribution must be {distribution_to_json(due.distribution)}", text)
    due.spellings.add(text)


def _sorted(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def _inside(within: BaseDistribution, value: float) -> bool:
    """Whether Optuna can have suggested the value; a float may be off by a rounding error."""
    if isinstance(within, IntDistribution):
        return can_hold(within, value)
    if not isinstance(within, FloatDistribution):
        return is_whole(value) and can_hold(within, value)
    if not math.isclose(value, min(max(value, within.low), within.high)):
        return False
    if within.step is None:
        return True
    nearest = within.low + round((value - within.low) / within.step) * within.step
    return math.isclose(value, nearest, abs_tol=1e-8 * within.step)


def _is_expected(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and is_whole(value[0])
        and all(map(is_number, value))
    )


def _require(holds: bool, rule: str, got: object) -> None:
    if not holds:
        raise ValueError(f"{rule}, got {show(got)}")
