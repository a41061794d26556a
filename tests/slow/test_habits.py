"""Proves that a search finds the folder, the modules and the files that its user means.

pytest -m slow tests/slow/test_habits.py
"""

import shutil
import signal
from functools import partial
from pathlib import Path

from optuna.trial import TrialState

from results.study.description import noted_changes
from results.study.folder import StudyFolder
from results.study.notes import Notes
from results.study.record import read_study
from tests.slow.conftest import Launch, finish, record, wait_until

SPACE = """\
task: mine:train
objective: {{minimize: loss}}
parameters: {{lr: {{float: [0.1, 1.0]}}{more}}}
search: {{scheduler: {scheduler}, reduction: 2}}
budget: {{trials: {trials}, max_epochs: 4}}
"""


def space(
    folder: Path, source: str, *, trials: int = 2, scheduler: str = "none", more: str = ""
) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(source, encoding="utf-8")
    (folder / "mine.yaml").write_text(SPACE.format(trials=trials, scheduler=scheduler, more=more))


def losses(workplace: Path, name: str = "mine") -> list[float | None]:
    return [trial.value for trial in record(workplace, name).trials]


RELATIVE = """
from pathlib import Path
import numbers_of_mine  # Beside this file; a folder of that name in the current one is no module.
AT_IMPORT = Path("target.txt").read_text()

def train(config, folder):
    Path("written.txt").write_text("x")
    yield {"loss": float(Path("target.txt").read_text()) + float(AT_IMPORT) + numbers_of_mine.ONE}
"""


def test_files_and_modules_are_those_of_the_users_folders(workplace: Path, launch: Launch) -> None:
    space(workplace / "code", RELATIVE)
    (workplace / "code" / "numbers_of_mine.py").write_text("ONE = 1")
    (workplace / "numbers_of_mine").mkdir()
    (workplace / "mine.py").write_text("raise RuntimeError('not this one')")
    (workplace / "target.txt").write_text("2")
    for stray in ("token", "random", "results", "cluster", "yaml", "click", "ray"):
        (workplace / f"{stray}.py").write_text("raise RuntimeError('imported')")
    code, output = finish(launch("--space", "code/mine.yaml", "--quiet"))
    assert code == 0 and losses(workplace) == [5.0, 5.0], output
    assert (workplace / "written.txt").exists()
    code, output = finish(launch("train", "runs/mine/best.yaml"))
    assert code == 0 and "the exported value, reproduced" in output, output


MOVES = "import os\nos.chdir(os.path.dirname(os.path.abspath(__file__)))\n"


def test_code_that_changes_the_folder_does_not_move_the_study(
    workplace: Path, launch: Launch
) -> None:
    reads = "def train(config):\n    yield {'loss': float(open('beside.txt').read())}\n"
    space(workplace / "code", MOVES + reads)
    (workplace / "code" / "beside.txt").write_text("7")
    code, output = finish(launch("--space", "code/mine.yaml", "--quiet"))
    assert code == 0 and losses(workplace) == [7.0, 7.0], output
    code, output = finish(launch("--resume", "runs/mine", "--trials", "3", "--quiet"))
    assert code == 0 and "going on: 2 trials are finished" in output, output
    assert losses(workplace) == [7.0, 7.0, 7.0]
    code, output = finish(launch("train", "runs/mine/best.yaml"))
    assert code == 0 and "reproduced" in output, output
    assert {path.name for path in (workplace / "code").iterdir()} <= {
        "mine.py",
        "mine.yaml",
        "beside.txt",
        "__pycache__",
    }


EXITS = """
import argparse, sys
def train(config):
    yield {"loss": 1.0 + config["lr"]}
    if config["kind"] == "exits":
        sys.exit("data set is empty")
    if config["kind"] == "reads":
        argparse.ArgumentParser().parse_args(["--x"])
    if config["kind"] == "interrupts":
        raise KeyboardInterrupt
    yield {"loss": 0.5}
"""
KINDS = ", kind: {choice: [exits, reads, interrupts, good]}"
START = "start: [{kind: exits}, {kind: reads}, {kind: interrupts}, {kind: good}]\n"


def test_whoever_exits_in_training_fails_at_once_with_the_line(
    workplace: Path, launch: Launch
) -> None:
    space(workplace, EXITS, trials=4, more=KINDS)
    with (workplace / "mine.yaml").open("a") as file:
        file.write(START)
    code, output = finish(launch("--space", "mine.yaml", "--quiet"))
    assert code == 0, output
    trials = record(workplace, "mine").trials
    reasons = [Notes.of(trial).reason for trial in trials]
    assert reasons == [
        "SystemExit: data set is empty (mine.py:6)",
        "SystemExit: 2 (mine.py:8)",
        "KeyboardInterrupt (mine.py:10)",
        None,
    ]
    assert trials[3].state == TrialState.COMPLETE


BROKEN = """
def train(config):
    if config["lr"] > {above}:
        raise RuntimeError("no data")
    yield {{"loss": config["lr"]}}
"""
MADE_BY_HAND = "start: [{lr: 0.5}, {lr: 0.25}]\n"


