"""A trial's folder: metrics, events and checkpoints, which a crash at any moment leaves whole."""

import contextlib
import errno
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

# What torch.load was seen to raise for files that are torn, garbled or no checkpoint.
DAMAGE = (
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
DAMAGE_NUMBERS = (errno.EINVAL, errno.EIO)  # a file too short to have an end; a broken disk
NO_ROOM = "can't allocate memory"  # PyTorch's allocator raises a mere RuntimeError


@dataclass(frozen=True)
class TrialFolder:
    """The paths of one trial, and how they are written and read.

    Attributes:
        path: The folder; `trials/0007` in a study, or wherever a single training was told to write.
    """

    path: Path

    @property
    def metrics(self) -> Path:
        """One JSON line for each epoch that was reported."""
        return self.path / "metrics.jsonl"

    @property
    def error(self) -> Path:
        """The traceback of what ended it, if it failed."""
        return self.path / "error.txt"

    @property
    def owner(self) -> Path:
        """Of which task, configuration and seed all this is."""
        return self.path / "trained.json"

    @property
    def checkpoint(self) -> Path:
        """Holds `last.pt` and `previous.pt`, to go on from, and `best.pt`, the model alone."""
        return self.path / "checkpoint"

    @property
    def last(self) -> Path:
        """State after the latest epoch."""
        return self.checkpoint / "last.pt"

    @property
    def previous(self) -> Path:
        """State one epoch earlier, for when `last.pt` can't be read."""
        return self.checkpoint / "previous.pt"

    @property
    def best(self) -> Path:
        """The model at the epoch with the best objective."""
        return self.checkpoint / "best.pt"

    def save_last(self, state: dict[str, Any], *, make_folder: bool = True) -> None:
        """Make `state` the last one; the one before becomes `previous.pt`."""
        if make_folder:
            self.checkpoint.mkdir(parents=True, exist_ok=True)
        write_atomically(self.last, lambda path: save_state(state, path), keep=self.previous)

    def save_best(self, state: dict[str, Any], *, make_folder: bool = True) -> None:
        """Make `state` the best one."""
        if make_folder:
            self.checkpoint.mkdir(parents=True, exist_ok=True)
        write_atomically(self.best, lambda path: save_state(state, path))

    def load_state(self) -> tuple[dict[str, Any] | None, str | None]:
        """The newest state that can be read and whose reports are all in the metrics.

        A warning if it is not the last.

        Without a state, training starts from the beginning.
        """
        reported = {line["epoch"] for line in self.read_metrics()}
        begun = self.last.exists() or self.previous.exists()
        for path in (self.last, self.previous):
            state = read_state(path)
            if state is not None and _has_all_reports(state, reported):
                fallback = f"{self.last.name} can't be used; goes on after epoch {state['epoch']}"
                return state, fallback if path == self.previous else None
        return None, "no checkpoint can be used; starts over" if begun else None

    def read_metrics(self) -> list[dict[str, Any]]:
        """The epochs that were reported, in order; a torn last line is left out."""
        if not self.metrics.exists():
            return []
        lines = []
        for text in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                line = json.loads(text)
                if isinstance(line, dict) and isinstance(line.get("epoch"), int):
                    lines.append(line)
        return lines

    def keep_metrics_until(self, epoch: int) -> list[dict[str, Any]]:
        """Cut the metrics after `epoch`, and give those that stay."""
        kept = [line for line in self.read_metrics() if line["epoch"] <= epoch]
        self.path.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_text_atomically(self.metrics, text)
        return kept

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add one epoch's line."""
        self.path.mkdir(
            parents=True, exist_ok=True
        )  # Training code that tidies up may have removed it.
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def keep_last_alone(self) -> None:
        """Free what is there for when `last.pt` can't be read: who is frozen may wait for long."""
        self.previous.unlink(missing_ok=True)

    def delete_checkpoint(self) -> None:
        """Free the disk; metrics and events stay."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)


def _has_all_reports(state: dict[str, Any], reported: set[int]) -> bool:
    """Whether the epochs that were reported before a state was saved, its own the last, are there.

    A state without their number is from when every epoch was reported.
    """
    epoch = state["epoch"]
    earlier = {each for each in reported if each <= epoch}
    return epoch in reported and len(earlier) == state.get("reports", epoch)


def read_state(path: Path) -> dict[str, Any] | None:
    """A checkpoint's content, or None if it is missing, truncated or no checkpoint.

    Raises:
        MemoryError: when there is no room for it, which says nothing of the file.
        OSError: when it can't be read for another reason than damage: its permissions, say.
    """
    if not path.exists():
        return None
    import torch  # Not before: most commands that look at a study have no need of it.

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        if NO_ROOM in str(error):
            raise MemoryError(f"{path}: {error}") from error
        return None
    except OSError as error:
        if error.errno not in DAMAGE_NUMBERS:
            raise
        return None
    return state if isinstance(state, dict) and isinstance(state.get("epoch"), int) else None


def save_state(state: dict[str, Any], path: Path) -> None:
    """`torch.save` that says why it failed.

    Raises:
        OSError: when the disk is full, say; PyTorch by itself tells no more than that a position
            was unexpected.
    """
    import torch

    with path.open("wb") as file:
        witness = _Witness(file)
        try:
            torch.save(state, cast(BinaryIO, witness))
        except RuntimeError:
            if witness.error is not None:
                raise witness.error from None
            raise


class _Witness:
    """A file that remembers the error of a write."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that killed processes have left in a folder and all within it."""
    for path in folder.rglob(".*.tmp"):
        pid = path.name.split(".")[-2]
        if pid.isdecimal() and not _is_alive(int(pid)):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # It is another user's, or no process's number.
        return True
    return True


def write_text_atomically(path: Path, text: str) -> None:
    """`write_atomically` of a text, as UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_atomically(
    path: Path, write: Callable[[Path], object], *, keep: Path | None = None
) -> None:
    """Let `write` fill a temporary file, push it to the disk and put it in the place of `path`.

    What was in that place before becomes `keep`, if that is given.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
