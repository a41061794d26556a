"""Proves that a damaged journal is read rightly or refused with its place.

pytest tests/results/study/test_journal.py
"""

import io
import json
import math
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from cluster.search.study import Study
from results.console import Console
from results.export.export import study_exports
from results.study.description import Description, read_description
from results.study.folder import StudyError, StudyFolder
from results.study.journal import read_journal
from results.study.record import StudyRecord, read_described, read_study
from results.summary import print_summary
from search_spaces import SpaceError
from tests.cluster.search.toy_study import drive, toy_objective, toy_space

SPACE = toy_space(budget={"trials": 6})
OBJECTIVE = toy_objective(SPACE)
Lines = list[bytes]


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power fails here, and the disk's answer takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """A study's folder, described but with no journal yet."""
    return described(tmp_path / "it's a [study] ✓")


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> list[Lines]:
    """Real ones of one space: complete, crashed with two trials running, released and resumed."""
    base = tmp_path_factory.mktemp("journals")
    whole, crashed, released = [described(base / name) for name in ("whole", "crashed", "released")]
    drive(opened(whole))
    study = opened(crashed)
    drive(study, 3)
    for value in (0.25, math.nan):
        study.next_trial()
        study.report(len(study.trials()) - 1, 1, value)
    study.next_trial()
    study = opened(released)
    drive(study, 1)
    study.next_trial()
    study.report(1, 1, 0.5)
    study.release()
    drive(opened(released), 2)
    return [
        folder.journal.read_bytes().splitlines(keepends=True)
        for folder in (whole, crashed, released)
    ]


def described(path: Path) -> StudyFolder:
    folder = StudyFolder(path)
    Description(
        space=SPACE, objective=OBJECTIVE, import_paths=("/a",), origin={"command": "test"}
    ).write(folder)
    return folder


def opened(folder: StudyFolder) -> Study:
    return Study(folder, SPACE, OBJECTIVE)


def told(trial: FrozenTrial) -> str:
    """What a finished trial says, NaN as text."""
    return repr(
        (
            trial.number,
            trial.state,
            trial.params,
            trial.values,
            trial.intermediate_values,
            trial.user_attrs,
        )
    )


def used(record: StudyRecord) -> str:
    """A record summed up and exported."""
    text = io.StringIO()
    print_summary(record, Console(file=text, width=200))
    assert all(export.content() for export in study_exports(record))
    return text.getvalue()


def went_on(folder: StudyFolder) -> list[FrozenTrial]:
    """The study's trials, opened and driven to the end."""
    study = opened(folder)
    assert not study.states()[TrialState.RUNNING]
    drive(study)
    assert all(state.is_finished() for state in study.states())
    return study.trials()


# Real journals


def test_real_journals_are_read_and_gone_on_with(
    folder: StudyFolder, journals: list[Lines]
) -> None:
    assert [len(lines) > 25 for lines in journals] == [True] * 3
    for lines in journals:
        folder.journal.write_bytes(b"".join(lines))
        records = read_journal(folder.journal, SPACE, OBJECTIVE).records
        assert repr(records) == repr([json.loads(line) for line in lines])
        assert "of 6 trials" in used(read_study(folder))
        assert len(went_on(folder)) == 6


def test_the_trials_are_those_that_optuna_makes_of_the_lines(
    folder: StudyFolder, journals: list[Lines]
) -> None:
    for lines in journals:
        for count in range(1, len(lines) + 1):
            folder.journal.write_bytes(b"".join(lines[:count]))
            trials = JournalStorage(JournalFileBackend(str(folder.journal))).get_all_trials(0)
            assert read_journal(folder.journal, SPACE, OBJECTIVE).trials == trials


def test_a_journal_cut_anywhere_is_read(folder: StudyFolder, journals: list[Lines]) -> None:
    for lines in journals:
        for count in range(len(lines) + 1):
            folder.journal.write_bytes(
                b"".join(lines[:count]) + b"".join(lines[count:])[: count % 7]
            )
            assert len(read_journal(folder.journal, SPACE, OBJECTIVE).records) == count


