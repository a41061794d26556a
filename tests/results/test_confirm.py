"""Proves that a confirmation says what its values bear out, and no more: pytest tests/results/test_confirm.py."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from results.best import Best
from results.confirm import (
    Candidate,
    Confirmed,
    candidates,
    known_confirmation,
    verdict,
    write_confirmation,
)
from results.read import read_study
from results.study_folder import StudyError, StudyFolder
from search_spaces import Objective
from tests.results.small_study import OBJECTIVE, described, drive, open_study, small_space

LOSS = Objective(name="loss", direction="minimize")


def one(name: str, *values: float, searched: float = 0.5, tests: tuple[dict[str, float], ...] = ()) -> Confirmed:
    """A candidate's values; its name ends with a number."""
    trial = int(name.rpartition(" ")[2])
    best = Best(number=trial, epoch=1, value=searched, complete=True)
    return Confirmed(candidate=Candidate(trial=trial, name=name, best=best, values={}), values=values, tests=tests)


def test_the_interval_is_students() -> None:
    values = (0.91, 0.93, 0.95, 0.90)
    low, high = one("trial 1", *values).interval() or (0, 0)
    expected = stats.t.interval(0.95, 3, loc=0.9225, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)
    assert one("trial 1", 0.9).interval() is None
    assert math.isnan(one("trial 1").mean) and one("trial 1").interval() is None


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([one("trial 3", 0.90, 0.91, 0.92), one("trial 5", 0.70, 0.71, 0.72)], "trial 3 is better than all others"),
        ([one("trial 3", 0.90, 0.91, 0.92), one("trial 5", 0.89, 0.91, 0.93)], "can't be told from trial 5 by 3 seeds"),
        (
            [one("trial 3", 0.9, 0.91, 0.92), one("trial 5", 0.5, 0.51, 0.52), one("trial 6", 0.89, 0.91, 0.92)],
            "can't be told from trial 6",
        ),
        ([one("trial 3", 0.9, 0.9), one("trial 5", 0.8, 0.8)], "trial 3 is better than all others"),
        ([one("trial 3", 0.9, 0.9), one("trial 5", 0.9, 0.9)], "can't be told from trial 5"),
        ([one("trial 3", 0.9), one("trial 5", 0.1)], "one seed tells nothing of the spread"),
        ([one("trial 3", 0.9, 0.8), one("trial 5")], "trial 3 is the only one with values"),
    ],
)
def test_the_verdict_is_what_the_values_bear_out(found: list[Confirmed], says: str) -> None:
    assert says in verdict(found, OBJECTIVE)


def test_many_candidates_are_compared_with_holms_correction() -> None:
    """Alone a difference with p = 0.03 counts, beside four others with larger p it does not."""
    best, near = (0.80, 0.82, 0.84, 0.86), (0.76, 0.78, 0.80, 0.81)
    chance = stats.ttest_ind(best, near, equal_var=False).pvalue
    assert 0.05 / 5 < chance < 0.05
    alone = [one("trial 1", *best), one("trial 2", *near)]
    assert "better than all" in verdict(alone, OBJECTIVE)
    others = [one(f"trial {i}", *(value - 0.001 * i for value in best)) for i in range(3, 7)]
    said = verdict([alone[0], *others, alone[1]], OBJECTIVE)
    assert "can't be told from trial 3, trial 4, trial 5, trial 6, trial 2" in said


def test_candidates_are_the_best_trials_and_the_other_start_points(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path / "s"))
    record = read_study(study.folder)
    chosen = candidates(record, 2)
    ranked = [best.number for best in record.ranked()]
    assert [candidate.trial for candidate in chosen[:2]] == ranked[:2]
    starts = [trial.number for trial in record.trials if "start" in trial.user_attrs and trial.intermediate_values]
    assert [candidate.trial for candidate in chosen[2:]] == [number for number in starts if number not in ranked[:2]]
    assert all(record.trials[candidate.trial].params == candidate.values for candidate in chosen)
    empty = open_study(tmp_path / "empty")
    described(small_space()).write(empty.folder)
    with pytest.raises(StudyError, match="nothing to confirm"):
        candidates(read_study(empty.folder), 2)


@pytest.mark.parametrize(("objective", "best"), [(OBJECTIVE, "trial 3"), (LOSS, "trial 5")])
def test_what_is_written_is_what_was_found(tmp_path: Path, objective: Objective, best: str) -> None:
    study = drive(open_study(tmp_path / "s"))
    record, folder = read_study(study.folder), StudyFolder(tmp_path / "s")
    name = objective.name
    found = [
        one("trial 3", 0.9, 0.7, searched=0.95, tests=({name: 0.6, "other": 1.0}, {name: 0.8, "other": 2.0})),
        one("trial 5", 0.6, 0.6, searched=0.4),
        one("start point 0"),
    ]
    content = write_confirmation(folder, record, found, objective, 2)
    assert json.loads(folder.confirmed.read_text()) == content
    first, second, third = content["candidates"]
    assert (first["mean"], first["test_value"], first["test_metrics"]["other"]) == pytest.approx((0.8, 0.7, 1.5))
    assert (second["low"], second["high"], second["test_value"]) == (0.6, 0.6, None)
    assert third["mean"] is None and third["low"] is None
    chosen = {"trial 3": (0.95, 0.8), "trial 5": (0.4, 0.6)}[best]
    assert tuple(content["optimism"].values()) == pytest.approx(chosen)
    assert len(content["test_split_read"]) == 1
    assert known_confirmation(folder, record) == content
    assert len(write_confirmation(folder, record, found, objective, 2)["test_split_read"]) == 2


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"test_split_read": 3, "trainings": "x"}'])
def test_a_damaged_file_is_refused(tmp_path: Path, damaged: str) -> None:
    study = drive(open_study(tmp_path / "s"))
    study.folder.confirmed.write_text(damaged)
    content: Any = None
    with pytest.raises(StudyError, match=r"confirm\.json is damaged"):
        content = known_confirmation(study.folder, read_study(study.folder))
    assert content is None
