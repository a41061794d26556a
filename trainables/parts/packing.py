"""Data read from many files once on a machine, and mapped into memory from then on."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainables.config import TaskError
from trainables.machine import home, is_writable, usable_cpus
from trainables.trial_folder import write_atomically

SHOWN_PROBLEMS = 10
WAITING_READERS = 4  # More than there are CPUs: a disk keeps some waiting.


def cache_folder() -> Path:
    """Where packed data lie: `$RUNGS_CACHE`, else `rungs` in the user's cache folder.

    It may be deleted at any time.

    A user without a folder for caches has one among the temporary files.

    Raises:
        TaskError: when it can't be written.
    """
    base = os.environ.get("XDG_CACHE_HOME") or home() / ".cache"
    given = os.environ.get("RUNGS_CACHE")
    usual = Path(given or Path(base) / "rungs")
    if is_writable(usual):
        return usual
    if given:
        raise TaskError(f"RUNGS_CACHE must be a folder that can be written, got {given}")
    return _temporary_cache()


def _temporary_cache() -> Path:
    """A folder of this user alone: whoever can write it decides what is trained on."""
    folder = Path(tempfile.gettempdir()) / f"rungs-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700)
    if not is_writable(folder) or folder.lstat().st_uid != os.getuid():
        raise TaskError(
            f"neither ~/.cache nor {folder} can be written by this user alone: set RUNGS_CACHE to "
            "a folder",
        )
    return folder


def packed_tensor(files: Sequence[Path], read: Callable[[Path], np.ndarray], *, how: str) -> Tensor:
    """One row for each file, all of one shape and type, as a tensor mapped from a file: [N, ...].

    The files are read by several threads the first time; after that, as long as their names, sizes
    and times stay the same, the packed file is mapped, and the operating system shares its pages
    among the processes.

    Args:
        files: One for each row.
        read: Gives a file's row; raises `ValueError` or `OSError` for a file that can't be used.
        how: What decides how `read` reads (its settings, say), so that other settings give another
            packed file.

    Raises:
        TaskError: names each file that can't be used, or whose shape differs from the first one's.
    """
    target = packed_file(files, lambda path: _pack(files, read, path), how=how, ending=".npy")
    rows: np.ndarray = np.load(
        target, mmap_mode="c"
    )  # copy-on-write: PyTorch wants arrays that may be written
    return torch.from_numpy(rows)


def packed_file(
    files: Sequence[Path],
    write: Callable[[Path], object],
    *,
    how: str,
    ending: str,
) -> Path:
    """The file in the cache folder that `write` makes of other files, unless it was made before.

    Of several processes one writes it, and the others wait for it.

    Args:
        files: What it is made of; their names, sizes and times tell whether it was made before.
        write: Fills the path that it gets.
        how: What else decides its content.
        ending: Of its name.
    """
    target = cache_folder() / f"{_fingerprint(files, how)}{ending}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be packing the same
            if not target.exists():
                _remove_leftovers(target)
                write_atomically(target, write)
    return target


def _remove_leftovers(target: Path) -> None:
    """Free the disk of what a killed process had written so far."""
    for unfinished in target.parent.glob(f".{target.name}.*.tmp"):
        unfinished.unlink()


def _fingerprint(files: Sequence[Path], how: str) -> str:
    digest = hashlib.sha256(how.encode())
    for path in files:
        stat = path.stat()
        digest.update(
            f"\n{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode(
                "utf-8", "surrogateescape"
            )
        )
    return digest.hexdigest()[:32]


def _pack(files: Sequence[Path], read: Callable[[Path], np.ndarray], target: Path) -> None:
    first = _read_checked(files[0], read)
    if isinstance(first, str):
        raise TaskError(first)
    out = np.lib.format.open_memmap(
        target, mode="w+", dtype=first.dtype, shape=(len(files), *first.shape)
    )

    def fill(row: int) -> str | None:
        found = _read_checked(files[row], read)
        if isinstance(found, str):
            return found
        if found.shape != first.shape or found.dtype != first.dtype:
            return (
                f"{files[row]}: all must have the shape of {files[0].name}, {first.shape} "
                f"{first.dtype}, got {found.shape} {found.dtype}"
            )
        out[row] = found
        return None

    with ThreadPoolExecutor(usable_cpus() + WAITING_READERS) as pool:
        problems = [problem for problem in pool.map(fill, range(len(files))) if problem]
    out.flush()
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        raise TaskError(
            *problems[:SHOWN_PROBLEMS], *([f"and {more} more files"] if more > 0 else [])
        )


def _read_checked(path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray | str:
    try:
        return read(path)
    except (OSError, ValueError) as error:
        return f"{path}: {error}"
