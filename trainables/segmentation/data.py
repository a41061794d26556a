"""Sequences of images with index labels, as a vehicle records them, split in time order.

```text
data.path/
  classes.yaml                            or classes.json: see segmentation_classes.py
  forest_1/images/1623370408-092005506.jpg
  forest_1/labels/1623370408-092005506.png
  forest_2/images/...
  splits/train.csv validation.csv test.csv    which image is in which split
```

A file's name holds the UNIX time of its recording: ten digits, and behind them (or behind `.`, `_`
or `-`) those of its decimal fraction. Labels are PNG or TIFF files of one channel, or with a
palette, whose values `classes.yaml` lists: 0 to 255, in as many bits as you like. `splits` is
written the first time (into the cache folder, if the data's folder can't be written) and used from
then on.

Shapes: N images, H height, W width.
"""

import csv
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from trainables.config import TaskError
from trainables.parts.data import SPLIT_NAMES, Splits, TensorSplit
from trainables.parts.images import how_read, image_files, read_image
from trainables.parts.left_out import LeftOut, files_and_folders
from trainables.parts.packing import SHOWN_PROBLEMS, cache_folder, packed_tensor
from trainables.segmentation.classes import Classes, LabelReader, read_classes

UNIX_TIME = re.compile(r"(?<!\d)(\d{10})(?:[._-]?(\d+))?")
LABEL_ENDINGS = (".png", ".tif", ".tiff")
SEQUENCE_FOLDERS = ("images", "labels")


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentationSplits(Splits):
    """Splits with their classes: `images` [N, 3, H, W] and `labels` [N, H, W], both bytes.

    Labels are train ids, or `IGNORED`.
    """

    classes: Classes


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One image with its label, and when it was taken (UNIX time in seconds)."""

    image: Path
    label: Path
    time: Decimal


@lru_cache(maxsize=4)
def recorded_sequences(path: Path, height: int, width: int) -> SegmentationSplits:
    """The sequences in a folder, 7:2:1 in time order; test images are read when they are asked for.

    Raises:
        TaskError: names each file that can't be used, or what the folder lacks.
    """
    reader = read_classes(path)
    left_out = LeftOut(path)
    split = split_frames(path, find_frames(path, left_out))

    def tensors(frames: Sequence[Frame]) -> TensorSplit:
        return TensorSplit(tensors=_packed_frames(frames, reader, height, width))

    return SegmentationSplits(
        train=tensors(split["train"]),
        validation=tensors(split["validation"]),
        test=lambda: tensors(split["test"]),
        classes=reader.classes,
        warning=left_out.warning(),
    )


def _packed_frames(
    frames: Sequence[Frame], reader: LabelReader, height: int, width: int
) -> dict[str, Tensor]:
    images, labels = [frame.image for frame in frames], [frame.label for frame in frames]
    image_of = dict(zip(labels, images, strict=True))
    stats = [
        (stat.st_size, stat.st_mtime_ns) for stat in map(Path.stat, images)
    ]  # labels are checked against images
    return {
        "images": packed_tensor(
            images,
            lambda path: read_image(path, height, width),
            how=how_read(height, width),
        ),
        "labels": packed_tensor(
            labels,
            lambda path: reader.read(path, image_of[path], height, width),
            how=f"labels 2, {height}x{width} by {reader.train_ids} of images {stats}",
        ),
    }


def find_frames(path: Path, left_out: LeftOut) -> list[Frame]:
    """Every image with its label and time, in time order; what else lies there is noted.

    Raises:
        TaskError: names each image without a label or a time, each label without an image, or that
            there are none.
    """
    if not path.is_dir():
        raise TaskError(f"{path}: must be a folder of sequences, each with images/ and labels/")
    folders = _sequence_folders(path, left_out)
    if not folders:
        raise TaskError(f"{path}: holds no sequence, which is a folder with images/ and labels/")
    problems: list[str] = []
    frames = [frame for folder in folders for frame in _sequence(folder, left_out, problems)]
    if not frames and not problems:
        raise TaskError(
            f"{path}: there is no image in the images/ of "
            f"{', '.join(folder.name for folder in folders)}"
        )
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        raise TaskError(
            *problems[:SHOWN_PROBLEMS], *([f"and {more} more files"] if more > 0 else [])
        )
    return sorted(frames, key=lambda frame: (frame.time, frame.image))


def _sequence_folders(path: Path, left_out: LeftOut) -> list[Path]:
    """The folders that have both images/ and labels/."""
    folders = files_and_folders(path, left_out)[1]
    whole = []
    for folder in folders:
        there = [(folder / name).is_dir() for name in SEQUENCE_FOLDERS]
        if all(there):
            whole.append(folder)
        elif any(there):
            left_out.add(folder, "incomplete sequence")
    return whole


def _sequence(folder: Path, left_out: LeftOut, problems: list[str]) -> list[Frame]:
    images, labels = (image_files(folder / name, left_out) for name in SEQUENCE_FOLDERS)
    labels = [label for label in labels if label.suffix.lower() in LABEL_ENDINGS]
    label_of = {label.stem: label for label in labels}
    twice = [label for label in labels if label != label_of[label.stem]]
    problems += [f"{label}: its image has two labels; remove one" for label in twice]
    frames = []
    for image in images:
        label, time = label_of.pop(image.stem, None), unix_time(image.stem)
        if label is None:
            problems.append(
                f"{image}: has no label of its own, {folder.name}/labels/{image.stem}.png"
            )
        elif time is None:
            problems.append(f"{image}: the name holds no UNIX time (ten digits)")
        else:
            frames.append(Frame(image=image, label=label, time=time))
    problems += [f"{label}: has no image in {folder.name}/images" for label in label_of.values()]
    return frames


def unix_time(name: str) -> Decimal | None:
    """The UNIX time in a file's name, in seconds; None if there is none."""
    found = UNIX_TIME.search(name)
    return Decimal(f"{found[1]}.{found[2] or 0}") if found else None


# Split lists --------------------------------------------------------------------------------------


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
    lists = {name: _read_list(folder / f"{name}.csv") for name in SPLIT_NAMES}
    listed = [image for images in lists.values() for image in images]
    twice, unknown = len(listed) - len(set(listed)), set(listed) - by_name.keys()
    left_out = by_name.keys() - set(listed)
    if twice or unknown or left_out or not all(lists.values()):
        raise TaskError(
            f"{folder}: the lists must hold every image exactly once, and none may be empty; "
            f"{len(left_out)} images are in none, {len(unknown)} entries are no image here, "
            f"{twice} entries repeat. "
            "Correct the lists, or delete that folder to have the images split anew in time order"
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


def _read_list(file: Path) -> list[str]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise TaskError(f"{file}: can't be read: {error}") from error
    if any(row.get("image") is None for row in rows):
        raise TaskError(f"{file}: must be a CSV list with the columns image and label")
    return [row["image"] for row in rows]
