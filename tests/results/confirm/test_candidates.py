"""Proves that a confirmation says what its values bear out, and no more.

pytest tests/results/confirm/test_candidates.py
"""

import json
import math
import re
from dataclasses import astuple, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from results.confirm.candidates import (
    Candidate,
    compared,
    confirmed_candidate,
    interval,
    print_confirmation,
    select_candidates,
    verdict,
)
from results.confirm.confirmation import Confirmation, ConfirmedCandidate, read_confirmation
from results.console import Console
from results.study.best import BestEpoch
from results.study.folder import StudyError, StudyFolder
from results.study.notes import Notes
from results.study.record import read_study
from search_spaces import Objective
from tests.results.small_study import (
    OBJECTIVE,
    described,
    drive,
    open_study,
    small_confirmation,
    small_space,
)

LOSS = Objective(name="loss", direction="minimize")


def one(
    name: str,
    *values: float,
    searched: float = 0.5,
    tests: tuple[dict[str, float], ...] = (),
    objective: Objective = OBJECTIVE,
) -> ConfirmedCandidate:
    """A candidate's values; its name ends with a number."""
    trial = int(name.rpartition(" ")[2])
    best = BestEpoch(number=trial, epoch=1, value=searched, complete=True)
    return confirmed_candidate(Candidate(name=name, best=best, values={}), values, tests, objective)


def test_the_interval_is_students() -> None:
    values = (0.91, 0.93, 0.95, 0.90)
    expected = stats.t.interval(0.95, 3, loc=0.9225, scale=stats.sem(values))
    assert interval(values) == pytest.approx(expected)
    assert interval((0.9,)) is None and interval(()) is None


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (
            [one("trial 3", 0.90, 0.91, 0.92), one("trial 5", 0.70, 0.71, 0.72)],
            "trial 3 is better than all others",
        ),
        (
            [one("trial 3", 0.90, 0.91, 0.92), one("trial 5", 0.89, 0.91, 0.93)],
            "can't be told from trial 5 by 3 seeds",
        ),
        (
            [
                one("trial 3", 0.9, 0.91, 0.92),
                one("trial 5", 0.5, 0.51, 0.52),
                one("trial 6", 0.89, 0.91, 0.92),
            ],
            "can't be told from trial 6",
        ),
        ([one("trial 3", 0.9, 0.9), one("trial 5", 0.8, 0.8)], "trial 3 is better than all others"),
        ([one("trial 3", 0.9, 0.9), one("trial 5", 0.9, 0.9)], "can't be told from trial 5"),
        ([one("trial 3", 0.9), one("trial 5", 0.1)], "one seed tells nothing of the spread"),
        ([one("trial 3", 0.9, 0.8), one("trial 5")], "trial 3 is the only one with values"),
    ],
)
def test_the_verdict_is_what_the_values_bear_out(
    found: list[ConfirmedCandidate], says: str
) -> None:
    assert says in verdict(found)


def test_many_candidates_are_compared_with_holms_correction() -> None:
    """Alone a difference with p = 0.03 counts, beside four others with larger p it does not."""
    best, near = (0.80, 0.82, 0.84, 0.86), (0.76, 0.78, 0.80, 0.81)
    chance = stats.ttest_ind(best, near, equal_var=False).pvalue
    assert 0.05 / 5 < chance < 0.05
    alone = [one("trial 1", *best), one("trial 2", *near)]
    assert "better than all" in verdict(alone)
    others = [one(f"trial {i}", *(value - 0.001 * i for value in best)) for i in range(3, 7)]
    said = verdict([alone[0], *others, alone[1]])
    assert "can't be told from trial 3, trial 4, trial 5, trial 6, trial 2" in said


def test_candidates_are_the_best_trials_and_the_other_start_points(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path / "s"))
    record = read_study(study.folder)
    chosen = select_candidates(record, 2)
    ranked = [best.number for best in record.ranked()]
    assert [candidate.best.number for candidate in chosen[:2]] == ranked[:2]
    starts = [
        trial.number
        for trial in record.trials
        if Notes.of(trial).start_point is not None and trial.intermediate_values
    ]
    assert [candidate.best.number for candidate in chosen[2:]] == [
        number for number in starts if number not in ranked[:2]
    ]
    assert all(
        record.trials[candidate.best.number].params == candidate.values for candidate in chosen
    )
    empty = open_study(tmp_path / "empty")
    described(small_space()).write(empty.folder)
    with pytest.raises(StudyError, match="nothing to confirm"):
        select_candidates(read_study(empty.folder), 2)