def test_the_torn_line_is_dropped_when_the_study_goes_on(
    folder: StudyFolder, journals: list[Lines]
) -> None:
    folder.journal.write_bytes(b"".join(journals[0][:20]) + b'\x00{"op_code":\xff')
    assert len(read_study(folder).trials) == 5
    assert len(went_on(folder)) == 6
    assert len(read_study(folder).trials) == 6


@pytest.mark.parametrize("content", [None, b"", b'{"op_code"'], ids=str)
def test_a_journal_with_no_line_is_a_study_that_never_started(
    folder: StudyFolder, content: bytes | None
) -> None:
    if content is not None:
        folder.journal.write_bytes(content)
    assert read_study(folder).condition() == "never started"
    assert len(went_on(folder)) == 6


def test_reading_makes_no_journal(folder: StudyFolder) -> None:
    read_study(folder)
    assert not folder.journal.exists()


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: os.mkfifo(path)], ids=["folder", "pipe"])
def test_what_is_no_file_is_refused(folder: StudyFolder, make: Callable[[Path], None]) -> None:
    make(folder.journal)
    for use in (read_study, opened):
        with pytest.raises(StudyError, match=r"journal\.log: must be a file"):
            use(folder)


def test_notes_of_other_tools_are_left_alone(folder: StudyFolder, journals: list[Lines]) -> None:
    head = (
        b'{"op_code":%d,"worker_id":"w","study_id":0,'
        b'"%s_attr":{"dashboard:note":{"text":"\\ud83d\\udca5"}}}\n'
    )
    notes = [head % (2, b"user"), head % (3, b"system")]
    folder.journal.write_bytes(b"".join([*journals[0], *notes]))
    assert used(read_study(folder))
    assert len(went_on(folder)) == 6


def test_values_that_are_not_finite_are_read(folder: StudyFolder, journals: list[Lines]) -> None:
    for written in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        lines = [
            *journals[0][:17],
            journals[0][17].replace(journals[0][17].split(b":")[-1], written + b"}\n"),
        ]
        folder.journal.write_bytes(b"".join(lines))
        assert not math.isfinite(read_study(folder).trials[0].intermediate_values[4])
        assert went_on(folder)[0].state == TrialState.PRUNED


def test_whitespace_and_the_order_of_keys_say_nothing(
    folder: StudyFolder, journals: list[Lines]
) -> None:
    def spelt(line: bytes) -> str:
        record = json.loads(line)
        if "distribution" in record:
            record["distribution"] = json.dumps(
                json.loads(record["distribution"]), indent=1, sort_keys=True
            )
        return " " + json.dumps(dict(reversed(record.items()))) + " \r\n"

    folder.journal.write_bytes("".join(map(spelt, journals[0])).encode())
    before = [told(trial) for trial in read_study(folder).trials]
    folder.journal.write_bytes(b"".join(journals[0]))
    assert [told(trial) for trial in read_study(folder).trials] == before


# Named damages of the complete journal: a line, what is put in place of what there, and the message