def test_what_failed_is_trained_again_once_it_is_mended(workplace: Path, launch: Launch) -> None:
    space(workplace, BROKEN.format(above=0.0), trials=3)
    with (workplace / "mine.yaml").open("a") as file:
        file.write(MADE_BY_HAND)
    search = ("--space", "mine.yaml", "--quiet")
    code, output = finish(launch(*search))
    assert code == 1
    assert "no trial has a finite loss: trial 0 failed: RuntimeError: no data (mine.py:4)" in output
    assert "the traceback: runs/mine/trials/0000/error.txt" in output
    assert "the same command trains the failed trials again" in output

    (workplace / "mine.py").write_text(BROKEN.format(above=0.4))
    code, output = finish(launch(*search))
    assert code == 0, output
    assert "trains 3 failed trials again: the code of the task has changed" in output
    trials = record(workplace, "mine").trials
    assert [trial.params for trial in trials[3:]] == [trial.params for trial in trials[:3]]
    assert trials[3].state == TrialState.FAIL and trials[4].value == 0.25

    code, output = finish(launch(*search))
    assert code == 0 and "failed trial" not in output, "by the same code it would fail again"
    assert len(record(workplace, "mine").trials) == 6

    (workplace / "mine.py").write_text(BROKEN.format(above=9.0))
    code, output = finish(launch("--resume", "runs/mine", "--quiet"))
    assert code == 0, output
    assert "trains 1 failed trial again" in output or "trains 2 failed trials again" in output
    assert losses(workplace)[6] == 0.5
    code, output = finish(launch("status", "runs/mine"))
    assert code == 0 and "3 of 3 trials: 3 complete" in " ".join(output.split()), output
    code, output = finish(launch("report", "runs/mine"))
    assert code == 0 and "trained again" in output, output


KEEPS = """
import json, os, time

def train(config, folder, max_epochs):
    memory = folder / "state.json"
    state = json.loads(memory.read_text()) if memory.exists() else {"epoch": 0, "weight": 0.0}
    for epoch in range(state["epoch"] + 1, max_epochs + 1):
        time.sleep(0.1)
        weight = state["weight"] - config["lr"] * 2 * (state["weight"] - 3.0)
        yield {"epoch": epoch, "loss": (weight - 3.0) ** 2}
        state = {"epoch": epoch, "weight": weight}
        memory.with_suffix(".new").write_text(json.dumps(state))
        os.replace(memory.with_suffix(".new"), memory)
"""


def is_longer(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size > size


def test_a_function_with_its_own_checkpoint_loses_no_epoch(workplace: Path, launch: Launch) -> None:
    space(workplace, KEEPS, trials=6)
    journal = workplace / "runs" / "mine" / "journal.log"
    for kill in (signal.SIGKILL, signal.SIGINT):
        size = journal.stat().st_size if journal.exists() else 0
        process = launch("--space", "mine.yaml", "--quiet")
        wait_until(partial(is_longer, journal, size + 1500), process)
        process.send_signal(kill)
        finish(process)
    code, output = finish(launch("--space", "mine.yaml", "--quiet"))
    assert code == 0, output
    for trial in record(workplace, "mine").trials:
        assert trial.state == TrialState.COMPLETE and Notes.of(trial).warning is None
        assert trial.intermediate_values == dict(enumerate(losses_of(trial.params["lr"]), start=1))


def losses_of(lr: float) -> list[float]:
    """What four epochs of gradient descent on (w - 3)^2 give."""
    weight, found = 0.0, []
    for _ in range(4):
        weight = weight - lr * 2 * (weight - 3.0)
        found.append((weight - 3.0) ** 2)
    return found


DATA = """
def train(config):
    yield {"loss": 1.0 + config["lr"]}
"""


def test_a_project_that_was_moved_and_changed_goes_on_and_says_so(
    workplace: Path, launch: Launch
) -> None:
    space(workplace / "a", DATA)
    code, output = finish(launch("--space", "a/mine.yaml", "--quiet", "--out", "a/runs"))
    assert code == 0, output
    code, output = finish(launch("export", "a/runs/mine", "--top", "1"))
    assert code == 0, output
    (workplace / "a").rename(workplace / "b")
    study = workplace / "b" / "runs" / "mine"
    (exported,) = study.glob("exports/trial-*")
    shutil.copytree(exported, workplace / "given")
    (workplace / "b" / "mine.py").write_text(DATA + "# changed\n")
    for command in (
        ("--resume", "b/runs/mine", "--trials", "3", "--quiet"),
        ("confirm", "b/runs/mine", "--top", "1", "--seeds", "1", "--quiet"),
    ):
        code, output = finish(launch(*command))
        assert code == 0, output
        assert "since this study began, the code of the task, mine.py was " in output
    (noted,) = noted_changes(read_study(StudyFolder(study)).description.origin)
    assert noted.startswith("the code of the task, mine.py was ")
    shutil.rmtree(workplace / "b")
    code, output = finish(launch("train", "given/config.yaml"))
    assert code == 0 and "reproduced" in output, output
