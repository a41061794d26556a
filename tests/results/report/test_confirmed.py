"""Proves that fresh seeds are shown as their file says, and that what it lacks breaks nothing.

pytest tests/results/report/test_confirmed.py
"""

import json
from pathlib import Path
from typing import Any

import pytest

from results.report import write_report
from results.report.confirmed import read_confirmation
from results.study_folder import StudyFolder
from tests.results.report.reading import Page, read_page
from tests.results.report.studies import HOSTILE, drive, open_study, space

CANDIDATES: list[dict[str, Any]] = [
    {
        "name": "trial 3",
        "trial": 3,
        "searched_value": 0.95,
        "values": [0.91, 0.93, 0.92],
        "mean": 0.92,
        "low": 0.90,
        "high": 0.94,
        "test_value": 0.9,
        "test_metrics": {"f1": 0.8},
    },
    {"name": f"start point 0 {HOSTILE}", "values": [0.9, None, "high"], "test_value": None},
]
WHOLE: dict[str, Any] = {
    "objective": "score",
    "direction": "maximize",
    "seeds": 3,
    "confidence": 0.95,
    "verdict": f"trial 3 is better {HOSTILE}",
    "candidates": CANDIDATES,
    "optimism": {"searched": 0.95, "fresh_mean": 0.92},
}


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return drive(open_study(tmp_path, space()), 2).folder


def page_with(folder: StudyFolder, content: object) -> Page:
    folder.confirmed.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_page(write_report(folder))


def test_without_fresh_seeds_there_is_no_section(folder: StudyFolder) -> None:
    assert "fresh" not in read_page(write_report(folder)).ids


def test_dots_interval_and_table_are_the_files(folder: StudyFolder) -> None:
    page = page_with(folder, WHOLE)
    traces = {trace["name"]: trace for trace in page.figures["confirmed"]["data"]}
    assert (traces["fresh seeds"]["x"], traces["fresh seeds"]["y"]) == ([0.91, 0.93, 0.92, 0.9], [0, 0, 0, 1])
    mean = traces["mean and interval"]
    assert mean["x"] == [0.92]
    assert (mean["error_x"]["array"], mean["error_x"]["arrayminus"]) == ([0.02], [0.02])
    assert traces["found by the search"]["x"] == [0.95] and traces["test split"]["x"] == [0.9]
    assert "0.9000 to 0.9400" in page.words and "f1 0.8000" in page.words and "not opened" in page.words
    assert "95% confidence intervals" in page.words


def test_the_optimism_of_the_search_is_told_in_words(folder: StudyFolder) -> None:
    assert "0.9500; fresh seeds of the same configuration reach 0.9200" in page_with(folder, WHOLE).words
    folder.confirmed.write_text(json.dumps({**WHOLE, "direction": "minimize"}))
    confirmation, _ = read_confirmation(folder)
    assert confirmation and "is 0.0300 worse than what to expect." in confirmation.optimism


@pytest.mark.parametrize("lost", WHOLE)
def test_a_missing_key_breaks_nothing(folder: StudyFolder, lost: str) -> None:
    folder.confirmed.write_text(json.dumps({key: value for key, value in WHOLE.items() if key != lost}))
    confirmation, wrong = read_confirmation(folder)
    assert confirmation and wrong is None


def test_a_candidate_may_lack_everything(folder: StudyFolder) -> None:
    page = page_with(folder, {"candidates": [{}, {"values": None, "mean": "high", "test_metrics": []}, 3]})
    assert "fresh" in page.ids and "confirmed" not in page.figures


@pytest.mark.parametrize("text", ["{", "[1]", "null", '"</script>"'])
def test_a_file_that_is_none_is_told(folder: StudyFolder, text: str) -> None:
    page = page_with(folder, text)
    assert "confirm.json" in page.words and "fresh" not in page.ids
