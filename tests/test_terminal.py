"""Proves that commands do their work without a terminal: pytest tests/test_terminal.py."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from results.study.folder import StudyFolder
from tests.results.small_study import drive, open_study

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
ASCII = {
    "stream": {"PYTHONIOENCODING": "ascii"},
    "locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}

pytestmark = pytest.mark.slow  # Each starts a process that imports PyTorch.


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "launch.py"), *arguments]


def to_a_dead_pipe(*arguments: str) -> int:
    """The exit code of a command of which nobody reads a word."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        found = subprocess.run(command(*arguments), stdout=writer, stderr=writer, env=ENVIRONMENT)
    finally:
        os.close(writer)
    return found.returncode


def to_a_closed_terminal(*arguments: str) -> int:
    """The same for a terminal that is gone, which is as hung up as one can be."""
    master, terminal = pty.openpty()
    os.close(master)
    try:
        found = subprocess.run(
            command(*arguments),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=ENVIRONMENT,
        )
    finally:
        os.close(terminal)
    return found.returncode


def to_nothing(*arguments: str) -> int:
    """The same for streams that are closed from the start."""
    closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command(*arguments)]
    return subprocess.run(closing, env=ENVIRONMENT).returncode


WAYS = [to_a_dead_pipe, to_a_closed_terminal, to_nothing]
Way = Callable[..., int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study in a folder with a name that no ASCII terminal can show."""
    return drive(open_study(tmp_path_factory.mktemp("studies") / "[exp] ü ✓")).folder


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("arguments", "code"), [("spaces", 0), ("--help", 0), ("", 2)])
def test_the_exit_code_is_the_commands(way: Way, arguments: str, code: int) -> None:
    assert way(*arguments.split()) == code


def test_a_mistake_that_nobody_reads_is_one(folder: StudyFolder) -> None:
    assert to_a_dead_pipe("status", f"{folder.path}, not") == 2


def test_a_report_that_nobody_reads_is_written(folder: StudyFolder) -> None:
    assert to_a_dead_pipe("report", str(folder.path)) == 0
    assert (folder.path / "report.html").exists()


def test_a_training_that_nobody_sees_goes_on(folder: StudyFolder) -> None:
    assert to_a_closed_terminal("train", str(folder.best), "--seed", "3") == 0
    assert (folder.path / "best-seed-3" / "metrics.jsonl").exists()


def test_no_file_gets_the_descriptor_of_a_closed_stream(folder: StudyFolder) -> None:
    before = folder.best.read_bytes(), folder.journal.read_bytes()
    assert to_nothing("export", str(folder.path)) == 0
    assert (folder.best.read_bytes(), folder.journal.read_bytes()) == before
    assert (folder.exports / "trials.csv").read_text().startswith("number,state,")


@pytest.mark.parametrize("names", ASCII.values(), ids=ASCII)
def test_what_ascii_lacks_has_backslashes(names: dict[str, str], folder: StudyFolder) -> None:
    export, environment = command("export", str(folder.path)), {**ENVIRONMENT, **names}
    found = subprocess.run(export, env=environment, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert r"/[exp] \xfc \u2713/exports/trials.csv: 4 trials" in found.stdout


def test_a_server_ends_with_its_terminal(folder: StudyFolder) -> None:
    watch = command("watch", str(folder.path), "--port", "0")
    with subprocess.Popen(
        ["env", "--default-signal=HUP", *watch],  # Whoever runs the tests may ignore it: nohup.
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "watch it at http://" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        try:
            assert process.wait(timeout=20) == -signal.SIGHUP
        finally:
            process.kill()
