"""What lies in a folder of data, and what of it is left out, so that the user is told."""

import os
from collections import Counter
from pathlib import Path


class LeftOut:
    """What was found in a data folder and is not read: counted by kind, told in one line.

    Args:
        root: The data folder; places are told as seen from there.
    """

    def __init__(self, root: Path):
        self._root = root
        self._kinds: dict[Path, str] = {}

    def add(self, path: Path, kind: str) -> None:
        """Note what is left out; a path counts once, however often it is met."""
        self._kinds.setdefault(path, kind)

    def warning(self) -> str | None:
        """The line for the user; None if nothing was left out."""
        if not self._kinds:
            return None
        counts = Counter(self._kinds.values()).items()
        texts = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts]
        first = os.fsencode(next(iter(self._kinds)).relative_to(self._root))
        place = first.decode(errors="backslashreplace")
        return f"data: left out {', '.join(texts)} (first: {place})"


def files_and_folders(folder: Path, left_out: LeftOut) -> tuple[list[Path], list[Path]]:
    """The files and the folders directly in a folder, each by name.

    Hidden ones are ignored: `.DS_Store`, and the `._x.jpg` that macOS puts beside an `x.jpg`. Links
    that lead nowhere and special files (pipes, sockets, devices) are noted.
    """
    files, folders = [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_file():
            files.append(path)
        elif path.is_dir():
            folders.append(path)
        else:
            left_out.add(path, "broken link" if path.is_symlink() else "special file")
    return files, folders
