"""Proves that studies are compared by their own numbers, and told apart.

pytest tests/results/report/test_compare.py
"""

import io
from pathlib import Path

import pytest

from results.console import Console
from results.report import compare
from results.study.folder import StudyError, StudyFolder
from tests.results.report import journal_lines
from tests.results.report.reading import comparison_page
from tests.results.report.studies import drive, open_study, space


@pytest.fixture
def folders(tmp_path: Path) -> list[StudyFolder]:
    other = space("other", seed=6, search={"scheduler": "none"}, fixed={"data.path": "</script>"})
    return [
        drive(open_study(tmp_path / "one [bold] <b>", space()), 6).folder,
        drive(open_study(tmp_path / "two", other), 5).folder,
    ]


def test_the_lines_are_the_journals(folders: list[StudyFolder], tmp_path: Path) -> None:
    page = comparison_page(folders, tmp_path / "new" / "compare.html")
    for folder, (name, data) in zip(folders, page.data.items(), strict=True):
        expected = journal_lines.told(folder.journal, sign=1)
        assert name == folder.path.name
        assert [
            [cost, value, trial, epoch] for cost, _, value, trial, epoch in data["best_so_far"]
        ] == expected["best_so_far"]
        assert data["epochs"] == expected["epochs"]
    assert {"epochs_0", "time_0"} == page.figures.keys()


def test_what_differed_is_told_and_nothing_else(folders: list[StudyFolder], tmp_path: Path) -> None:
    words = comparison_page(folders, tmp_path / "compare.html").words
    differing = words.partition("What differed")[2].partition("Best configurations")[0]
    for told in ("seed 5 6", "scheduler asha none", "</script>", "space studied other"):
        assert told in differing
    assert "budget." not in differing and "versions" not in differing


def test_two_objectives_are_not_drawn_together(folders: list[StudyFolder], tmp_path: Path) -> None:
    third = drive(
        open_study(tmp_path / "three", space("three", objective={"minimize": "loss"})), 3
    ).folder
    page = comparison_page([*folders, third], tmp_path / "compare.html")
    assert "These studies have different objectives" in page.words
    assert {"epochs_0", "time_0", "epochs_1", "time_1"} == page.figures.keys()


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    names = [tmp_path / "a" / "s", tmp_path / "b" / "s"]
    folders = [drive(open_study(path, space()), 1).folder for path in names]
    assert list(comparison_page(folders, tmp_path / "c.html").data) == ["a/s", "b/s"]
    assert list(comparison_page([folders[0]] * 2, tmp_path / "c.html").data) == [
        "a/s",
        "a/s (2)",
    ]


def test_studies_without_a_trial_can_be_compared(tmp_path: Path) -> None:
    folder = open_study(tmp_path / "s", space(start=[])).folder
    page = comparison_page([folder, folder], tmp_path / "c.html")
    assert "No trial has a finite value yet." in page.words
    assert "Nothing: the same space, seed, budget, commit and versions." in page.words


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is no study"):
        comparison_page([StudyFolder(tmp_path / "none")], tmp_path / "c.html")


def test_the_terminal_shows_the_same_tables(folders: list[StudyFolder], tmp_path: Path) -> None:
    text = io.StringIO()
    compare(folders, tmp_path / "c.html", Console(file=text, width=160))
    assert "one [bold] <b>" in text.getvalue()
    assert "search.scheduler" in text.getvalue() and "\nlr " in text.getvalue()
