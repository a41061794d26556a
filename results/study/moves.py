"""Paths that were written down, after what they belong to was moved or handed to somebody else."""

import os
from pathlib import Path
from typing import Any


def moved(value: Any, *, written_in: str | None, lies_in: Path) -> Any:
    """An absolute path as it is now, if its file was moved together with the folder that names it.

    Args:
        value: Anything; what is no absolute path stays as it is, and so does one that has nothing
            in the new place.
        written_in: Where the folder lay when the path was written down; None: that isn't known.
        lies_in: Where it lies now.
    """
    if written_in is None or not isinstance(value, str) or not Path(value).is_absolute():
        return value
    now = os.path.normpath(lies_in.resolve() / os.path.relpath(value, written_in))
    return now if Path(now).exists() else value


def moved_folders(
    paths: tuple[str, ...], *, written_in: str | None, lies_in: Path
) -> tuple[str, ...]:
    """Folders to import from, those in the new place before those in the old one."""
    pairs = ((moved(path, written_in=written_in, lies_in=lies_in), path) for path in paths)
    return tuple(dict.fromkeys(path for pair in pairs for path in pair))
