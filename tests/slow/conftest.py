"""Real searches: `launch.py` in a process of its own, in a folder of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from results.study.folder import StudyFolder
from results.study.record import StudyRecord, read_study

ROOT = Path(__file__).resolve().parents[2]

Launch = Callable[..., "subprocess.Popen[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder of a user, hostile name included, with the toy trainable in it."""
    folder = tmp_path / "it's a wörk place"
    folder.mkdir()
    (folder / "toy.py").write_text((Path(__file__).parent / "toy.py").read_text())
    return folder


@pytest.fixture
def launch(workplace: Path) -> Iterator[Launch]:
    """Start the command line; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "launch.py"), *arguments]
        process = subprocess.Popen(
            command,
            cwd=workplace,
            env={**os.environ, **(env or {})},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def finish(process: "subprocess.Popen[str]", *, timeout_s: float = 300) -> tuple[int, str]:
    """Exit code and output of a launch."""
    output, _ = process.communicate(timeout=timeout_s)
    return process.returncode, output


def record(workplace: Path, name: str) -> StudyRecord:
    """The study that a launch left behind."""
    return read_study(StudyFolder(workplace / "runs" / name))


def wait_until(
    holds: Callable[[], bool], process: "subprocess.Popen[str]", *, timeout_s: float = 120
) -> None:
    """Wait for something that a launch does; fails if the launch ends or the time is over."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
