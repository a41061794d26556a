"""Proves that large checkpoints are written beside the training, and that a crash costs no value.

pytest tests/trainables/test_checkpoints.py
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainables.conformance import EPOCHS, job_of, seen, tiny_task
from trainables.checkpoints import CheckpointWriter, on_host, storage_sizes
from trainables.job import run
from trainables.task import Report, Task
from trainables.trial_folder import TrialFolder, read_state

TASK = "next_char"
DEADLINE_S = 20


class Disk:
    """Writes of `last.pt`, which wait until they may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.may_write, self._writes, self.fails = threading.Event(), threading.Event(), False
        save = TrialFolder.save_last

        def slow(folder: TrialFolder, state: dict[str, Any], **more: bool) -> None:
            self._writes.set()
            assert self.may_write.wait(DEADLINE_S)
            if self.fails:
                raise OSError(28, "No space left on device")
            save(folder, state, **more)

        monkeypatch.setattr(TrialFolder, "save_last", slow)

    def wait_until_it_writes(self) -> None:
        assert self._writes.wait(DEADLINE_S)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setattr("trainables.checkpoints.LARGE_BYTES", 0)
    disk = Disk(monkeypatch)
    yield disk
    disk.may_write.set()


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    return tiny_task(TASK, monkeypatch)


def test_an_epoch_is_reported_while_its_large_state_is_written(
    task: Task, disk: Disk, tmp_path: Path
) -> None:
    disk.may_write.set()
    whole = seen(list(run(job_of(TASK, task, tmp_path / "whole"))))
    disk.may_write.clear()
    job = job_of(TASK, task, tmp_path / "slow")
    training = run(job)
    reports = [next(training)]
    assert not TrialFolder(job.folder).last.exists()
    disk.may_write.set()
    reports += list(training)
    assert seen(reports) == whole
    state, warning = TrialFolder(job.folder).load_state()
    assert (state or {})["epoch"] == EPOCHS and warning is None


def test_a_process_killed_before_a_state_is_written_trains_that_epoch_again(
    task: Task, disk: Disk, tmp_path: Path
) -> None:
    disk.may_write.set()
    whole = seen(list(run(job_of(TASK, task, tmp_path / "whole"))))
    job, killed = job_of(TASK, task, tmp_path / "killed"), TrialFolder(tmp_path / "killed")
    training = run(job)
    next(training)
    next(training)
    training.close()  # type: ignore[attr-defined]
    killed.previous.replace(killed.last)  # That of the second epoch was never written.
    assert len(killed.read_metrics()) == 2
    assert seen(list(run(job))) == whole


def test_a_trial_that_is_dropped_has_its_state_written_first(
    task: Task, disk: Disk, tmp_path: Path
) -> None:
    job = job_of(TASK, task, tmp_path)
    training = run(job)
    next(training)
    threading.Timer(0.05, disk.may_write.set).start()
    training.close()  # type: ignore[attr-defined]
    assert (read_state(TrialFolder(tmp_path).last) or {})["epoch"] == 1


def test_a_state_that_could_not_be_written_is_told_before_the_next_epoch(
    task: Task, disk: Disk, tmp_path: Path
) -> None:
    disk.fails = True
    disk.may_write.set()
    training = run(job_of(TASK, task, tmp_path))
    next(training)
    with pytest.raises(OSError, match="No space left"):
        next(training)


def test_checkpoints_that_were_deleted_meanwhile_do_not_come_back(
    task: Task, disk: Disk, tmp_path: Path
) -> None:
    folder = TrialFolder(tmp_path)
    training = run(job_of(TASK, task, tmp_path))
    next(training)
    disk.wait_until_it_writes()
    folder.delete_checkpoint()
    disk.may_write.set()
    training.close()  # type: ignore[attr-defined]
    assert not folder.checkpoint.exists()


def test_the_last_epoch_and_small_states_are_on_the_disk_when_they_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report(epoch=2, metrics={}, state=lambda: {"evaluated": {"w": torch.ones(3)}})
    written: list[int] = []
    folder = TrialFolder(tmp_path)
    for large_bytes, at_once in ((2**20, False), (0, True)):
        monkeypatch.setattr("trainables.checkpoints.LARGE_BYTES", large_bytes)
        with CheckpointWriter(folder, written=lambda: written.append(1)) as checkpoints:
            checkpoints.write(report, reports=2, best=True, at_once=at_once)
            assert (read_state(folder.last) or {})["reports"] == 2
            assert (read_state(folder.best) or {})["epoch"] == 2
    assert len(written) == 2


def test_a_copied_state_keeps_what_is_shared_and_follows_no_training() -> None:
    model = nn.BatchNorm1d(3)
    state = {"model": model.state_dict(), "evaluated": model.state_dict(), "lr": [0.1, (1, 2)]}
    copied = on_host(state, {})
    assert copied["lr"] == state["lr"]
    assert copied["model"]._metadata == state["model"]._metadata  # type: ignore[attr-defined]
    with torch.no_grad():
        model.weight.fill_(7.0)
    assert torch.equal(copied["model"]["weight"], torch.ones(3))
    assert copied["model"]["weight"] is copied["evaluated"]["weight"]
    assert sum(storage_sizes(state).values()) == 4 * 3 * 4 + 8
