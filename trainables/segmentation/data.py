"""Sequences of images with index or color labels, as a vehicle records them.

```text
data.path/
  classes.yaml                            or classes.json: see classes.py
  V-01/images/1623370408-092005506.jpg
  V-01/labels/1623370408-092005506.png
  V-02/images/...
  splits/train.csv validation.csv test.csv    which image is in which split
```

All sequences are laid together and split in time order. A file's name holds the UNIX time of its
recording: ten digits, and behind them (or behind `.`, `_` or `-`) those of its decimal fraction.
Labels are PNG or TIFF files of one channel, with a palette, or RGB, whose values `classes.yaml`
lists. `splits` is written the first time (into the cache folder, if the data's folder can't be
written) and used from then on.

Or CSV lists of your own say which image has which label and is in which split.

Shapes: N images, H height, W width.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Literal

from torch import Tensor

from trainables.config import TaskError
from trainables.parts.data import Splits, TensorSplit
from trainables.parts.images import how_read, image_files, read_image
from trainables.parts.left_out import LeftOut, files_and_folders
from trainables.parts.packing import packed_tensor
from trainables.segmentation.classes import WILDSCENES, Classes, LabelReader, read_classes
from trainables.segmentation.lists import Frame, first_problems, listed_frames, split_frames

UNIX_TIME = re.compile(r"(?<!\d)(\d{10})(?:[._-]?(\d+))?")
LABEL_ENDINGS = (".png", ".tif", ".tiff")

ClassSource = Literal["folder", "wildscenes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentationSplits(Splits):
    """Splits with their classes: `images` [N, 3, H, W] and `labels` [N, H, W], both bytes.

    Labels are train ids, or `IGNORED`. Validation and test may have the labels at their own size
    too, as `own_labels`.
    """

    classes: Classes


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How sequences lie in a folder.

    Attributes:
        path: The folder.
        images: Name of each sequence's folder of images.
        labels: Name of its folder of labels.
        classes: Whether `path` has a class file, or the one of WildScenes holds.
        lists: A folder of CSV lists; None: those in `path`, which are written the first time.
    """

    path: Path
    images: str = "images"
    labels: str = "labels"
    classes: ClassSource = "folder"
    lists: Path | None = None

    @property
    def folders(self) -> tuple[str, str]:
        """The names of the two folders of a sequence."""
        return self.images, self.labels

    @property
    def described(self) -> str:
        """What a sequence is, for messages."""
        return f"{self.images}/ and {self.labels}/"


@lru_cache(maxsize=4)
def recorded_sequences(
    layout: Layout, height: int, width: int, *, own_size: bool = False
) -> SegmentationSplits:
    """The sequences in a folder, split; test images are read when they are asked for.

    Args:
        layout: Where they lie.
        height: Of images and labels.
        width: The same.
        own_size: Whether validation and test also have the labels at their own size.

    Raises:
        TaskError: names each file that can't be used, or what the folder lacks.
    """
    reader = read_classes(WILDSCENES if layout.classes == "wildscenes" else layout.path)
    left_out = LeftOut(layout.path)
    if layout.lists:
        split = listed_frames(layout.lists, layout.path)
    else:
        split = split_frames(layout.path, find_frames(layout, left_out))

    def part(name: str) -> TensorSplit:
        tensors = _packed_frames(split[name], reader, height, width)
        if own_size and name != "train":
            tensors["own_labels"] = _own_labels(split[name], reader)
        return TensorSplit(tensors=tensors)

    return SegmentationSplits(
        train=part("train"),
        validation=part("validation"),
        test=lambda: part("test"),
        classes=reader.classes,
        warning=left_out.warning(),
    )


def _packed_frames(
    frames: Sequence[Frame], reader: LabelReader, height: int, width: int
) -> dict[str, Tensor]:
    image_of = {frame.label: frame.image for frame in frames}
    return {
        "images": packed_tensor(
            [frame.image for frame in frames],
            lambda path: read_image(path, height, width),
            how=how_read(height, width),
        ),
        "labels": packed_tensor(
            [frame.label for frame in frames],
            lambda path: reader.read(path, image_of[path], height, width),
            how=_how_labels_are_read(f"{height}x{width}", reader, frames),
        ),
    }