@pytest.mark.parametrize(("objective", "best"), [(OBJECTIVE, "trial 3"), (LOSS, "trial 5")])
def test_what_is_written_is_what_was_found(tmp_path: Path, objective: Objective, best: str) -> None:
    record = read_study(drive(open_study(tmp_path / "s")).folder)
    record = replace(record, description=replace(record.description, objective=objective))
    name = objective.name
    tests = ({name: 0.6, "other": 1.0}, {name: 0.8, "other": math.nan})
    found = [
        one("start point 0", objective=objective),
        one("trial 3", 0.9, 0.7, searched=0.95, tests=tests, objective=objective),
        one("trial 5", 0.6, 0.6, searched=0.4, objective=objective),
    ]
    confirmation = compared(record, found, 2, None)
    assert [candidate.name for candidate in confirmation.candidates][::2] == [best, "start point 0"]
    third, fifth, start = (
        by_name(confirmation, name) for name in ("trial 3", "trial 5", "start point 0")
    )
    assert (third.mean, third.test_value) == pytest.approx((0.8, 0.7)) and math.isnan(
        third.test_metrics["other"]
    )
    assert (fifth.low, fifth.high, fifth.test_value) == (0.6, 0.6, None)
    assert start.mean is None and start.low is None
    chosen = {"trial 3": (0.95, 0.8), "trial 5": (0.4, 0.6)}[best]
    assert confirmation.optimism and astuple(confirmation.optimism) == pytest.approx(chosen)
    assert len(confirmation.test_split_read) == 1
    assert len(compared(record, found, 2, confirmation).test_split_read) == 2
    assert len(compared(record, found[:1], 2, confirmation).test_split_read) == 1, (
        "it wasn't read again"
    )
    confirmation.write(record.folder)
    assert repr(read_confirmation(record.folder)) == repr(confirmation), "NaN, too, is read again"


def by_name(confirmation: Confirmation, name: str) -> ConfirmedCandidate:
    return next(one for one in confirmation.candidates if one.name == name)


def test_nothing_is_known_of_trainings_that_all_failed(tmp_path: Path) -> None:
    record = read_study(drive(open_study(tmp_path / "s")).folder)
    confirmation = compared(record, [one("trial 3"), one("trial 5")], 2, None)
    assert confirmation.optimism is None and confirmation.optimism_text == ""
    confirmation.write(record.folder)
    assert read_confirmation(record.folder) == confirmation


def test_of_two_objectives_the_verdict_names_the_one_it_is_by(tmp_path: Path) -> None:
    record = read_study(drive(open_study(tmp_path / "s")).folder)
    both = replace(OBJECTIVE, second=LOSS)
    record = replace(record, description=replace(record.description, objective=both))
    found = [one("trial 3", 0.9, 0.91), one("trial 5", 0.1, 0.11)]
    expected = f"trial 3 is better than all others, at 95% confidence, by {OBJECTIVE.name} alone"
    assert compared(record, found, 2, None).verdict == expected


def test_a_confirmation_is_told_in_words() -> None:
    console = Console(file=StringIO(), width=120)
    print_confirmation(small_confirmation(test_split_read=("then", "now")), console)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "candidate  searched  fresh score      95% interval  test score",
        "trial 3      0.9500       0.9200  0.9000 to 0.9400      0.9000",
        "trial 3 is better",
        "the search's best value was 0.9500, on fresh seeds it is 0.9200: "
        "the search was 0.0300 too good",
        "the test split has been read 2 times now; what was chosen by it is no longer unseen",
    ]
    assert small_confirmation(direction="minimize").optimism_text.endswith(
        "the search was 0.0300 too modest"
    )


# The file


