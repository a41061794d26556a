"""Proves that the tables hold every trial, whatever its texts are.

pytest tests/results/export/test_table.py
"""

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from cluster.search.study import Study
from results.export.model_card import code
from results.export.table import write_csv, write_json
from results.study.folder import StudyFolder
from results.study.record import StudyRecord, read_study
from search_spaces import Objective, Space, space_from_mapping
from tests.results.small_study import described

HOSTILE = (
    "a,b",
    'say "hi"',
    "two\nlines",
    "a\rreturn",
    "=1+1",
    "ünï ✓ 日本",
    " ",
    "|`x`|",
    "null",
    "\\n",
)


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)


def hostile_space() -> Space:
    mapping = {
        "task": "tests.results.small_study:train",
        "objective": {"maximize": "score"},
        "parameters": {
            "text": {"choice": list(HOSTILE)},
            "flag": {"choice": [True, None, 2]},
            "depth": {"int": [1, 9], "when": {"flag": [True]}},
        },
        "start": [{"text": text, "flag": [True, None, 2][i % 3]} for i, text in enumerate(HOSTILE)],
        "budget": {"trials": len(HOSTILE) + 1, "max_epochs": 3},
    }
    return space_from_mapping(mapping, name="hostile", file="hostile.yaml")


@pytest.fixture
def record(tmp_path: Path) -> StudyRecord:
    """Ten trials that end in many ways, with texts that break what doesn't quote."""
    space = hostile_space()
    description = described(space)
    study = Study(
        StudyFolder(tmp_path / "s"), space, Objective(name="score", direction="maximize"), ()
    )
    description.write(study.folder)
    for i, text in enumerate(HOSTILE):
        trial = study.next_trial()
        assert trial is not None
        study.warn(trial.number, text)
        if i % 2:
            study.fail(trial.number, text)
        else:
            study.report(trial.number, 1, i / 3)
            study.report(trial.number, 2, math.inf)
    return read_study(study.folder)


def rows(record: StudyRecord, folder: Path) -> list[dict[str, str]]:
    write_csv(record, folder / "trials.csv")
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_line_for_each_trial_reads_back_as_it_was(record: StudyRecord, tmp_path: Path) -> None:
    lines = rows(record, tmp_path)
    assert [line["number"] for line in lines] == [str(i) for i in range(len(HOSTILE))]
    assert list(lines[0]) == [
        *(
            "number",
            "state",
            "start_point",
            "config.text",
            "config.flag",
            "config.depth",
            "best.score",
        ),
        *("best_epoch", "epochs", "started", "seconds", "reason", "warning"),
    ]
    for i, (line, text) in enumerate(zip(lines, HOSTILE, strict=True)):
        trial = record.trials[i]
        assert (line["config.text"], line["warning"]) == (text, text)
        assert line["config.flag"] == ("true", "null", "2")[i % 3]
        assert line["config.depth"] == (str(trial.params["depth"]) if i % 3 == 0 else "")
        assert line["reason"] == (text if i % 2 else "")
        assert line["state"] == ("failed" if i % 2 else "stopped early")
        assert line["best.score"] == ("" if i % 2 else repr(i / 3))
        assert (line["best_epoch"], line["epochs"]) == (("", "0") if i % 2 else ("1", "2"))
        assert trial.datetime_start is not None
        assert line["started"] == trial.datetime_start.isoformat(timespec="seconds")
        assert line["seconds"] == "", "its file is gone"


def test_seconds_are_those_of_its_epochs(record: StudyRecord, tmp_path: Path) -> None:
    folder = record.folder.trial(0)
    folder.path.mkdir(parents=True)
    for seconds in (1.5, 2.25, "many"):
        folder.append_metrics({"epoch": 1, "seconds": seconds, "metrics": {}, "details": {}})
    assert rows(record, tmp_path)[0]["seconds"] == "3.75"


def test_the_json_has_every_epoch_and_is_json(record: StudyRecord, tmp_path: Path) -> None:
    write_json(record, tmp_path / "trials.json")

    def refuse(name: str) -> Any:
        pytest.fail(f"{name} is no JSON")

    content = json.loads((tmp_path / "trials.json").read_text(), parse_constant=refuse)
    assert (content["study"], content["objective"]) == ("hostile", {"maximize": "score"})
    trials = content["trials"]
    assert [trial["config"]["text"] for trial in trials] == list(HOSTILE)
    assert [trial["config"]["flag"] for trial in trials[:3]] == [True, None, 2]
    assert "depth" in trials[0]["config"] and "depth" not in trials[1]["config"]
    assert trials[2]["best"] == {"epoch": 1, "value": 2 / 3}
    assert trials[2]["values"] == [{"epoch": 1, "value": 2 / 3}, {"epoch": 2, "value": None}]
    assert trials[1]["best"] is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1e-5, "`1e-05`"),
        (True, "`true`"),
        (None, "`null`"),
        ([1, 2], "`[1, 2]`"),
        ("plain text", "`plain text`"),
        ("", '`""`'),
        ("a|b", r"`a\|b`"),
        ("two\nlines", r'`"two\nlines"`'),
        ("`x``", "``` `x`` ```"),
    ],
)
def test_a_card_shows_any_value_in_one_cell(value: Any, shown: str) -> None:
    assert code(value) == shown
