"""The journal, checked before Optuna replays it: what no study can have written is refused."""

import json
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from results.study.folder import StudyError
from results.study.journal_fields import (
    DIRECTIONS,
    EMPTY,
    NULL,
    NUMBER,
    ONE,
    ONE_OR_TWO,
    TEXT,
    TIME,
    VALUE,
    VALUES,
    WHOLE,
    ZERO,
    Kind,
)
from results.study.journal_replay import Record, Replay
from results.study.optuna_private import JournalOperation as Op
from search_spaces import Space
from search_spaces.problems import show
from search_spaces.space import Objective


class Journal(NamedTuple):
    """What a study's journal says."""

    records: list[Record]
    trials: list[FrozenTrial]


def read_journal(path: Path, space: Space, objective: Objective) -> Journal:
    """The records of a study's journal, in order, and the trials that they tell of.

    A last line that a crash cut short is left out. Whatever is given can be replayed by Optuna,
    summed up, exported and gone on with.

    Args:
        path: The journal; one that was never begun has no records.
        space: What the study must have searched.
        objective: What it must have compared by.

    Raises:
        StudyError: at the first line that a study of this space can't have written; names the file
            and the line.
    """
    replay, records = Replay(space, objective), []
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            record = _parsed(line)
            _take_in(replay, record)
        except ValueError as error:
            raise StudyError(f"{path}:{number}: {error}") from error
        except RecursionError:
            raise StudyError(
                f"{path}:{number}: a line must be a flat JSON object, got a deeply nested one"
            ) from None
        records.append(record)
    return Journal(records, replay.frozen_trials())


def _whole_lines(path: Path) -> list[bytes]:
    try:
        if not path.exists():
            return []
        if not path.is_file():
            raise StudyError(f"{path}: must be a file, got a folder or a device")
        return path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise StudyError(f"{path}: can't be read: {error}") from error


def _parsed(line: bytes) -> Record:
    try:
        record = _DECODER.decode(line.decode("utf-8"))
        if b"\\u" in line:
            # A lone surrogate can't be shown or written.
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        raise ValueError(f"a line must be a JSON object in UTF-8: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"a line must be a JSON object, got {show(record)}")
    return record


def _without_repeats(pairs: list[tuple[str, Any]]) -> Record:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"keys must differ, got {', '.join(show(key) for key, _ in pairs)}")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats)


def _take_in(replay: Replay, record: Record) -> None:
    operation, state = record.get("op_code"), record.get("state")
    line = (
        _LINES.get((operation, state))
        if type(operation) is int and type(state) in (int, NoneType)
        else None
    )
    if line is None:
        got = {key: record[key] for key in ("op_code", "state") if key in record}
        raise ValueError(
            f"op_code and state must be those of a line that a study writes, got {show(got)}"
        )
    if record.keys() != line.keys:
        raise ValueError(
            f"the keys must be {', '.join(line.keys)}, got {', '.join(map(show, record))}"
        )
    for key, holds, words in line.checks:
        if not holds(record[key]):
            raise ValueError(f"{key} must be {words}, got {show(record[key])}")
    if replay.begun == line.creates:
        raise ValueError("the study must be created on the first line, and only there")
    line.take_in(replay, record)


class _Line(NamedTuple):
    """A line that a study writes: its keys, what they may hold, and who understands it."""

    keys: AbstractSet[str]
    checks: list[tuple[str, Callable[[Any], bool], str]]
    take_in: Callable[[Replay, Record], None]
    creates: bool


def _line(take_in: Callable[[Replay, Record], None], *marks: str, **fields: Kind) -> _Line:
    """A kind of line: the fields that all lines have, those that mark its kind, and its own."""
    checks = [(key, kind.holds, kind.words) for key, kind in {"worker_id": TEXT, **fields}.items()]
    keys = dict.fromkeys(("op_code", "worker_id", *marks, *fields)).keys()
    return _Line(keys, checks, take_in, creates=take_in is Replay.create_study)


_ENQUEUED = dict(
    **dict.fromkeys(("datetime_start", "value", "values"), NULL),
    **dict.fromkeys(("distributions", "params", "intermediate_values"), EMPTY),
    study_id=ZERO,
    user_attrs=ONE_OR_TWO,
    system_attrs=ONE,
)
_FINISH = _line(Replay.finish, "state", trial_id=WHOLE, values=VALUES, datetime_complete=TIME)
_PARAM = {"param_name": TEXT, "param_value_internal": NUMBER, "distribution": TEXT}

# All lines that a study writes, by operation and, where there is one, state. Optuna knows others,
# which it never asks for: trials that are created finished, or deleted, would not be this study's.
_LINES: dict[tuple[Any, Any], _Line] = {
    (Op.CREATE_STUDY, None): _line(Replay.create_study, study_name=TEXT, directions=DIRECTIONS),
    (Op.SET_STUDY_USER_ATTR, None): _line(Replay.set_study_attr, study_id=ZERO, user_attr=ONE),
    (Op.SET_STUDY_SYSTEM_ATTR, None): _line(Replay.keep_for_others, study_id=ZERO, system_attr=ONE),
    (Op.CREATE_TRIAL, None): _line(Replay.create_trial, study_id=ZERO, datetime_start=TIME),
    (Op.CREATE_TRIAL, TrialState.WAITING): _line(Replay.enqueue_trial, "state", **_ENQUEUED),
    (Op.SET_TRIAL_PARAM, None): _line(Replay.set_param, trial_id=WHOLE, **_PARAM),
    (Op.SET_TRIAL_STATE_VALUES, TrialState.RUNNING): _line(
        Replay.run, "state", trial_id=WHOLE, values=NULL, datetime_start=TIME
    ),
    (Op.SET_TRIAL_STATE_VALUES, TrialState.WAITING): _line(
        Replay.wait, "state", trial_id=WHOLE, values=NULL
    ),
    (Op.SET_TRIAL_STATE_VALUES, TrialState.COMPLETE): _FINISH,
    (Op.SET_TRIAL_STATE_VALUES, TrialState.PRUNED): _FINISH,
    (Op.SET_TRIAL_STATE_VALUES, TrialState.FAIL): _FINISH,
    (Op.SET_TRIAL_INTERMEDIATE_VALUE, None): _line(
        Replay.report, trial_id=WHOLE, step=WHOLE, intermediate_value=VALUE
    ),
    (Op.SET_TRIAL_USER_ATTR, None): _line(Replay.set_trial_attr, trial_id=WHOLE, user_attr=ONE),
}
