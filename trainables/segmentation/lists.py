"""Lists that say which image has which label and is in which split: the user's own, or ours."""

import csv
import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainables.config import TaskError
from trainables.parts.data import SPLIT_NAMES
from trainables.parts.packing import SHOWN_PROBLEMS, cache_folder

LIST_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
LIST_COLUMNS = (("image", "label"), ("im_path", "label_path"))
"""Names of the two columns that are read; the second pair is that of WildScenes' own lists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One image with its label."""

    image: Path
    label: Path


def first_problems(problems: Sequence[str]) -> list[str]:
    """As many as a message shows, and how many more there are."""
    more = len(problems) - SHOWN_PROBLEMS
    return [*problems[:SHOWN_PROBLEMS], *([f"and {more} more files"] if more > 0 else [])]


# Lists of the user's own --------------------------------------------------------------------------


def listed_frames(lists: Path, path: Path) -> dict[str, list[Frame]]:
    """The frames of each split as the user's own CSV lists say.

    Args:
        lists: The folder with `train.csv`, `validation.csv` (or `valid.csv`, `val.csv`) and
            `test.csv`, whose columns `image` and `label` (or `im_path` and `label_path`) are paths.
        path: The folder of the data. Paths of another machine are found by as much of their end as
            is there.

    Raises:
        TaskError: names a list that is missing, empty or can't be read, each file that isn't there,
            and an image that is listed twice: one that a model learned from can't judge it.
    """
    split: dict[str, list[Frame]] = {}
    problems: list[str] = []
    for name in SPLIT_NAMES:
        file = _own_list(lists, name)
        rows = [[_found(end, path, file, problems) for end in row] for row in _rows(file)]
        split[name] = [Frame(image=image, label=label) for image, label in rows]
        if not rows:
            problems.append(f"{file}: lists no image")
    if problems:
        raise TaskError(*first_problems(problems))
    _refuse_repeats(lists, split)
    return split


def _own_list(lists: Path, name: str) -> Path:
    files = [file for each in LIST_NAMES[name] if (file := lists / f"{each}.csv").is_file()]
    if len(files) != 1:
        wanted = " or ".join(f"{each}.csv" for each in LIST_NAMES[name])
        got = " and ".join(file.name for file in files) or "none"
        raise TaskError(f"{lists}: must hold one list {wanted}, got {got}")
    return files[0]


def _found(written: str, path: Path, file: Path, problems: list[str]) -> Path:
    """The file that a list means: below `path`, by as much of its end as is there."""
    parts = PurePosixPath(written.replace("\\", "/")).parts
    ends = (path.joinpath(*parts[start:]) for start in range(len(parts)))
    found = next((end for end in ends if end.is_file()), None)
    if found is None:
        problems.append(f"{file}: no such file in {path}: {written}")
    return found or path


def _refuse_repeats(lists: Path, split: dict[str, list[Frame]]) -> None:
    counts = Counter(frame.image for frames in split.values() for frame in frames)
    repeated = sorted(image for image, count in counts.items() if count > 1)
    if repeated:
        raise TaskError(
            f"{lists}: no image may be listed twice, as one that a model learned from can't judge "
            f"it; {len(repeated)} are, the first is {repeated[0]}"
        )


# Split lists in the data's folder -----------------------------------------------------------------


def split_frames(path: Path, frames: Sequence[Frame]) -> dict[str, list[Frame]]:
    """The frames of each split as the lists in the data's folder say.

    If there are none, 7:2:1 in time order.

    Raises:
        TaskError: when lists that are there aren't of these frames, or there are too few frames to
            split.
    """
    by_name = {frame.image.relative_to(path).as_posix(): frame for frame in frames}
    folder = lists_folder(path)
    if not folder.exists():
        _write_lists(folder, path, time_ordered(frames))
    lists = {name: [image for image, _ in _rows(folder / f"{name}.csv")] for name in SPLIT_NAMES}
    listed = [image for images in lists.values() for image in images]
    twice, unknown = len(listed) - len(set(listed)), set(listed) - by_name.keys()
    left_out = by_name.keys() - set(listed)
    if twice or unknown or left_out or not all(lists.values()):
        raise TaskError(
            f"{folder}: the lists must hold every image exactly once, and none may be empty; "
            f"{len(left_out)} images are in none, {len(unknown)} entries are no image here, "
            f"{twice} entries repeat. "
            "Correct the lists, or delete that folder to have the images split anew in time order, "
            "or move it elsewhere and name it as data.lists: those may leave images out"
        )
    return {name: [by_name[image] for image in images] for name, images in lists.items()}


def time_ordered(frames: Sequence[Frame]) -> dict[str, Sequence[Frame]]:
    """Frames in time order cut 7:2:1: the earliest are for training.

    Raises:
        TaskError: when a split would be empty.
    """
    first, second = len(frames) * 7 // 10, len(frames) * 9 // 10
    parts = (frames[:first], frames[first:second], frames[second:])
    if not all(parts):
        raise TaskError(
            f"{len(frames)} images are too few to be split 7:2:1; at least 4 are needed"
        )
    return dict(zip(SPLIT_NAMES, parts, strict=True))


def lists_folder(path: Path) -> Path:
    """Where the split lists of a data folder are: in it, or in the cache if it can't be written."""
    inside = path / "splits"
    if inside.exists() or os.access(path, os.W_OK):
        return inside
    return cache_folder() / f"splits-{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}"


def _write_lists(folder: Path, path: Path, split: dict[str, Sequence[Frame]]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, frames in split.items():
            with (unfinished / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                rows = [
                    [part.relative_to(path).as_posix() for part in (frame.image, frame.label)]
                    for frame in frames
                ]
                csv.writer(file).writerows([["image", "label"], *rows])
        unfinished.chmod(0o755)
        unfinished.rename(folder)
        for left in folder.parent.glob(
            f".{folder.name}-*"
        ):  # by one that was killed, or is too late
            shutil.rmtree(left, ignore_errors=True)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _rows(file: Path) -> list[tuple[str, str]]:
    """The image and the label of each row of a CSV list."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise TaskError(f"{file}: can't be read: {error}") from error
    for image, label in LIST_COLUMNS:
        if all(row.get(image) and row.get(label) for row in rows):
            return [(row[image], row[label]) for row in rows]
    raise TaskError(f"{file}: must be a CSV list with the columns image and label")
