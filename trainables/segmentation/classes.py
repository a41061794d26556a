"""Which classes pixels have, and how label files say so.

```yaml
classes:                                  # in the order of their train ids: the first is 0
  - {name: ground, grey: [1, 9], color: [108, 64, 20]}
  - {name: tree, grey: [4], color: [0, 102, 0]}
ignored: [0]                              # pixels with these grey values count nowhere
```

Shapes: H height, W width.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from search_spaces.problems import SpaceError
from search_spaces.strict_yaml import read_yaml
from trainables.config import TaskError
from trainables.segmentation.losses import IGNORED

GREY_VALUES = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Classes:
    """The classes that pixels have.

    Attributes:
        names: By train id.
        colors: By train id: red, green, blue, 0-255; for pictures.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelReader:
    """What turns the grey values of a label file into train ids.

    Attributes:
        classes: What the train ids mean.
        train_ids: By grey value: a train id, or `IGNORED`; -1 for a value that `source` doesn't
            list.
        source: The file that says so.
    """

    classes: Classes
    train_ids: tuple[int, ...]
    source: Path

    def read(self, path: Path, image: Path, height: int, width: int) -> np.ndarray:
        """A label file as train ids [H, W], resized by taking the nearest pixel.

        Raises:
            ValueError: when it can't be read, has another size than its image, or a grey value that
                is not listed.
        """
        grey_HW = read_grey(path)
        expected = upright_size(image)
        if grey_HW.shape != expected:
            raise ValueError(
                f"has {_size(grey_HW.shape)} pixels, but its image {image.name} has "
                f"{_size(expected)}"
            )
        outside = grey_HW[(grey_HW < 0) | (grey_HW >= GREY_VALUES)]
        if outside.size:
            raise ValueError(f"grey values must be from 0 to {GREY_VALUES - 1}, got {outside[0]}")
        ids_HW = np.array(self.train_ids)[grey_HW]
        if (ids_HW < 0).any():
            row, column = np.argwhere(ids_HW < 0)[0]
            raise ValueError(
                f"the grey value {grey_HW[row, column]} (row {row}, column {column}) is not in "
                f"{self.source.name}"
            )
        nearest = Image.fromarray(ids_HW.astype(np.uint8)).resize(
            (width, height), Image.Resampling.NEAREST
        )
        return np.asarray(nearest)


def read_grey(path: Path) -> np.ndarray:
    """The values of a one-channel image, or its palette's indices: [H, W], upright.

    Raises:
        ValueError: when the file is no such image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if len(image.getbands()) != 1 or image.mode == "F":
                raise ValueError(
                    f"a label must have one channel of whole numbers, got mode {image.mode}"
                )
            return np.asarray(ImageOps.exif_transpose(image)).astype(np.int64)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"can't be read as an image: {error}") from error


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of an image file, turned as its EXIF says; the pixels aren't read.

    Raises:
        ValueError: when the file is no image.
    """
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"its image {path.name} can't be read: {error}") from error


def _size(height_and_width: Sequence[int]) -> str:
    return f"{height_and_width[1]}x{height_and_width[0]}"


def read_classes(folder: Path) -> LabelReader:
    """What `classes.yaml` or `classes.json` in a folder says.

    Raises:
        TaskError: names the file and what is wrong with it.
    """
    files = [file for name in ("classes.yaml", "classes.json") if (file := folder / name).exists()]
    if len(files) != 1:
        raise TaskError(
            f"{folder}: must hold one of classes.yaml and classes.json, got "
            f"{'both' if files else 'none'}"
        )
    try:
        content = _read_mapping(files[0])
        entries, ignored = _entries(content), _grey_values(content.get("ignored", []), "ignored")
        return LabelReader(
            classes=Classes(names=_names(entries), colors=_colors(entries)),
            train_ids=_train_ids(entries, ignored),
            source=files[0],
        )
    except ValueError as error:
        raise TaskError(f"{files[0]}: {error}") from error


def _read_mapping(file: Path) -> dict[str, Any]:
    if file.suffix == ".yaml":
        try:
            return read_yaml(file)
        except SpaceError as error:
            raise ValueError("; ".join(error.problems)) from error
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("must hold an object with classes and ignored")
    return content


def _entries(content: dict[str, Any]) -> list[dict[str, Any]]:
    entries = content.get("classes")
    unknown = sorted(content.keys() - {"classes", "ignored"})
    if unknown:
        raise ValueError(f"has classes and ignored, got {', '.join(unknown)}")
    if not isinstance(entries, list) or not 2 <= len(entries) < IGNORED:
        raise ValueError(f"classes must list from 2 to {IGNORED - 1} classes")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"name", "grey"} <= entry.keys() <= {
            "name",
            "grey",
            "color",
        }:
            raise ValueError(
                f"class {number} must have name, grey and perhaps color, got {entry!r}"
            )
    return entries


def _grey_values(values: Any, what: str) -> list[int]:
    if not isinstance(values, list) or not all(
        type(v) is int and 0 <= v < GREY_VALUES for v in values
    ):
        raise ValueError(
            f"{what} must be a list of grey values from 0 to {GREY_VALUES - 1}, got {values!r}"
        )
    return values


def _train_ids(entries: list[dict[str, Any]], ignored: list[int]) -> tuple[int, ...]:
    train_ids = [-1] * GREY_VALUES
    rows = [
        (_grey_values(entry["grey"], f"grey of class {i}"), i) for i, entry in enumerate(entries)
    ]
    for values, train_id in [*rows, (ignored, IGNORED)]:
        for value in values:
            if train_ids[value] != -1:
                raise ValueError(f"the grey value {value} is listed twice")
            train_ids[value] = train_id
    return tuple(train_ids)


def _names(entries: list[dict[str, Any]]) -> tuple[str, ...]:
    names = tuple(entry["name"] for entry in entries)
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise ValueError(f"names must be texts that differ, got {', '.join(map(repr, names))}")
    return names


def _colors(entries: list[dict[str, Any]]) -> tuple[tuple[int, int, int], ...]:
    given = [entry.get("color") for entry in entries]
    for color in given:
        if color is not None and (len(_grey_values(color, "color")) != 3):
            raise ValueError(f"color must be red, green and blue, got {color!r}")
    return tuple(
        default if color is None else tuple(color)
        for color, default in zip(given, palette(), strict=False)
    )


def palette() -> list[tuple[int, int, int]]:
    """Different colors for 256 train ids, by Pascal VOC: the id's bits go to all channels."""
    colors = []
    for train_id in range(GREY_VALUES):
        channels = [
            sum((train_id >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
            for channel in range(3)
        ]
        colors.append((channels[0], channels[1], channels[2]))
    return colors
