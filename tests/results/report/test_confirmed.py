"""Proves that fresh seeds are shown as their file says, and that a damaged file stops no report.

pytest tests/results/report/test_confirmed.py
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from results.confirm.confirmation import Confirmation
from results.study.folder import StudyFolder
from results.study.record import read_study
from tests.results.report.reading import Page, report_page, report_text
from tests.results.report.studies import HOSTILE, drive, open_study, space
from tests.results.small_study import confirmed_candidate, small_confirmation

HOSTILE_ONE = confirmed_candidate(
    name=f"start point 0 {HOSTILE}",
    values=(0.9,),
    mean=0.9,
    low=None,
    high=None,
    test_value=None,
    test_metrics={},
)
FAILED = confirmed_candidate(
    name="trial 7", values=(), mean=None, low=None, high=None, test_value=None, test_metrics={}
)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return drive(open_study(tmp_path, space()), 2).folder


def page_with(folder: StudyFolder, confirmation: Confirmation) -> Page:
    confirmation.write(folder)
    return report_page(folder)


def test_without_fresh_seeds_there_is_no_section(folder: StudyFolder) -> None:
    assert "fresh" not in report_page(folder).ids
    assert "fresh seeds" not in report_text(folder)


def test_dots_interval_and_table_are_the_files(folder: StudyFolder) -> None:
    candidates = (confirmed_candidate(), HOSTILE_ONE, FAILED)
    page = page_with(
        folder, small_confirmation(candidates=candidates, verdict=f"trial 3 is better {HOSTILE}")
    )
    traces = {trace["name"]: trace for trace in page.figures["confirmed"]["data"]}
    assert (traces["fresh seeds"]["x"], traces["fresh seeds"]["y"]) == (
        [0.91, 0.93, 0.92, 0.9],
        [0, 0, 0, 1],
    )
    mean = traces["mean and interval"]
    assert mean["x"] == [0.92, 0.9]
    assert (mean["error_x"]["array"], mean["error_x"]["arrayminus"]) == ([0.02, 0], [0.02, 0])
    assert traces["found by the search"]["x"] == [0.95, 0.95] and traces["test split"]["x"] == [0.9]
    assert (
        "0.9000 to 0.9400" in page.words
        and "f1 0.8000" in page.words
        and "not opened" in page.words
    )
    assert (
        "95% confidence intervals" in page.words
        and "trial 7" in page.words
        and HOSTILE in page.words
    )


def test_what_fresh_seeds_found_best_stands_beside_what_the_search_did(folder: StudyFolder) -> None:
    best, other = [one.number for one in read_study(folder).ranked()][:2]
    ranks = (
        confirmed_candidate(name=f"trial {other}", trial=other, mean=0.93),
        confirmed_candidate(name=f"trial {best}", trial=best, mean=0.5),
    )
    page = page_with(folder, small_confirmation(candidates=ranks, verdict="the one is better"))
    assert f"best: trial {best} best on fresh seeds: trial {other}" in page.words
    assert (
        "mean of fresh seeds 0.5000 0.9300" in page.words
        and "Fresh seeds : the one is better." in page.words
    )
    unknown = small_confirmation(candidates=(confirmed_candidate(trial=-1), *ranks))
    assert "best on fresh seeds:" not in page_with(folder, unknown).words


def test_the_optimism_of_the_search_is_told_in_words(folder: StudyFolder) -> None:
    words = (
        "search's best value was 0.9500, on fresh seeds it is 0.9200: the search was 0.0300 "
        "too good"
    )
    assert f"The {words}." in page_with(folder, small_confirmation()).words
    assert f"fresh seeds: trial 3 is better; the {words}\n" in report_text(folder)


def test_trainings_that_all_failed_have_no_figure(folder: StudyFolder) -> None:
    page = page_with(folder, small_confirmation(candidates=(FAILED,), optimism=None))
    assert (
        "fresh" in page.ids
        and "confirmed" not in page.figures
        and "the search's best value" not in page.words
    )
    assert "fresh seeds: trial 3 is better\n" in report_text(folder)


def test_a_metric_that_the_test_split_cannot_tell_is_shown_as_such(folder: StudyFolder) -> None:
    one = confirmed_candidate(test_value=math.nan, test_metrics={"f1": math.nan})
    assert "f1 nan" in page_with(folder, small_confirmation(candidates=(one,))).words


WHOLE: dict[str, Any] = asdict(small_confirmation())
DAMAGED = [
    *(
        "{",
        "[1]",
        "null",
        '"</script>"',
        "[" * 100_000,
        json.dumps(WHOLE).replace('"trial 3"', "[" * 900 + "]" * 900),
    ),
    json.dumps({key: value for key, value in WHOLE.items() if key != "verdict"}),
    *(
        json.dumps(WHOLE | wrong)
        for wrong in ({"verdict": "\ud83d"}, {"seeds": HOSTILE}, {"confidence": math.nan})
    ),
]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_told_and_the_rest_is_there(folder: StudyFolder, text: str) -> None:
    folder.confirmed.write_text(text)
    page = report_page(folder)
    assert (
        "confirm.json is damaged" in page.words and "fresh" not in page.ids and "trials" in page.ids
    )
    assert "confirm.json is damaged" in report_text(folder)