DAMAGES: list[tuple[int, str, str, str]] = [
    (5, ".*", "", "a line must be a JSON object in UTF-8: Expecting value"),
    (5, ".*", "garbage", "a line must be a JSON object in UTF-8: Expecting value"),
    (5, ".*", "[1]", r"a line must be a JSON object, got \[1\]"),
    (5, ".*", "NaN", "a line must be a JSON object, got"),
    (
        5,
        ".*",
        "[" * 9999 + "]" * 9999,
        "a line must be a flat JSON object, got a deeply nested one",
    ),
    (5, ".*", '{"a":' * 9999, "a line must be a flat JSON object, got a deeply nested one"),
    (5, "op_code", "op_\x00code", "UTF-8: Invalid control character"),
    (5, "op_code", "op_\udcffcode", "UTF-8: 'utf-8' codec can't decode byte 0xff"),
    (5, "^", "\ufeff", "UTF-8: Expecting value"),
    (5, "^{", '{"op_code":4,', 'keys must differ, got "op_code", "op_code"'),
    (
        5,
        '"op_code":4',
        '"op_code":true',
        "op_code and state must be .* got {op_code: true, state: 4}",
    ),
    (5, '"op_code":4', '"op_code":4.0', "op_code and state must be"),
    (5, '"op_code":4', '"op_code":1', "op_code and state must be"),
    (5, '"op_code":4', '"op_code":10', "op_code and state must be"),
    (5, '"op_code":4', '"op_code":[]', "op_code and state must be"),
    (5, '"op_code":4,', "", "op_code and state must be .* got {state: 4}"),
    (5, '"state":4', '"state":1', "op_code and state must be"),
    (5, '"state":4', '"state":{}', "op_code and state must be"),
    (
        5,
        '"worker_id"',
        '"worker"',
        'the keys must be op_code, worker_id, .* got "op_code", "worker"',
    ),
    (5, '"worker_id":"[^"]*"', '"worker_id":7', "worker_id must be a text, got 7"),
    (5, '"worker_id":"', '"worker_id":"\\\\ud800', "UTF-8: 'utf-8' codec can't encode character"),
    (5, '"study_id":0', '"study_id":1', "study_id must be 0: a journal holds one study, got 1"),
    (5, '"study_id":0', '"study_id":false', "study_id must be 0"),
    (5, '"params":{}', '"params":{"lr":0.1}', "params must be an empty object"),
    (5, '"start":2', '"start":1', "user_attrs must be {start: 2}, got {start: 1}"),
    (5, '"start":2', '"start":2.0', "user_attrs must be {start: 2}"),
    (5, '"lr":0.003', '"lr":0.004', "system_attrs must be {fixed_params: .*0.003"),
    (5, '"fixed_params"', '"fixed"', "system_attrs must be {fixed_params: "),
    (1, '"toy"', '"other"', "this is a study of the space other, now toy"),
    (1, "\\[2\\]", "[1]", r"directions must be \[2\], as the study is to maximize, got \[1\]"),
    (1, "\\[2\\]", "[true]", "directions must be one direction"),
    (1, "\\[2\\]", "2", "directions must be one direction, got 2"),
    (
        1,
        ".*",
        '{"op_code":2,"worker_id":"","study_id":0,"user_attr":{"a":1}}',
        "the study must be created on the first",
    ),
    (
        2,
        '"seed":3',
        '"seed":4',
        "this is a study of another space(.|\n)*seed: the study has 4, now 3",
    ),
    (2, '"seed":3', '"seed":' + "9" * 5000, "UTF-8: Exceeds the limit"),
    (2, '"rungs:space":.*', '"rungs:space":[]}}', r"rungs:space must be an object, got \[\]"),
    (
        2,
        '"seed":3',
        '"seed":' + "[" * 60 + "]" * 60,
        "user_attr must be an object with one key, and not deeply nested",
    ),
    (2, '"user_attr":{', '"user_attr":{"b":1,', "user_attr must be an object with one key"),
    (8, '"trial_id":0', '"trial_id":5', "trial_id must be that of a trial created before, got 5"),
    (8, '"trial_id":0', '"trial_id":-1', "trial_id must be that of a trial created before, got -1"),
    (8, '"trial_id":0', '"trial_id":false', "trial_id must be a whole number, got false"),
    (8, '"trial_id":0', '"trial_id":' + "9" * 400, "trial_id must be a whole number, got 9"),
    (8, '"values":null', '"values":[0.1]', r"values must be null, got \[0.1\]"),
    (
        8,
        '"datetime_start":"',
        '"datetime_start":"x',
        'datetime_start must be a date and time, got "x2',
    ),
    (
        8,
        '"datetime_start":".*"',
        '"datetime_start":"0001-01-01T00:00:00"',
        "datetime_start must be a date and time",
    ),
    (
        8,
        '"datetime_start":".*"',
        '"datetime_start":null',
        "datetime_start must be a date and time, got null",
    ),
    (8, '"state":0', '"state":4', "the keys must be"),
    (
        9,
        '"param_name":"lr"',
        '"param_name":"kind"',
        "distribution must be .*CategoricalDistribution",
    ),
    (
        9,
        '"param_value_internal":0.001',
        '"param_value_internal":0.5',
        "must be in FloatDistribution.*, got 0.5",
    ),
    (
        9,
        '"param_value_internal":0.001',
        '"param_value_internal":0.002',
        "must be what the trial was enqueued with, 0.001, got 0.002",
    ),
    (
        9,
        '"param_value_internal":0.001',
        '"param_value_internal":NaN',
        "must be a finite number, got nan",
    ),
    (
        9,
        '"param_value_internal":0.001',
        '"param_value_internal":1' + "0" * 400,
        "must be a finite number",
    ),
    (
        9,
        '"param_value_internal":0.001',
        '"param_value_internal":"0.001"',
        "must be a finite number",
    ),
    (9, '\\\\"high\\\\": 0.1', '\\\\"high\\\\": 0.2', "distribution must be "),
    (9, '"distribution":".*"', '"distribution":"["', "distribution must be "),
    (
        9,
        '"distribution":".*"',
        '"distribution":"' + "[" * 9999 + '"',
        "a line must be a flat JSON object",
    ),
    (9, '"distribution":".*"', '"distribution":{}', "distribution must be a text, got {}"),
    (
        10,
        '"param_value_internal":0',
        '"param_value_internal":6',
        "must be in CategoricalDistribution.*, got 6",
    ),
    (
        10,
        '"param_value_internal":0',
        '"param_value_internal":-1',
        "must be in CategoricalDistribution.*, got -1",
    ),
    (
        10,
        '"param_value_internal":0',
        '"param_value_internal":0.5',
        "must be in CategoricalDistribution.*, got 0.5",
    ),
    (
        10,
        '"param_value_internal":0',
        '"param_value_internal":true',
        "must be a finite number, got true",
    ),
    (
        11,
        '"param_value_internal":0.3[0-9]*',
        '"param_value_internal":0.35',
        "must be in FloatDistribution.*, got 0.35",
    ),
    (
        12,
        '"param_value_internal":8.0',
        '"param_value_internal":8.5',
        "must be in IntDistribution.*, got 8.5",
    ),
    (13, '"step":1', '"step":1.0', "step must be a whole number, got 1.0"),
    (13, '"step":1', '"step":"1"', "step must be a whole number"),
    (
        13,
        '"intermediate_value":[^}]*',
        '"intermediate_value":null',
        "intermediate_value must be a number, got null",
    ),
    (
        13,
        '"intermediate_value":[^}]*',
        '"intermediate_value":true',
        "intermediate_value must be a number, got true",
    ),
    (
        13,
        '"intermediate_value":[^}]*',
        '"intermediate_value":1' + "0" * 400,
        "intermediate_value must be a number",
    ),
    (14, '"passed":1', '"passed":2', "passed must be an epoch reported, got 2"),
    (14, '"passed":1', '"passed":true', "passed must be an epoch reported, got true"),
    (14, '"passed":1', '"reason":1', "reason must be a text, got 1"),
    (14, '"passed":1', '"warning":1', "warning must be a text, got 1"),
    (14, '"passed":1', '"expected@1":[2,0.5,1]', "expected@1 must be an epoch and three numbers"),
    (14, '"passed":1', '"expected@1":[2,0,1,null]', "expected@1 must be an epoch and three"),
    (14, '"passed":1', '"alone":1', "alone must be true, got 1"),
    (14, '"passed":1', '"start":1', "start must be set when the trial is created"),
    (15, '"step":2', '"step":1', "step must be an epoch that was not reported before, got 1"),
    (
        19,
        '"values":\\[0.0',
        '"values":[0.1',
        r"values must be \[0.0.*\], as it reported, got \[0.1",
    ),
    (19, '"values":.*\\]', '"values":null', r"values must be \[0.0.*\], as it reported, got null"),
    (19, '"values":.*\\]', '"values":[[]]', "values must be null or a list of numbers"),
    (19, '"state":1', '"state":3', "a failed trial must have a reason"),
    (20, '"trial_id":1', '"trial_id":0', "a trial that begins must be WAITING, got .COMPLETE"),
    (21, '"trial_id":1', '"trial_id":0', "trial 0 must be RUNNING to be updated, got COMPLETE"),
    (21, '"trial_id":1', '"trial_id":2', "trial 2 must be RUNNING to be updated, got WAITING"),
]


