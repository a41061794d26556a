"""Proves that a study that may be read but not written is shown, and that all else is one message.

pytest tests/test_another_users_study.py
"""

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import launch
from tests.results.small_study import drive, open_study

READABLE, UNREADABLE = 0o555, 0o000
ANOTHER = 54321
Launched = Callable[..., tuple[int, str, str]]


@contextmanager
def another_user(path: Path, mode: int) -> Iterator[None]:
    """Be one to whom a folder gives no more than `mode`; root, who may do anything, changes."""
    contents = [path, *sorted(path.rglob("*"))]  # Each folder before what is in it.
    for each in reversed(contents):
        each.chmod(mode if each.is_dir() else mode & 0o666)
    root = os.geteuid() == 0
    if root:
        os.seteuid(ANOTHER)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for each in contents:
            each.chmod(0o755)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that every user reaches, as pytest's own isn't, with a study in it."""
    with tempfile.TemporaryDirectory(prefix="rungs-", dir="/tmp") as name:
        place = Path(name)
        place.chmod(0o755)
        drive(open_study(place / "study"))
        use_all(shutil.copytree(place / "study", place / "used"))
        yield place


def use_all(study: Path) -> None:
    """Have all imported that the commands need: the interpreter's files may be root's alone."""
    importlib.import_module("cluster.confirm")
    for command in ("status", "report", "pictures", "--resume"):
        launch.main([command, str(study)])
    for command in ("compare", "export"):
        launch.main([command, str(study), "--to", str(study / command)])
    launch.main(["train", str(study / "best.yaml")])


@pytest.fixture
def desk(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The other user's own folder, in which the user is."""
    desk = place / "desk"
    desk.mkdir()
    desk.chmod(0o777)
    monkeypatch.chdir(desk)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield desk
    shutil.rmtree(desk)


@pytest.fixture
def launched(place: Path, desk: Path, capsys: pytest.CaptureFixture[str]) -> Launched:
    """Runs a command in this process as another user; gives its exit code, output and errors."""

    def launch_it(*arguments: str, mode: int = READABLE) -> tuple[int, str, str]:
        with another_user(place / "study", mode):
            code = launch.main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return launch_it


def test_what_only_reads_is_as_ever(launched: Launched, place: Path) -> None:
    code, out, _ = launched("status", f"{place}/study")
    assert (code, "small: finished" in out) == (0, True)


def test_the_report_comes_in_brief_and_says_where_its_page_can_not_be(
    launched: Launched, place: Path
) -> None:
    code, out, err = launched("report", f"{place}/study")
    assert code == 2
    assert "small: finished" in out and "cost: " in out
    assert (
        f"{place}/study/report.html can't be written: Permission denied; `python launch.py watch"
        in err
    )
    assert not list(place.glob("study/*.html"))


@pytest.mark.parametrize("command", ["compare", "export"])
def test_what_is_written_elsewhere_is_written(
    command: str, launched: Launched, place: Path, desk: Path
) -> None:
    code, _, err = launched(command, f"{place}/study", "--to", f"{desk}/here")
    assert (code, err) == (0, "")
    assert (desk / "here").exists()
    code, _, err = launched(command, f"{place}/study", "--to", f"{place}/study/there")
    assert code == 2
    assert f"{place}/study/there can't be written: Permission denied; choose another --to" in err


def test_a_configuration_is_trained_in_a_folder_of_ones_own(
    launched: Launched, place: Path, desk: Path
) -> None:
    best = place / "study" / "best.yaml"
    code, _, err = launched("train", str(best))
    assert code == 2
    assert "can't be written: Permission denied; copy best.yaml to a folder of your own" in err
    shutil.copy(best, desk / "mine.yaml")
    (desk / "mine.yaml").chmod(0o644)
    code, out, _ = launched("train", f"{desk}/mine.yaml")
    assert (code, "the exported value, reproduced" in out) == (0, True)


@pytest.mark.parametrize("command", ["--resume", "confirm"])
def test_a_study_is_not_gone_on_with(command: str, launched: Launched, place: Path) -> None:
    code, _, err = launched(command, f"{place}/study")
    assert code == 2
    assert (
        "can't be written: Permission denied" in err
        and "copy the study and work on the copy" in err
    )


@pytest.mark.parametrize(
    "command", ["status", "report", "watch", "compare", "export", "pictures", "--resume", "confirm"]
)
def test_a_study_that_may_not_be_read_is_one_message(
    command: str, launched: Launched, place: Path
) -> None:
    code, out, err = launched(command, f"{place}/study", mode=UNREADABLE)
    assert (code, out) == (2, "")
    assert (
        err
        == f"error: {place}/study can't be read by this user: Permission denied; ask its owner\n"
    )


def test_nor_is_a_folder_below_it_more(launched: Launched, place: Path, desk: Path) -> None:
    (desk / "mine.yaml").write_text("task: gpt2_classifier")
    code, _, err = launched("--space", "mine.yaml", "--out", f"{place}/study/a/b", mode=UNREADABLE)
    assert code == 2
    assert err == f"error: this user may not use {place}/study/a/b: Permission denied\n"
