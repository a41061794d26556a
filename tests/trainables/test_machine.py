"""Proves that what this process may use counts, not what its machine has.

pytest tests/trainables/test_machine.py
"""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainables.machine import home, is_writable, settle_home, usable_cpus

SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")


@pytest.fixture(autouse=True)
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SLURM:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def one_cpu() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_cpus_are_those_of_the_affinity(one_cpu: None) -> None:
    assert usable_cpus() == 1


@pytest.mark.parametrize("name", SLURM)
def test_a_slurm_job_may_use_its_part_of_the_node(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 64)
    assert usable_cpus() == 64
    monkeypatch.setenv(name, "3")
    assert usable_cpus() == 3


def test_a_task_has_its_own_cpus_and_never_more_than_the_affinity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "3")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    assert usable_cpus() == 2
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "16")
    assert usable_cpus() == 4


def test_a_user_of_whom_no_home_is_known_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda user: {}[user])
    assert home() == Path("/")
    settle_home()
    assert Path.home() == Path("/")
    monkeypatch.delenv("HOME")


def test_a_home_that_is_known_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settle_home()
    assert home() == tmp_path == Path(os.environ["HOME"])


def test_a_folder_is_writable_if_a_file_can_be_made_in_it(tmp_path: Path) -> None:
    assert is_writable(tmp_path / "new" / "one")
    assert not list((tmp_path / "new" / "one").iterdir())
    (tmp_path / "file").touch()
    assert not is_writable(tmp_path / "file" / "below")
    assert not is_writable(Path("/proc/none"))