@pytest.mark.parametrize(("number", "old", "new", "message"), DAMAGES)
def test_a_damaged_line_is_refused_with_its_place(
    folder: StudyFolder, journals: list[Lines], number: int, old: str, new: str, message: str
) -> None:
    lines = [line.decode() for line in journals[0]]
    damaged = re.sub(old, new, lines[number - 1].rstrip("\n"), count=1) + "\n"
    assert damaged != lines[number - 1]
    lines[number - 1] = damaged
    folder.journal.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    for use in (read_study, opened):
        with pytest.raises(StudyError) as caught:
            use(folder)
        assert re.match(re.escape(f"{folder.journal}:{number}: "), str(caught.value))
        assert re.search(message, str(caught.value))


@pytest.mark.parametrize(
    ("lost", "number", "message"),
    [
        (1, 1, "the study must be created on the first line, and only there"),
        (2, 2, "rungs:space must be noted before a trial is created"),
        (3, 3, "user_attrs must be {start: 0}, got {start: 1}"),
        (8, 8, "trial 0 must be RUNNING to be updated, got WAITING"),
        (10, 10, 'param_name must be one of kind, width, got "momentum"'),
        (12, 12, "a trial must have all its parameters before it reports, got none for width"),
        (13, 13, "passed must be an epoch reported, got 1"),
        (18, 18, "values must be .*, as it reported"),
    ],
)
def test_a_lost_line_is_noticed(
    folder: StudyFolder, journals: list[Lines], lost: int, number: int, message: str
) -> None:
    folder.journal.write_bytes(b"".join(journals[0][: lost - 1] + journals[0][lost:]))
    with pytest.raises(StudyError, match=rf"journal\.log:{number}: {message}"):
        read_study(folder)


