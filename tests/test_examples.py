"""Proves that the examples are accepted, learn to read digits, and survive an interruption.

pytest tests/test_examples.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import launch
from search_spaces import Space, load_space
from trainables.accepting import accept
from trainables.job import Job, run
from trainables.task import Report
from trainables.user_code.importing import import_from

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SPACES = sorted(EXAMPLES.glob("*.yaml"))
EPOCHS = 4
LEAST_ACCURACY = 0.85  # Of the start points; guessing gives 0.1.
each = pytest.mark.parametrize("file", SPACES, ids=lambda file: file.stem)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def job_of(space: Space, folder: Path) -> Job:
    """The first start point, as a search would train it."""
    import_from([str(EXAMPLES)])
    values = {**space.fixed, **space.start[0]}
    return Job(
        task=space.task,
        objective=accept(space),
        values=values,
        seed=1,
        split_seed=0,
        max_epochs=EPOCHS,
        folder=folder,
        import_paths=(str(EXAMPLES),),
    )


def metrics(reports: Iterator[Report]) -> list[dict[str, float]]:
    return [report.metrics for report in reports]


def test_there_are_a_function_and_a_task() -> None:
    names = [file.stem for file in SPACES]
    assert names == sorted(file.stem for file in EXAMPLES.glob("*.py"))
    assert len(names) >= 2


@each
def test_the_command_line_accepts_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.main(["check", str(file)]) == 0
    assert f"{file.name}: ok" in capsys.readouterr().out


@each
def test_it_says_how_it_is_run_and_is_short_enough_to_be_read(file: Path) -> None:
    command = f"python launch.py --space examples/{file.name}"
    lines = file.with_suffix(".py").read_text(encoding="utf-8").splitlines()
    assert file.read_text(encoding="utf-8").startswith(f"# {command}\n")
    assert lines[2].strip() == command
    assert len(lines) < 60


@each
def test_it_learns_to_read_digits(file: Path, tmp_path: Path) -> None:
    reports = metrics(run(job_of(load_space(file), tmp_path / "trial")))
    assert len(reports) == EPOCHS
    assert reports[-1]["accuracy"] > max(LEAST_ACCURACY, reports[0]["accuracy"])


@each
def test_an_interruption_changes_nothing(file: Path, tmp_path: Path) -> None:
    space = load_space(file)
    whole = metrics(run(job_of(space, tmp_path / "whole")))
    interrupted = job_of(space, tmp_path / "interrupted")
    first_launch = run(interrupted)
    # Asked for the third epoch, it has saved the second; a kill then costs the third alone.
    before = [next(first_launch).metrics for _ in range(3)]
    first_launch.close()  # type: ignore[attr-defined]
    assert before == whole[:3]
    assert metrics(run(interrupted)) == whole
