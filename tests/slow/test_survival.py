"""Proves that a study survives the death of its driver, its workers and its disk, losing nothing.

pytest -m slow tests/slow/test_survival.py
"""

import itertools
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter, defaultdict
from pathlib import Path

import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from cluster.search.asha import Asha
from cluster.search.scheduler import Decision
from results.study.notes import Notes
from results.study.record import StudyRecord
from search_spaces.rungs import rung_epochs
from tests.slow.conftest import Launch, finish, record, wait_until

LINE = """\
task: toy:Line
parameters:
  optim.lr: {{float: [1.0e-4, 1.0e-1], log: true}}
  optim.clip_norm: {{choice: [0.0, 1.0]}}
fixed: {{data.epoch_s: {epoch_s}, data.log: epochs.log, optim.scheduler: constant}}
search: {{scheduler: {scheduler}}}
budget: {{trials: {trials}, max_epochs: 9, keep: 2}}
seed: 5
"""
TOY = """\
task: toy:train
objective: {{maximize: score}}
parameters:
  x: {{float: [0.1, 1.0]}}
  kind: {{choice: {kinds}}}
start: {start}
fixed: {{epoch_s: 0.05}}
search: {{scheduler: none}}
budget: {{trials: {trials}, max_epochs: 9, retries: 2}}
"""
OPERATIONS = {
    "state": 6,
    "report": 7,
}  # Optuna's JournalOperation: set a trial's state, set an intermediate value.


def write_line_space(
    workplace: Path, *, trials: int, epoch_s: float, scheduler: str = "asha"
) -> None:
    space = LINE.format(trials=trials, epoch_s=epoch_s, scheduler=scheduler)
    (workplace / "line.yaml").write_text(space)
    (workplace / "epochs.log").touch()