# Damages at random

ANYTHING: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        4,
        5,
        7,
        99,
        10**30,
        10**400,
        0.0,
        1.0,
        0.5,
        -0.3,
        math.nan,
        math.inf,
        1e308,
    ),
    *(
        "",
        "a",
        "lr",
        "kind",
        "toy",
        "start",
        "\ud800",
        "💥",
        "\0",
        "9999-12-31T23:59:59+00:00",
        "0001-01-01",
        "{}",
    ),
    *(
        [],
        {},
        [1],
        [2],
        [[]],
        {"a": 1},
        {"passed": 1},
        {"start": 0},
        {"reason": "x"},
        [0.5],
        json.loads("[" * 70 + "]" * 70),
    ),
]
BYTES = [
    *(bytes([i]) for i in b'{}[],:"\\0129-.eEnN \t\r\n'),
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"true",
    b"null",
    b"\\u",
]


def damaged(journals: list[Lines], rng: random.Random) -> bytes:
    """A real journal with one to three damages."""
    lines = list(rng.choice(journals))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if lines:
            rng.choice((of_lines, of_bytes, of_values, of_values))(lines, journals, rng)
    return b"".join(lines)


def of_lines(lines: Lines, journals: list[Lines], rng: random.Random) -> None:
    """Delete, double, swap or move a line, cut the end, or splice two journals."""
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    other = rng.choice(journals)
    match rng.randrange(7):
        case 0:
            del lines[at]
        case 1:
            lines.insert(rng.choice((at, to)), lines[at])
        case 2:
            near = min(at + 1, len(lines) - 1)
            lines[at], lines[near] = lines[near], lines[at]
        case 3:
            lines.insert(to, lines.pop(at))
        case 4:
            del lines[at:]
        case 5:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        case 6:
            lines[at:] = other[rng.choice((at, rng.randrange(len(other)))) :]


def of_bytes(lines: Lines, journals: list[Lines], rng: random.Random) -> None:
    """Replace, insert or delete a few bytes of a line."""
    at = rng.randrange(len(lines))
    line, column = lines[at], rng.randrange(len(lines[at]) + 1)
    kind = rng.randrange(3)
    lines[at] = (
        line[:column] + (b"" if kind == 2 else rng.choice(BYTES)) + line[column + (kind != 1) :]
    )


