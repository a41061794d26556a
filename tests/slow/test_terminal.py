"""Proves that a search outlives who reads it: pytest -m slow tests/slow/test_terminal.py."""

import os
import pty
import signal
import sys
from pathlib import Path

from tests.slow.conftest import ROOT, Launch, record

SPACE = """\
task: toy:train
objective: {maximize: score}
parameters: {x: {float: [0.1, 1.0]}}
fixed: {kind: good, epoch_s: 0.1}
search: {scheduler: none}
budget: {trials: 6, max_epochs: 9}
"""


def test_a_pipe_whose_reader_dies_ends_nothing(workplace: Path, launch: Launch) -> None:
    (workplace / "piped.yaml").write_text(SPACE)
    process = launch("--space", "piped.yaml")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("piped: toy:train")
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert_is_whole(workplace, "piped")


def test_a_terminal_that_is_closed_ends_nothing(workplace: Path) -> None:
    (workplace / "shown.yaml").write_text(SPACE)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(workplace)
        command = [sys.executable, str(ROOT / "launch.py"), "--space", "shown.yaml"]
        os.execv(sys.executable, command)
    shown = b""
    while b"running" not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)
    os.killpg(child, signal.SIGHUP)  # As a shell does then, to Ray's processes too.
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert_is_whole(workplace, "shown")


def assert_is_whole(workplace: Path, name: str) -> None:
    study = record(workplace, name)
    assert study.condition() == "finished"
    assert [len(trial.intermediate_values) for trial in study.trials] == [9] * 6
    assert study.folder.best.exists()