def kill_when(process: "subprocess.Popen[str]", chance: random.Random, journal: Path) -> None:
    """Kill the driver alone, at a random moment: in one of four cases while it starts."""
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0.0, 8.0))
    else:
        size, growth = (
            journal.stat().st_size if journal.exists() else 0,
            chance.randrange(200, 3000),
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.stat().st_size > size + growth:
                break
            time.sleep(chance.uniform(0.001, 0.05))
    process.kill()
    process.wait()


def test_killed_twenty_times_and_nothing_is_lost(workplace: Path, launch: Launch) -> None:
    write_line_space(workplace, trials=32, epoch_s=0.25)
    journal, chance = workplace / "runs" / "line" / "journal.log", random.Random(1)
    kills = 0
    while kills < 20:
        process = launch("--space", "line.yaml")
        kill_when(process, chance, journal)
        assert process.returncode in (0, -signal.SIGKILL), process.communicate()
        kills += 1
    code, output = finish(launch("--space", "line.yaml"))
    assert code == 0, output
    study = record(workplace, "line")
    assert len(study.trials) == 32 and all(trial.state.is_finished() for trial in study.trials)
    check_journal(journal, study)
    trained = Counter((workplace / "epochs.log").read_text().splitlines())
    redone = sum(trained.values()) - sum(len(trial.intermediate_values) for trial in study.trials)
    assert 0 <= redone <= 2 * kills, "at most one epoch for each of two running trials and kill"
    assert len(list((workplace / "runs" / "line" / "trials").glob("*/checkpoint"))) <= 2
    assert not list((workplace / "runs").rglob(".*.tmp")), "what the killed ones left is gone"


def check_journal(journal: Path, study: StudyRecord) -> None:
    """Line by line: no trial changes after its end, epochs rise by one, each decision is ASHA's."""
    rungs = rung_epochs(grace_epochs=1, reduction=3, max_epochs=9)
    asha = Asha(rungs=rungs, reduction=3, objective=study.description.objective)
    epochs: dict[int, int] = defaultdict(int)
    decided: dict[int, bool] = {}
    ended: dict[int, TrialState] = {}
    for line in map(json.loads, journal.read_text().splitlines()):
        number = line.get("trial_id")
        if number is not None:
            assert number not in ended, f"trial {number} was written to after its end: {line}"
        if line["op_code"] == OPERATIONS["report"]:
            assert line["step"] == epochs[number] + 1
            epochs[number] = line["step"]
            asha.record(number, line["step"], line["intermediate_value"])
            decided[number] = asha.decide(number, line["step"]) is Decision.GO_ON
        if line["op_code"] == OPERATIONS["state"] and TrialState(line["state"]).is_finished():
            ended[number] = TrialState(line["state"])
            expected = TrialState.COMPLETE if decided[number] else TrialState.PRUNED
            assert ended[number] == expected, f"trial {number}"
            assert (epochs[number] == 9) == (expected == TrialState.COMPLETE)
    assert len(ended) == len(study.trials)


def told(trial: FrozenTrial) -> tuple[object, ...]:
    return trial.state, trial.params, trial.intermediate_values, trial.value


@pytest.mark.parametrize("scheduler", ["asha", "promotion"])
def test_killed_with_one_slot_decides_as_if_never_stopped(
    workplace: Path, launch: Launch, scheduler: str
) -> None:
    write_line_space(workplace, trials=10, epoch_s=0.1, scheduler=scheduler)
    code, output = finish(launch("--space", "line.yaml", "--concurrent", "1", "--name", "whole"))
    assert code == 0, output
    journal, chance = workplace / "runs" / "killed" / "journal.log", random.Random(2)
    for _ in range(2):
        kill_when(
            launch("--space", "line.yaml", "--concurrent", "1", "--name", "killed"), chance, journal
        )
    code, output = finish(launch("--resume", "runs/killed", "--concurrent", "1"))
    assert code == 0, output
    whole, killed = record(workplace, "whole"), record(workplace, "killed")
    assert list(map(told, killed.trials)) == list(map(told, whole.trials))
    assert {trial.state for trial in whole.trials} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_a_trial_whose_process_dies_goes_on_in_another(workplace: Path, launch: Launch) -> None:
    write_line_space(workplace, trials=3, epoch_s=0.1)
    changed = ("data.kind=dies_once", "search.scheduler=none")
    code, output = finish(launch("--space", "line.yaml", "--set", *changed))
    assert code == 0, output
    study = record(workplace, "line")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert all(list(trial.intermediate_values) == list(range(1, 10)) for trial in study.trials)
    trained = Counter((workplace / "epochs.log").read_text().splitlines())
    assert max(trained.values()) <= 10, "no epoch but the one of its death was trained twice"


def test_a_trial_that_dies_each_time_fails_after_its_retries(
    workplace: Path, launch: Launch
) -> None:
    start = (
        "[{kind: dies, x: 0.5}, {kind: dies_once, x: 0.5}, {kind: out_of_gpu_memory, x: 0.5}, "
        "{kind: raises, x: 0.5}]"
    )
    kinds = "[good, dies, dies_once, out_of_gpu_memory, raises]"
    (workplace / "toy.yaml").write_text(TOY.format(kinds=kinds, start=start, trials=4))
    code, output = finish(launch("--space", "toy.yaml"))
    assert code == 0, output
    dies, once, gpu, raises = record(workplace, "toy").trials
    assert dies.state == TrialState.FAIL and "died 3 times" in (Notes.of(dies).reason or "")
    assert once.state == TrialState.COMPLETE
    assert gpu.state == TrialState.FAIL and "CUDA out of memory" in (Notes.of(gpu).reason or "")
    assert raises.state == TrialState.FAIL and "planned failure" in (Notes.of(raises).reason or "")
    code, output = finish(launch("status", "runs/toy"))
    assert code == 0 and "finished" in output
    assert "CUDA out of memory" in output and "planned failure" in output


def test_a_trial_that_eats_the_memory_fails_and_the_search_goes_on(
    workplace: Path, launch: Launch
) -> None:
    start = "[{kind: eats_memory, x: 0.5}, {kind: good, x: 0.5}]"
    (workplace / "toy.yaml").write_text(
        TOY.format(kinds="[good, eats_memory]", start=start, trials=2)
    )
    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + 6 * 2**30) / memory.total
    code, output = finish(
        launch(
            "--space",
            "toy.yaml",
            "--set",
            "budget.retries=0",
            env={"RAY_memory_usage_threshold": f"{threshold:.3f}"},
        )
    )
    assert code == 0, output
    eats, good = record(workplace, "toy").trials
    assert eats.state == TrialState.FAIL and "out of memory" in (Notes.of(eats).reason or ""), (
        Notes.of(eats)
    )
    assert good.state == TrialState.COMPLETE


def test_when_every_trial_fails_alike_the_search_ends(workplace: Path, launch: Launch) -> None:
    (workplace / "toy.yaml").write_text(
        TOY.format(kinds="[raises, raises_too]", start="[]", trials=50)
    )
    (workplace / "toy.py").write_text(
        (workplace / "toy.py").read_text().replace('== "raises"', 'in ("raises", "raises_too")')
    )
    code, output = finish(launch("--space", "toy.yaml"))
    assert (
        code == 1
        and "every trial so far failed in the same way" in output
        and "planned failure" in output
    )
    study = record(workplace, "toy")
    assert 5 <= sum(trial.state == TrialState.FAIL for trial in study.trials) < 10