def of_values(lines: Lines, journals: list[Lines], rng: random.Random) -> None:
    """Replace, drop or add a value somewhere in a line's JSON."""
    at = rng.randrange(len(lines))
    try:
        record = json.loads(lines[at])
        donor = json.loads(rng.choice(rng.choice(journals)))
    except ValueError:
        return
    places = [*containers(record)]
    if not places:
        return
    place = rng.choice(places)
    keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
    key = rng.choice(keys) if keys else "a"
    match rng.randrange(5):
        case 0 if keys:
            del place[key]
        case 1 if isinstance(place, dict):
            place[rng.choice(("a", "state", "values", "passed", "trial_id"))] = rng.choice(ANYTHING)
        case 2 if key in donor:
            place[key] = donor[key]
        case _ if keys:
            place[key] = rng.choice(ANYTHING)
    lines[at] = json.dumps(record, separators=(",", ":")).encode() + b"\n"


def containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from containers(part)


def read_or_refused(folder: StudyFolder) -> StudyRecord | None:
    """What `read_study` gives, if no line is refused; `study.yaml` takes longer and is left out."""
    description = Description(space=SPACE, objective=OBJECTIVE, import_paths=("/a",), origin={})
    try:
        return read_described(folder, description)
    except StudyError as error:
        assert re.match(re.escape(str(folder.journal)) + r":\d+: .*\S", str(error)), str(error)
        return None


@pytest.mark.parametrize("seed", range(10))
def test_a_journal_damaged_at_random_is_refused_or_goes_on(
    folder: StudyFolder, journals: list[Lines], seed: int
) -> None:
    rng = random.Random(seed)
    for case in range(100):
        folder.journal.write_bytes(content := damaged(journals, rng))
        record, gone_on_with = read_or_refused(folder), case % 4 == 0
        if record is not None:
            if case % 2 == 0:
                used(record)
            for trial in record.trials:
                asked = [
                    parameter for parameter in SPACE.parameters if parameter.name in trial.params
                ]
                assert not any(
                    parameter.problem_with(trial.params[parameter.name]) for parameter in asked
                )
        if record is None and gone_on_with:
            with pytest.raises(StudyError, match=r"journal\.log:\d+: "):
                opened(folder)
            assert folder.journal.read_bytes() == content[: content.rfind(b"\n") + 1]
        elif record is not None and gone_on_with:
            finished = {
                trial.number: told(trial) for trial in record.trials if trial.state.is_finished()
            }
            after = went_on(folder)
            assert {number: told(after[number]) for number in finished} == finished
            assert read_or_refused(folder)


DESCRIPTIONS = [
    "null",
    "3",
    "''",
    "a",
    "[]",
    "[1]",
    "{}",
    "{a: 1}",
    "{maximize: 3}",
    "{minimize: score}",
    "nan",
    "\ud7ff",
    "&a",
    "!!str",
]


@pytest.mark.parametrize("seed", range(6))
def test_a_description_damaged_at_random_is_refused_or_complete(
    folder: StudyFolder, journals: list[Lines], seed: int
) -> None:
    folder.journal.write_bytes(b"".join(journals[0]))
    rng, whole = random.Random(seed), folder.description.read_bytes()
    for _ in range(50):
        lines = whole.splitlines(keepends=True)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(lines))
            if rng.random() < 0.3:
                lines[at] = lines[at].split(b":")[0] + f": {rng.choice(DESCRIPTIONS)}\n".encode()
            else:
                rng.choice((of_lines, of_bytes))(lines, [lines], rng)
            lines = lines or [b"\n"]
        folder.description.write_bytes(b"".join(lines))
        try:
            read = read_description(folder)
            read.write(folder)
            assert read_description(folder) == read
            used(read_study(folder))
        except (StudyError, SpaceError) as error:
            assert re.search(r"study\.yaml|journal\.log:[12]: ", str(error))
