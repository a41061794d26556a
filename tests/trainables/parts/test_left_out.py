"""Proves that what a folder holds is read, ignored or told, each once: pytest tests/trainables."""

import os
from pathlib import Path

import pytest

from trainables.parts.left_out import LeftOut, files_and_folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, a folder, links to all of them and to nowhere, and hidden ones of every kind."""
    path = tmp_path / "data 'Ω'"
    path.mkdir()
    for name in ("b.jpg", "a.jpg", "._a.jpg", ".DS_Store"):
        (path / name).touch()
    for name in ("old", ".hidden"):
        (path / name).mkdir()
    targets = {
        "c.jpg": "a.jpg",
        "new": "old",
        "gone.jpg": "nowhere",
        ".gone.jpg": "nowhere",
        "x.jpg": "x.jpg",
    }
    for name, target in targets.items():
        (path / name).symlink_to(path / target)
    os.mkfifo(path / "pipe.jpg")
    return path


def test_files_and_folders_come_by_name_links_among_them_and_nothing_hidden(folder: Path) -> None:
    files, folders = files_and_folders(folder, LeftOut(folder))
    assert [path.name for path in files] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [path.name for path in folders] == ["new", "old"]


def test_links_to_nowhere_and_special_files_are_told_once(folder: Path) -> None:
    left_out = LeftOut(folder.parent)
    assert left_out.warning() is None
    for _ in range(2):
        files_and_folders(folder, left_out)
    told = "data: left out 2 broken links, 1 special file (first: data 'Ω'/gone.jpg)"
    assert left_out.warning() == told


def test_a_name_that_is_no_text_can_be_told(tmp_path: Path) -> None:
    left_out = LeftOut(tmp_path)
    left_out.add(tmp_path / os.fsdecode(b"caf\xe9"), "sub-folder")
    assert left_out.warning() == r"data: left out 1 sub-folder (first: caf\xe9)"
