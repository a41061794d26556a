"""Proves that lists are read as CSV and Parquet, or refused with the row.

pytest tests/trainables/parts/test_lists.py
"""

import csv
import re
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
import pytest

from trainables.config import TaskError
from trainables.parts.lists import read_list, split_paths

ROWS: list[dict[str, Any]] = [
    {"image": "a.png", "label": "cat", "group": "s1"},
    {"image": "in/b.png", "label": "7", "group": None},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "list 'Ω'"
    (folder / "in").mkdir(parents=True)
    (folder / "a.png").touch()
    (folder / "in" / "b.png").touch()
    return folder


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_list_names_files_labels_and_groups(ending: str, folder: Path) -> None:
    found = read_list(write(folder / f"list{ending}", ROWS), "image", labelled=True)
    assert found.files == [folder / "a.png", folder / "in" / "b.png"]
    assert found.labels == ["cat", "7"]
    assert found.groups == ["s1", None]


def test_numbers_may_be_labels(folder: Path) -> None:
    rows = [{"image": "a.png", "label": 3}, {"image": "in/b.png", "label": 0}]
    found = read_list(write(folder / "list.parquet", rows), "image", labelled=True)
    assert (found.labels, found.groups) == (["3", "0"], [None, None])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([*ROWS, {"image": "c.png", "label": "cat"}], "{list}: {folder}/c.png: no such file"),
        (
            [*ROWS, {"image": "a.png", "label": ""}],
            "{list}:3: must have image and label, got image",
        ),
        (
            [{"file": "a.png", "label": "cat"}],
            "{list}:1: must have image and label, got file, label",
        ),
    ],
)
def test_what_a_list_lacks_is_told(rows: list[dict[str, Any]], told: str, folder: Path) -> None:
    path = write(folder / "list.csv", rows)
    with pytest.raises(TaskError, match=re.escape(told.format(list=path, folder=folder))):
        read_list(path, "image", labelled=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", b"image,label\na.png,cat,more\n"),
        ("list.csv", b"\xff\xfe"),
        ("list.parquet", b"image,label\n"),
    ],
)
def test_what_is_no_table_is_told(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(TaskError, match=f"{name}: can't be read: "):
        read_list(folder / name, "image", labelled=True)


def test_an_empty_list_is_told(folder: Path) -> None:
    (folder / "list.csv").write_text("image,label\n")
    with pytest.raises(TaskError, match=r"list\.csv: lists nothing"):
        read_list(folder / "list.csv", "image", labelled=True)


def test_splits_are_found_by_their_names(folder: Path) -> None:
    assert split_paths(folder) == {}
    for name in ("train.csv", "validation.parquet", "test.txt"):
        (folder / name).touch()
    found = split_paths(folder, (".csv", ".parquet"))
    assert found == {
        "train": folder / "train.csv",
        "validation": folder / "validation.parquet",
    }
    (folder / "val.csv").touch()
    with pytest.raises(TaskError, match=r"has both val\.csv and validation\.parquet; remove one"):
        split_paths(folder, (".csv", ".parquet"))
