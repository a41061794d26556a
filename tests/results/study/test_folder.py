"""Proves that one launcher at a time writes a study.

pytest tests/results/study/test_folder.py
"""

import multiprocessing
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from results.study.folder import StudyError, StudyFolder, StudyLock, lock_holder


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "a 'study' ✓")


@contextmanager
def other_launcher(folder: StudyFolder) -> Iterator[BaseProcess]:
    """A process that holds the lock until it is killed.

    Forked, so that it needs to import nothing.
    """
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=hold, args=(folder, theirs))
    process.start()
    try:
        assert ours.recv() == "locked"
        yield process
    finally:
        process.kill()
        process.join()


def hold(folder: StudyFolder, pipe: Connection) -> None:
    with StudyLock(folder):
        pipe.send("locked")
        pipe.recv()


def test_a_second_launcher_is_refused_until_the_first_is_killed(folder: StudyFolder) -> None:
    with other_launcher(folder) as process:
        holder = {"pid": process.pid, "host": socket.gethostname()}
        assert lock_holder(folder) == holder
        with pytest.raises(
            StudyError,
            match=f"run by process {process.pid} on {socket.gethostname()}; one launcher",
        ):
            StudyLock(folder).__enter__()
        assert lock_holder(folder) == holder
        process.kill()
        process.join()
        assert folder.lock.read_text() != ""  # It had no time to clean up,
        assert lock_holder(folder) is None  # and yet nobody is said to hold it.
        with StudyLock(folder):
            assert lock_holder(folder) == {"pid": os.getpid(), "host": socket.gethostname()}


def test_a_launcher_that_is_done_leaves_the_lock_to_the_next(folder: StudyFolder) -> None:
    for _ in range(2):
        with StudyLock(folder):
            assert lock_holder(folder) == {"pid": os.getpid(), "host": socket.gethostname()}
        assert lock_holder(folder) is None


def test_the_lock_is_freed_when_its_holder_raises(folder: StudyFolder) -> None:
    with pytest.raises(RuntimeError), StudyLock(folder):
        raise RuntimeError
    assert lock_holder(folder) is None


def test_a_study_without_a_lock_has_no_holder(folder: StudyFolder) -> None:
    assert lock_holder(folder) is None
    assert not folder.path.exists()


def test_a_lock_whose_text_is_lost_still_refuses(folder: StudyFolder) -> None:
    with StudyLock(folder):
        folder.lock.write_text("")
        assert lock_holder(folder) == {}
        with pytest.raises(StudyError, match=r"process \? on \?"):
            StudyLock(folder).__enter__()
