"""Proves that opening a study leaves a true description, whatever happens: pytest tests/cluster/test_runner.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster import runner
from results.description import read_description
from results.study_folder import StudyError, StudyFolder
from tests.results.small_study import described, small_space


def test_a_study_that_goes_on_keeps_its_origin_and_takes_the_new_budget(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "a study")
    first = replace(described(small_space()), origin={"command": "the first"})
    runner._open_study(folder, first)
    more = replace(first.space, budget=replace(first.space.budget, trials=first.space.budget.trials + 1))
    runner._open_study(folder, replace(first, space=more, origin={"command": "the second"}))
    read = read_description(folder)
    assert read.origin == {"command": "the first"}
    assert read.space.budget.trials == first.space.budget.trials + 1


def test_a_crash_before_the_journal_leaves_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "Study", crash)
    folder = StudyFolder(tmp_path / "a study")
    with pytest.raises(KeyboardInterrupt):
        runner._open_study(folder, described(small_space()))
    assert read_description(folder).space.to_dict() == small_space().to_dict()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="can't be written"):
        runner._open_study(StudyFolder(tmp_path / "file" / "study"), described(small_space()))
