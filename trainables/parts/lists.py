"""Samples as a list names them: CSV or Parquet, one row each; and where each split has its own."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.config import TaskError
from trainables.parts.packing import SHOWN_PROBLEMS

LIST_ENDINGS = (".csv", ".parquet")
SPELLINGS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}


@dataclass(frozen=True, kw_only=True)
class SampleList:
    """What a list says of its samples.

    Attributes:
        files: Where each one is.
        labels: The name of each one's class; empty for a list without the column.
        groups: Each one's group; None where the list says nothing of it.
    """

    files: list[Path]
    labels: list[str]
    groups: list[str | None]


def is_list(path: Path) -> bool:
    """Whether a path is a file with the ending of a list."""
    return path.suffix.lower() in LIST_ENDINGS and path.is_file()


def split_paths(folder: Path, endings: Sequence[str] = ("",)) -> dict[str, Path]:
    """Where in a folder each split has a file with one of these endings, or with "" a folder.

    They are called train, val or validation, and test.

    Raises:
        TaskError: when a split is there twice.
    """
    found: dict[str, Path] = {}
    for split, spellings in SPELLINGS.items():
        places = [folder / f"{name}{ending}" for name in spellings for ending in endings]
        there = [place for place in places if (place.is_file() if place.suffix else place.is_dir())]
        if len(there) > 1:
            names = " and ".join(place.name for place in there)
            raise TaskError(f"{folder}: has both {names}; remove one")
        if there:
            found[split] = there[0]
    return found if "train" in found else {}


def read_list(path: Path, column: str, *, labelled: bool) -> SampleList:
    """The samples of a list.

    Its columns are `column`, which names each one's file as seen from the list's folder, `label`,
    and `group` if samples belong together.

    Raises:
        TaskError: when it can't be read, or names what is missing.
    """
    rows = list(read_table(path))
    needed = (column, "label") if labelled else (column,)
    problems = [
        f"{path}:{number}: must have {' and '.join(needed)}, got {', '.join(row) or 'nothing'}"
        for number, row in enumerate(rows, start=1)
        if not row.keys() >= set(needed)
    ]
    files = [path.parent / str(row.get(column)) for row in rows]
    problems = problems or [f"{path}: {file}: no such file" for file in files if not file.is_file()]
    if problems or not rows:
        raise TaskError(*(problems[:SHOWN_PROBLEMS] or [f"{path}: lists nothing"]))
    return SampleList(
        files=files,
        labels=[str(row["label"]) for row in rows] if labelled else [],
        groups=[str(row["group"]) if "group" in row else None for row in rows],
    )


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file (all texts) or a Parquet file (its own types), without empty values.

    Raises:
        TaskError: when it can't be read.
    """
    read = _csv_rows if path.suffix.lower() == ".csv" else _parquet_rows
    try:
        for row in read(path):
            yield {key: value for key, value in row.items() if value not in (None, "")}
    except (OSError, ValueError, csv.Error) as error:
        raise TaskError(f"{path}: can't be read: {error}") from error


def _csv_rows(path: Path) -> Iterator[dict[Any, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as lines:
        for row in csv.DictReader(lines, strict=True):
            if None in row:
                raise ValueError("a row has more values than there are columns")
            yield row


def _parquet_rows(path: Path) -> Iterator[dict[Any, Any]]:
    import pyarrow.parquet as parquet

    for batch in parquet.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()