def _own_labels(frames: Sequence[Frame], reader: LabelReader) -> Tensor:
    """The labels at their own size [N, H, W], which all must have in common."""
    image_of = {frame.label: frame.image for frame in frames}
    return packed_tensor(
        [frame.label for frame in frames],
        lambda path: reader.read_whole(path, image_of[path]),
        how=_how_labels_are_read("own size", reader, frames),
    )


def _how_labels_are_read(size: str, reader: LabelReader, frames: Sequence[Frame]) -> str:
    """For `packed_tensor`; labels are checked against their images."""
    stats = [(stat.st_size, stat.st_mtime_ns) for stat in (frame.image.stat() for frame in frames)]
    return f"labels 3, {size} by {reader.greys} and {reader.colors} of images {stats}"


# Sequences ----------------------------------------------------------------------------------------


def find_frames(layout: Layout, left_out: LeftOut) -> list[Frame]:
    """Every image of all sequences with its label, in time order; what else lies there is noted.

    Raises:
        TaskError: names each image without a label or a time, each label without an image, or that
            there are none.
    """
    path = layout.path
    if not path.is_dir():
        raise TaskError(f"{path}: must be a folder of sequences, each with {layout.described}")
    folders = _sequence_folders(layout, left_out)
    if not folders:
        raise TaskError(
            f"{path}: holds no sequence, which is a folder with {layout.described}; "
            "data.image_folder and data.label_folder say what they are called"
        )
    problems: list[str] = []
    frames: list[Frame] = []
    for folder in folders:
        frames += _sequence(folder, layout, left_out, problems)
    if not frames and not problems:
        raise TaskError(
            f"{path}: there is no image in the {layout.images}/ of "
            f"{', '.join(folder.name for folder in folders)}"
        )
    if problems:
        raise TaskError(*first_problems(problems))
    return sorted(frames, key=lambda frame: (unix_time(frame.image.stem) or 0, frame.image))


def _sequence_folders(layout: Layout, left_out: LeftOut) -> list[Path]:
    """The folders that have both images and labels; if none has, the path itself may."""

    def there(folder: Path) -> list[bool]:
        return [(folder / name).is_dir() for name in layout.folders]

    folders = files_and_folders(layout.path, left_out)[1]
    for folder in folders:
        if any(there(folder)) and not all(there(folder)):
            left_out.add(folder, "incomplete sequence")
    whole = [folder for folder in folders if all(there(folder))]
    return whole or [folder for folder in [layout.path] if all(there(folder))]


def _sequence(folder: Path, layout: Layout, left_out: LeftOut, problems: list[str]) -> list[Frame]:
    images, labels = (image_files(folder / name, left_out) for name in layout.folders)
    labels = [label for label in labels if label.suffix.lower() in LABEL_ENDINGS]
    label_of = {label.stem: label for label in labels}
    twice = [label for label in labels if label != label_of[label.stem]]
    problems += [f"{label}: its image has two labels; remove one" for label in twice]
    frames = []
    for image in images:
        label = label_of.pop(image.stem, None)
        if label is None:
            wanted = f"{folder.name}/{layout.labels}/{image.stem}.png"
            problems.append(f"{image}: has no label of its own, {wanted}")
        elif unix_time(image.stem) is None:
            problems.append(f"{image}: the name holds no UNIX time (ten digits)")
        else:
            frames.append(Frame(image=image, label=label))
    problems += [
        f"{label}: has no image in {folder.name}/{layout.images}" for label in label_of.values()
    ]
    return frames


def unix_time(name: str) -> Decimal | None:
    """The UNIX time in a file's name, in seconds; None if there is none."""
    found = UNIX_TIME.search(name)
    return Decimal(f"{found[1]}.{found[2] or 0}") if found else None
