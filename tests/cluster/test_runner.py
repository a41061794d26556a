"""Proves that opening a study leaves a true description, whatever happens.

pytest tests/cluster/test_runner.py
"""

import io
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import runner
from cluster.search.study import Study
from cluster.tune_hooks import Halt
from results.console import Console
from results.study.description import Description, noted_changes, origin, read_description
from results.study.folder import StudyError, StudyFolder
from tests.results.small_study import described, small_space


def opened(folder: StudyFolder, description: Description) -> tuple[Study, str]:
    """The study, and what was told."""
    told = io.StringIO()
    return runner._open_study(folder, description, Console(file=told, width=400)), told.getvalue()


def test_a_study_that_goes_on_keeps_its_origin_and_takes_the_new_budget(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "a study")
    first = replace(described(small_space()), origin={"command": "the first"})
    opened(folder, first)
    more = replace(
        first.space, budget=replace(first.space.budget, trials=first.space.budget.trials + 1)
    )
    opened(folder, replace(first, space=more, origin={"command": "the second"}))
    read = read_description(folder)
    assert read.origin["command"] == "the first"
    assert read.space.budget.trials == first.space.budget.trials + 1


def test_a_crash_before_the_journal_leaves_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "Study", crash)
    folder = StudyFolder(tmp_path / "a study")
    with pytest.raises(KeyboardInterrupt):
        opened(folder, described(small_space()))
    assert read_description(folder).space.to_dict() == small_space().to_dict()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="can't be written"):
        opened(StudyFolder(tmp_path / "file" / "study"), described(small_space()))


def test_what_changed_since_the_study_began_is_told_and_noted_once(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    begun = {
        "command": "the first",
        "commit": "abc",
        "versions": {"torch": "1.0", "none": "2"},
        "code": {"mine.py": "1"},
    }
    first = replace(described(small_space()), origin=begun)
    first.write(folder)
    for _ in range(2):
        told = opened(folder, first)[1]
        for text in (
            "commit of Rungs was abc, now ",
            "torch was 1.0, now ",
            "the code of the task, mine.py was 1, now gone",
        ):
            assert f"since this study began, {text}" in told
    read = read_description(folder).origin
    assert len(read["changes"]) == 1
    assert any(text.startswith("torch was 1.0, now") for text in noted_changes(read))
    assert {name: read[name] for name in begun} == begun


def test_an_unchanged_study_goes_on_without_a_word(tmp_path: Path) -> None:
    folder, space = StudyFolder(tmp_path / "s"), small_space()
    first = replace(described(space), origin=origin(space.task))
    assert opened(folder, first)[1] == opened(folder, first)[1] == ""
    assert noted_changes(read_description(folder).origin) == []


def test_fewer_trials_than_there_are_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    folder, space = StudyFolder(tmp_path / "s"), small_space()
    opened(folder, described(space))
    before = folder.description.read_bytes()
    fewer = replace(space, budget=replace(space.budget, trials=2))
    with pytest.raises(
        StudyError, match=r"has 4 trials already: budget\.trials must not be below that, got 2"
    ):
        opened(folder, described(fewer))
    assert folder.description.read_bytes() == before


class Interrupted(io.RawIOBase):
    """A file in the middle of whose first write Ctrl-C is pressed."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self.written:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        self.written += bytes(data)
        return len(data)


def test_an_interrupt_in_the_middle_of_a_line_ends_the_search_in_order() -> None:
    file, halt = Interrupted(), Halt(None)
    console = Console(io.TextIOWrapper(io.BufferedWriter(file)), width=80)
    with runner._signals_halt(halt, console):
        console.say("a line")
    assert halt.reason == "interrupted"
    deadline = time.monotonic() + 10
    while b"once more" not in file.written and time.monotonic() < deadline:
        time.sleep(0.01)
    assert file.written.startswith(b"a line\nstopping; once more to leave at once")
