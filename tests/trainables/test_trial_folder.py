"""Proves that a crash at any moment leaves a folder that training can go on from.

pytest tests/trainables
"""

import io
import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.trial_folder import TrialFolder, read_state, remove_leftovers, write_atomically

ROOT = Path(__file__).resolve().parents[2]


class Bomb:
    """Unpickling it would write a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    """Three epochs reported and saved."""
    folder = TrialFolder(tmp_path / "a 'trial' Ω")
    folder.path.mkdir()
    for epoch in (1, 2, 3):
        folder.append_metrics({"epoch": epoch, "metrics": {"accuracy": epoch / 4}, "details": {}})
        folder.save_last(state(epoch))
    return folder


def state(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "model": {"w": torch.full((3,), float(epoch))}, "optimizer": {}}


def loaded_epoch(folder: TrialFolder) -> int | None:
    loaded, _ = folder.load_state()
    return loaded["epoch"] if loaded else None


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


# Writing ------------------------------------------------------------------------------------------


def test_an_interrupted_write_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("old")

    def torn(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, torn)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_replaces_the_content_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("old")
    write_atomically(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_last_two_states_are_kept(folder: TrialFolder) -> None:
    last, previous = read_state(folder.last), read_state(folder.previous)
    assert last is not None
    assert previous is not None
    assert (last["epoch"], previous["epoch"]) == (3, 2)
    assert torch.equal(last["model"]["w"], torch.full((3,), 3.0))
    assert not temporary_files(folder.path)


def test_a_save_that_fails_leaves_the_state_before(folder: TrialFolder) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        folder.save_last({"epoch": 4, "model": lambda: None})
    assert loaded_epoch(folder) == 3
    assert not temporary_files(folder.path)


def test_deleting_checkpoints_leaves_the_metrics(folder: TrialFolder) -> None:
    folder.keep_last_alone()
    assert folder.last.exists() and not folder.previous.exists()
    folder.delete_checkpoint()
    folder.delete_checkpoint()
    assert loaded_epoch(folder) is None
    assert [line["epoch"] for line in folder.read_metrics()] == [1, 2, 3]


# Reading ------------------------------------------------------------------------------------------


def damaged(good: bytes, kind: str) -> bytes:
    return {
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "a few bytes": good[:30],
        "without its end": good[:-1],
        "zeros in the middle": good[:300] + bytes(400) + good[700:],
        "zeros": bytes(len(good)),
        "garbage": bytes(range(256)) * 8,
        "text": b"hello",
        "another zip": another_zip(),
        "a pickle": pickle.dumps({"epoch": 3}),
        "code": saved({"epoch": 3, "model": Path("x")}),
    }[kind]


def another_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "hello")
    return file.getvalue()


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


DAMAGES = (
    *("empty", "truncated", "a few bytes", "without its end", "zeros in the middle", "zeros"),
    *("garbage", "text", "another zip", "a pickle", "code"),
)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_last_state_falls_back_to_the_previous(folder: TrialFolder, kind: str) -> None:
    folder.last.write_bytes(damaged(folder.last.read_bytes(), kind))
    assert loaded_epoch(folder) == 2
    folder.previous.write_bytes(damaged(folder.previous.read_bytes(), kind))
    assert loaded_epoch(folder) is None


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_no_damage_whatever_raises(folder: TrialFolder) -> None:
    good, rng = folder.last.read_bytes(), random.Random(0)
    for _ in range(200):
        flipped = bytearray(good)
        for _ in range(rng.randrange(1, 8)):
            flipped[rng.randrange(len(good))] = rng.randrange(256)
        noise = rng.randbytes(rng.randrange(1, 200))
        for content in (
            noise,
            b"\x80\x02" + noise,
            good[: rng.randrange(len(good))],
            bytes(flipped),
        ):
            folder.last.write_bytes(content)
            read_state(folder.last)


def test_what_is_no_damage_is_raised(folder: TrialFolder) -> None:
    folder.last.unlink()
    folder.last.mkdir()
    with pytest.raises(IsADirectoryError):
        folder.load_state()


READ_WITHOUT_ROOM = """
import re, resource, sys
from pathlib import Path
import torch
from trainables.trial_folder import read_state
used_kib = int(re.search(r"VmSize:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1])
limit = used_kib * 1024 + (32 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    print(read_state(Path(sys.argv[1])) is None)
except MemoryError as error:
    print(type(error).__name__)
"""


def test_a_state_that_memory_has_no_room_for_is_not_called_damaged(folder: TrialFolder) -> None:
    folder.save_last({"epoch": 4, "model": {"w": torch.zeros(32 << 20)}})
    command = [sys.executable, "-c", READ_WITHOUT_ROOM, str(folder.last)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "MemoryError\n", done.stderr


@pytest.mark.parametrize("content", [[1, 2], {"model": {}}, {"epoch": "3"}, torch.zeros(3)])
def test_what_is_no_state_is_not_taken_for_one(folder: TrialFolder, content: Any) -> None:
    torch.save(content, folder.last)
    assert loaded_epoch(folder) == 2


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))]
)
def test_a_pickle_with_code_is_not_run(folder: TrialFolder, save: Any, tmp_path: Path) -> None:
    save({"epoch": 3, "bomb": Bomb(tmp_path / "exploded")}, folder.last)
    assert loaded_epoch(folder) == 2
    assert not (tmp_path / "exploded").exists()


def test_a_missing_last_state_falls_back_to_the_previous(folder: TrialFolder) -> None:
    folder.last.unlink()  # a crash between the two steps of save_last
    assert loaded_epoch(folder) == 2


@pytest.mark.parametrize(
    ("kept", "epoch"), [([1, 2, 3], 3), ([1, 2], 2), ([1], None), ([], None), ([2, 3], None)]
)
def test_a_state_counts_only_with_all_its_epochs_in_the_metrics(
    folder: TrialFolder, kept: list[int], epoch: int | None
) -> None:
    lines = folder.metrics.read_text().splitlines(keepends=True)
    folder.metrics.write_text("".join(lines[i - 1] for i in kept))
    assert loaded_epoch(folder) == epoch


def test_without_metrics_there_is_nothing_to_go_on_from(folder: TrialFolder) -> None:
    folder.metrics.unlink()
    assert loaded_epoch(folder) is None
    assert folder.read_metrics() == []
    assert TrialFolder(folder.path / "absent").load_state() == (None, None)


@pytest.mark.parametrize(
    "tail", ['{"epoch": 4, "met', "\x00\x00\x00", "\n\n", "[4]\n", '{"no": "epoch"}\n', "\udcff"]
)
def test_a_torn_last_line_is_left_out(folder: TrialFolder, tail: str) -> None:
    with folder.metrics.open("ab") as file:
        file.write(tail.encode("utf-8", errors="surrogateescape"))
    assert [line["epoch"] for line in folder.read_metrics()] == [1, 2, 3]
    folder.keep_metrics_until(3)
    folder.append_metrics({"epoch": 4})
    assert [line["epoch"] for line in folder.read_metrics()] == [1, 2, 3, 4]


def test_metrics_after_an_epoch_are_cut(folder: TrialFolder) -> None:
    kept = folder.keep_metrics_until(1)
    assert [line["epoch"] for line in kept] == [1]
    assert folder.read_metrics() == kept
    assert TrialFolder(folder.path / "new").keep_metrics_until(0) == []
    assert not temporary_files(folder.path)


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    deep = tmp_path / "trials [x]" / "0001" / "checkpoint"
    deep.mkdir(parents=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [tmp_path / f".best.yaml.{gone.pid}.tmp", deep / f".last.pt.{gone.pid}.tmp"]
    stay = [
        deep / f".last.pt.{os.getpid()}.tmp",  # It is being written.
        deep / "mine.tmp",
        deep / ".mine.tmp",
        deep / ".tmp",
        deep / "last.pt",
        tmp_path / f".huge.{10**30}.tmp.keep",
    ]
    for path in (*left, *stay):
        path.write_bytes(b"x" * 100)
    remove_leftovers(tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(stay)