def test_the_file_is_the_one_that_was_always_written(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    small_confirmation().write(folder)
    assert folder.confirmed.read_text() == FILE
    assert read_confirmation(folder) == small_confirmation()


def test_without_a_file_there_is_no_confirmation(tmp_path: Path) -> None:
    assert read_confirmation(StudyFolder(tmp_path)) is None


FILE = """\
{
  "trainings": "7f6ad872",
  "objective": "score",
  "direction": "maximize",
  "seeds": 3,
  "confidence": 0.95,
  "verdict": "trial 3 is better",
  "test_split_read": [
    "2026-01-02T03:04:05+00:00"
  ],
  "candidates": [
    {
      "name": "trial 3",
      "trial": 3,
      "searched_value": 0.95,
      "values": [
        0.91,
        0.93,
        0.92
      ],
      "mean": 0.92,
      "low": 0.9,
      "high": 0.94,
      "test_value": 0.9,
      "test_metrics": {
        "score": 0.9,
        "f1": 0.8
      }
    }
  ],
  "optimism": {
    "searched": 0.95,
    "fresh_mean": 0.92
  }
}
"""
WHOLE: dict[str, Any] = json.loads(FILE)
CANDIDATE: dict[str, Any] = WHOLE["candidates"][0]
DEEP = "[" * 900 + "]" * 900
WRONG: dict[str, list[Any]] = {
    "trainings": [3, None],
    "objective": [None, "\ud83d"],
    "direction": ["up", [], None],
    "seeds": [True, 3.5, "3", None],
    "confidence": [math.nan, 10**400, "95%", False],
    "verdict": [None, ["trial 3"]],
    "test_split_read": ["now", [3], None],
    "candidates": [[], {}, [1], "trial 3", None],
    "optimism": [[], {}, {"searched": 1}, {"searched": math.inf, "fresh_mean": 1}],
    "name": [None, 3],
    "trial": ["3", 3.0, None],
    "searched_value": [None, math.nan],
    "values": [None, 0.9, [0.9, None], [math.inf], ["high"]],
    "mean": [math.nan, "high", True],
    "low": [-math.inf, "low"],
    "high": [[0.94]],
    "test_value": ["0.9", {}],
    "test_metrics": [None, [], {"f1": "high"}, {"f1": None}, {"\udc00": 1.0}],
}


def changed(**values: Any) -> str:
    """The file with another value for a key, or a candidate's."""
    candidate = CANDIDATE | {key: value for key, value in values.items() if key in CANDIDATE}
    return json.dumps(
        WHOLE | {"candidates": [candidate]} | {key: values[key] for key in values if key in WHOLE}
    )


DAMAGED = [
    *("", "{", "[]", "null", "3", '"</script>"', FILE[:-9], "\ud83d", "[" * 100_000),
    *(
        FILE.replace(json.dumps(text), DEEP)
        for text in ("7f6ad872", "trial 3 is better", "trial 3")
    ),
    *(FILE.replace("0.9,", f"{DEEP},", 1), FILE.replace("0.9,", "9" * 5000 + ",", 1)),
    *(
        FILE.replace(f'"{key}"', '"lost"', 1)
        for key in [*WHOLE, *CANDIDATE, "searched", "fresh_mean"]
    ),
    *(changed(**{key: value}) for key, wrong in WRONG.items() for value in wrong),
]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    folder = StudyFolder(tmp_path)
    folder.confirmed.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(
        StudyError, match=r"confirm\.json is damaged: .*; remove it, and confirm again"
    ) as error:
        read_confirmation(folder)
    assert str(error.value).encode() and len(str(error.value)) < 500, "it can be shown"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (changed(seeds="3"), 'seeds must be a whole number, got "3"'),
        (changed(mean=math.nan), "mean must be null or a finite number, got nan"),
        (changed(candidates=[1]), "it and its candidates must be objects, got 1"),
        ("{}", "it lacks trainings, objective, direction, seeds"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, says: str) -> None:
    folder = StudyFolder(tmp_path)
    folder.confirmed.write_text(text)
    with pytest.raises(StudyError, match=re.escape(says)):
        read_confirmation(folder)
