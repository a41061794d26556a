"""Proves that packed files are read once, whole and in order, and again when they change.

pytest tests/trainables
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.config import TaskError
from trainables.parts.packing import cache_folder, packed_tensor


class Reader:
    """Reads text files of numbers, and counts how often."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    def __call__(self, path: Path) -> np.ndarray:
        self.reads.append(path.name)
        return np.array(path.read_text().split(), dtype=np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNGS_CACHE", str(tmp_path / "cache 'Ω'"))
    return cache_folder()


def files_of(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{i}.txt" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_rows_stand_in_the_files_order_and_are_read_once(tmp_path: Path) -> None:
    files, reader = files_of(tmp_path, "1 2", "3 4", "5 6"), Reader()
    rows = packed_tensor(files[::-1], reader, how="v1")
    assert rows.tolist() == [[5, 6], [3, 4], [1, 2]]
    reader.reads.clear()
    assert torch.equal(packed_tensor(files[::-1], reader, how="v1"), rows)
    assert reader.reads == []


def test_a_changed_file_another_order_and_another_way_are_read_anew(tmp_path: Path) -> None:
    files, reader = files_of(tmp_path, "1", "2"), Reader()
    packed_tensor(files, reader, how="v1")
    files[1].write_text("7")
    os.utime(files[1], ns=(1, 1))
    assert packed_tensor(files, reader, how="v1").tolist() == [[1], [7]]
    assert packed_tensor(files[::-1], reader, how="v1").tolist() == [[7], [1]]
    reads = len(reader.reads)
    packed_tensor(files, reader, how="v2")
    assert len(reader.reads) > reads


def test_writing_to_a_row_does_not_reach_the_cache(tmp_path: Path) -> None:
    files = files_of(tmp_path, "1", "2")
    packed_tensor(files, Reader(), how="v1")[0] = 9
    assert packed_tensor(files, Reader(), how="v1").tolist() == [[1], [2]]


def test_all_files_that_can_not_be_used_are_named_at_once(tmp_path: Path, cache: Path) -> None:
    files = files_of(tmp_path, "1 2", "x", "3", "4 5")
    with pytest.raises(TaskError) as caught:
        packed_tensor(files, Reader(), how="v1")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        str(files[1]),
        str(files[2]),
    ]
    assert "shape of 0.txt, (2,) float32, got (1,)" in caught.value.problems[1]
    assert not list(cache.glob("*.npy")), "nothing half-packed is left"
    files_of(tmp_path, "1 2", "2 3", "3 4", "4 5")
    assert len(packed_tensor(files, Reader(), how="v1")) == 4


def test_what_a_killed_process_left_is_removed(tmp_path: Path, cache: Path) -> None:
    files = files_of(tmp_path, "1 2", "3 4")
    packed_tensor(files, Reader(), how="v1")
    (target,) = cache.glob("*.npy")
    target.unlink()
    for name in (f".{target.name}.4711.tmp", ".other.npy.4711.tmp"):
        (cache / name).write_bytes(b"unfinished")
    assert packed_tensor(files, Reader(), how="v1").tolist() == [[1, 2], [3, 4]]
    assert sorted(path.name for path in cache.glob(".*.tmp")) == [".other.npy.4711.tmp"], (
        "that may be in the making"
    )


def test_many_broken_files_are_counted(tmp_path: Path) -> None:
    files = files_of(tmp_path, "1", *("x" for _ in range(30)))
    with pytest.raises(TaskError) as caught:
        packed_tensor(files, Reader(), how="v1")
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1] == "and 20 more files"


def test_a_first_file_that_is_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"0\.txt: could not convert"):
        packed_tensor(files_of(tmp_path, "x", "1"), Reader(), how="v1")


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNGS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/none")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))


def test_a_user_without_a_home_has_a_cache_among_the_temporary_files(
    tmp_path: Path, no_home: None
) -> None:
    folder = cache_folder()
    assert folder.parent == tmp_path and folder.stat().st_mode & 0o077 == 0
    assert packed_tensor(files_of(tmp_path, "1"), Reader(), how="v1").tolist() == [[1]]


def test_but_not_one_that_is_somebody_elses(
    tmp_path: Path, no_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rungs-54321").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(TaskError, match="set RUNGS_CACHE to a folder"):
        cache_folder()


def test_a_cache_that_was_named_must_be_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNGS_CACHE", "/proc/none")
    with pytest.raises(
        TaskError, match="RUNGS_CACHE must be a folder that can be written, got /proc/none"
    ):
        cache_folder()