def listening_addresses(pid: int) -> list[str]:
    """Where a launch and the processes that it started listen."""
    process = psutil.Process(pid)
    found = [
        connection.laddr.ip
        for one in [process, *process.children(recursive=True)]
        for connection in one.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert found, "the dashboard listens at least"
    return found


def test_a_second_launcher_is_refused(workplace: Path, launch: Launch) -> None:
    write_line_space(workplace, trials=400, epoch_s=0.5)
    first = launch("--space", "line.yaml")
    journal = workplace / "runs" / "line" / "journal.log"
    wait_until(lambda: journal.exists() and "intermediate_value" in journal.read_text(), first)
    assert set(listening_addresses(first.pid)) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    code, output = finish(launch("--space", "line.yaml"))
    assert code == 2 and f"process {first.pid} on " in output, output
    code, output = finish(launch("status", "runs/line"))
    assert code == 0 and f"running (process {first.pid}" in output
    first.kill()
    first.wait()
    code, output = finish(launch("status", "runs/line"))
    assert code == 0 and "dead" in output
    (journal.parent / "journal.log.lock").symlink_to(
        journal
    )  # A lock that the dead one left in the middle of a write.
    before = journal.stat().st_size
    third = launch("--resume", "runs/line")
    wait_until(lambda: journal.stat().st_size > before + 500, third)
    third.send_signal(signal.SIGINT)
    code, output = finish(third)
    assert code == 130 and "go on with: python launch.py --resume" in output, output


def test_a_torn_journal_and_cut_checkpoints_are_survived(workplace: Path, launch: Launch) -> None:
    write_line_space(workplace, trials=4, epoch_s=0.3)
    process = launch("--space", "line.yaml", "--set", "search.scheduler=none")
    folder = workplace / "runs" / "line"
    lasts = folder / "trials"
    wait_until(lambda: len(list(lasts.glob("*/checkpoint/previous.pt"))) == 2, process)
    process.kill()
    process.wait()
    time.sleep(3)  # Until the workers have noticed.
    os.truncate(folder / "journal.log", (folder / "journal.log").stat().st_size - 5)
    for last in lasts.glob("*/checkpoint/last.pt"):
        os.truncate(last, last.stat().st_size // 2)
    code, output = finish(launch("--resume", "runs/line"))
    assert code == 0 and "last.pt can't be used; goes on after epoch" in output, output
    study = record(workplace, "line")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert all(list(trial.intermediate_values) == list(range(1, 10)) for trial in study.trials)


def test_ctrl_c_twice_leaves_at_once_and_can_be_resumed(workplace: Path, launch: Launch) -> None:
    write_line_space(workplace, trials=3, epoch_s=1.0)
    process = launch("--space", "line.yaml")
    journal = workplace / "runs" / "line" / "journal.log"
    wait_until(lambda: journal.exists() and "intermediate_value" in journal.read_text(), process)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 130 and time.monotonic() - begun < 10
    code, output = finish(launch("--resume", "runs/line"))
    assert code == 0, output
    study = record(workplace, "line")
    assert len(study.trials) == 3 and all(trial.state.is_finished() for trial in study.trials)


def test_the_time_limit_ends_the_search_and_more_trials_follow(
    workplace: Path, launch: Launch
) -> None:
    write_line_space(workplace, trials=300, epoch_s=0.5)
    for limit in ("25s", "50s", "100s"):  # On a busy machine the first value comes late.
        code, output = finish(launch("--space", "line.yaml", "--time", limit))
        assert "the time is over; go on with" in output and "--resume runs/line" in output, output
        if code == 0:
            break
    assert code == 0, output
    early = record(workplace, "line")
    assert (
        early.condition() == "interrupted"
        and sum(trial.state.is_finished() for trial in early.trials) < 300
    )
    code, output = finish(launch("--resume", "runs/line", "--max-epochs", "20"))
    assert code == 2 and "--max-epochs" in output
    space = (workplace / "line.yaml").read_text()
    (workplace / "line.yaml").write_text(space.replace("max_epochs: 9", "max_epochs: 12"))
    code, output = finish(launch("--space", "line.yaml"))
    assert code == 2 and "budget.max_epochs: the study has 9, now 12" in output, output


def test_a_full_disk_is_told_and_survived(workplace: Path, launch: Launch, tmp_path: Path) -> None:
    disk = tmp_path / "small"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
        ).returncode
    ):
        pytest.skip("only root may mount a small disk, in a container with CAP_SYS_ADMIN")
    try:
        write_line_space(workplace, trials=8, epoch_s=0.0)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(200 * 1024))
        code, output = finish(launch("--space", "line.yaml", "--out", str(disk)))
        assert code == 1 and "No space left" in output and "--resume" in output, output
        assert "Traceback" not in output
        ballast.unlink()
        code, output = finish(launch("--resume", str(disk / "line")))
        assert code == 0, output
        code, output = finish(launch("status", str(disk / "line")))
        assert "8 of 8 trials" in output and "finished" in output and "failed" not in output, output
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, output = finish(launch("--resume", str(disk / "line"), "--trials", "9"))
        assert code == 2 and "can't be written" in output, output
        code, output = finish(launch("status", str(disk / "line")))
        assert code == 0 and "finished" in output, output
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_checkpoints_are_bounded_for_the_whole_study(workplace: Path, launch: Launch) -> None:
    write_line_space(workplace, trials=12, epoch_s=0.05)
    process = launch("--space", "line.yaml", "--set", "search.scheduler=none")
    most = 0
    while process.poll() is None:
        most = max(most, len(list((workplace / "runs" / "line" / "trials").glob("*/checkpoint"))))
        time.sleep(0.05)
    assert process.returncode == 0, process.communicate()
    assert 2 <= most <= 2 + 2 + 1, "two are kept, two run, one is being deleted"
    kept = {
        int(path.parent.name)
        for path in (workplace / "runs" / "line" / "trials").glob("*/checkpoint")
    }
    assert kept == {best.number for best in itertools.islice(record(workplace, "line").ranked(), 2)}
