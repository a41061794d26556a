"""Which classes pixels have, and how label files say so.

```yaml
classes:                                  # in the order of their train ids: the first is 0
  - {name: ground, grey: [1, 9], color: [108, 64, 20]}
  - {name: tree, grey: [4], color: [[0, 102, 0], [0, 128, 0]]}
ignored: [0, [0, 0, 0]]                   # pixels with this grey value or color count nowhere
```

Label files of one channel, or with a palette, are read by their grey values; RGB files by their
colors. A class needs either, or both; of several colors pictures show the first.

Shapes: H height, W width.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from search_spaces.problems import SpaceError
from search_spaces.strict_yaml import read_yaml
from trainables.config import TaskError
from trainables.segmentation.losses import IGNORED

WILDSCENES = Path(__file__).with_name("wildscenes.yaml")
"""The classes of WildScenes."""
GREY_VALUES = 256
COLORS = 256**3
COLOR_PLACES = np.array([256**2, 256, 1])
UNLISTED = IGNORED - 1
"""Stands for what a class file doesn't list; no train id is as large."""

Color = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Classes:
    """The classes that pixels have.

    Attributes:
        names: By train id.
        colors: By train id: red, green, blue, 0-255; for pictures.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelReader:
    """What turns the values of a label file into train ids.

    Attributes:
        classes: What the train ids mean.
        greys: By grey value: a train id, or `IGNORED`.
        colors: The same by color, which is one number: red x 65536 + green x 256 + blue.
        source: The file that says so.
    """

    classes: Classes
    greys: Mapping[int, int]
    colors: Mapping[int, int]
    source: Path

    def read(self, path: Path, image: Path, height: int, width: int) -> np.ndarray:
        """A label file as train ids [height, width], resized by taking the nearest pixel.

        Raises:
            ValueError: as `read_whole`.
        """
        whole = Image.fromarray(self.read_whole(path, image))
        return np.asarray(whole.resize((width, height), Image.Resampling.NEAREST))

    def read_whole(self, path: Path, image: Path) -> np.ndarray:
        """A label file as train ids [H, W], at its own size.

        Raises:
            ValueError: when it can't be read, has another size than its image, or a value that is
                not listed.
        """
        values = read_label(path)
        expected = upright_size(image)
        if values.shape[:2] != expected:
            raise ValueError(
                f"has {_size(values.shape)} pixels, but its image {image.name} has "
                f"{_size(expected)}"
            )
        if values.ndim == 3:
            ids_HW = _train_ids(values @ COLOR_PLACES, self.colors, COLORS)
        else:
            ids_HW = _train_ids(_in_range(values), self.greys, GREY_VALUES)
        if (ids_HW == UNLISTED).any():
            row, column = np.argwhere(ids_HW == UNLISTED)[0]
            raise ValueError(
                f"{_described(values[row, column])} (row {row}, column {column}) is not in "
                f"{self.source.name}"
            )
        return ids_HW


def read_label(path: Path) -> np.ndarray:
    """The values of a label file, upright: [H, W], or [H, W, 3] of one that is RGB.

    Of a palette they are its indices.

    Raises:
        ValueError: when the file is no such image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode != "RGB" and (len(image.getbands()) != 1 or image.mode == "F"):
                raise ValueError(
                    "a label must have one channel of whole numbers or be RGB, got mode "
                    f"{image.mode}"
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


def _in_range(greys_HW: np.ndarray) -> np.ndarray:
    outside = greys_HW[(greys_HW < 0) | (greys_HW >= GREY_VALUES)]
    if outside.size:
        raise ValueError(f"grey values must be from 0 to {GREY_VALUES - 1}, got {outside[0]}")
    return greys_HW


def _train_ids(values_HW: np.ndarray, listed: Mapping[int, int], count: int) -> np.ndarray:
    """Bytes: train ids, `IGNORED`, and `UNLISTED` for values that are not listed."""
    table = np.full(count, UNLISTED, dtype=np.uint8)
    table[list(listed)] = list(listed.values())
    return table[values_HW]


def _described(value: np.ndarray) -> str:
    return f"the color {value.tolist()}" if value.ndim else f"the grey value {value}"


def _size(height_and_width: Sequence[int]) -> str:
    return f"{height_and_width[1]}x{height_and_width[0]}"


# Class files --------------------------------------------------------------------------------------


def read_classes(path: Path) -> LabelReader:
    """What a class file says, or `classes.yaml` or `classes.json` in a folder.

    Raises:
        TaskError: names the file and what is wrong with it.
    """
    file = path if path.is_file() else _class_file(path)
    try:
        content = _read_mapping(file)
        entries, ignored = _entries(content), content.get("ignored", [])
        if not isinstance(ignored, list):
            raise ValueError(f"ignored must be a list of grey values and colors, got {ignored!r}")
        return LabelReader(
            classes=Classes(names=_names(entries), colors=_shown_colors(entries)),
            greys=_greys(entries, ignored),
            colors=_colors(entries, ignored),
            source=file,
        )
    except ValueError as error:
        raise TaskError(f"{file}: {error}") from error


def _class_file(folder: Path) -> Path:
    files = [file for name in ("classes.yaml", "classes.json") if (file := folder / name).exists()]
    if len(files) != 1:
        raise TaskError(
            f"{folder}: must hold one of classes.yaml and classes.json, got "
            f"{'both' if files else 'none'}"
        )
    return files[0]


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
    if not isinstance(entries, list) or not 2 <= len(entries) <= UNLISTED:
        raise ValueError(f"classes must list from 2 to {UNLISTED} classes")
    for number, entry in enumerate(entries):
        if (
            not isinstance(entry, dict)
            or not entry.keys() <= {"name", "grey", "color"}
            or "name" not in entry
            or len(entry) < 2
        ):
            raise ValueError(
                f"class {number} must have name, and grey or color or both, got {entry!r}"
            )
    return entries


def _greys(entries: list[dict[str, Any]], ignored: list[Any]) -> dict[int, int]:
    """Train ids by grey value."""
    rows = [
        (_bytes(entry.get("grey", []), f"grey of class {train_id}"), train_id)
        for train_id, entry in enumerate(entries)
    ]
    rows.append((_bytes([v for v in ignored if not isinstance(v, list)], "ignored"), IGNORED))
    return _listed(rows, "grey value")


def _colors(entries: list[dict[str, Any]], ignored: list[Any]) -> dict[int, int]:
    """Train ids by color, as one number."""
    rows = [(_own_colors(entry), train_id) for train_id, entry in enumerate(entries)]
    rows.append(([_color(value) for value in ignored if isinstance(value, list)], IGNORED))
    by_color = _listed(rows, "color")
    return {int(np.dot(color, COLOR_PLACES)): train_id for color, train_id in by_color.items()}


def _listed(rows: Iterable[tuple[Iterable[Any], int]], what: str) -> dict[Any, int]:
    listed: dict[Any, int] = {}
    for values, train_id in rows:
        for value in values:
            if value in listed:
                raise ValueError(f"the {what} {value} is listed twice")
            listed[value] = train_id
    return listed


def _bytes(values: Any, what: str) -> list[int]:
    if not isinstance(values, list) or not all(
        type(v) is int and 0 <= v < GREY_VALUES for v in values
    ):
        raise ValueError(
            f"{what} must be a list of grey values from 0 to {GREY_VALUES - 1}, got {values!r}"
        )
    return values


def _own_colors(entry: dict[str, Any]) -> list[Color]:
    """The colors of a class: none, the one that is given, or several."""
    if "color" not in entry:
        return []
    given = entry["color"]
    several = isinstance(given, list) and any(isinstance(value, list) for value in given)
    return [_color(value) for value in given] if several else [_color(given)]


def _color(value: Any) -> Color:
    channels = _bytes(value, "color")
    if len(channels) != 3:
        raise ValueError(f"color must be red, green and blue, got {value!r}")
    return channels[0], channels[1], channels[2]


def _names(entries: list[dict[str, Any]]) -> tuple[str, ...]:
    names = tuple(entry["name"] for entry in entries)
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise ValueError(f"names must be texts that differ, got {', '.join(map(repr, names))}")
    return names


def _shown_colors(entries: list[dict[str, Any]]) -> tuple[Color, ...]:
    return tuple(
        (_own_colors(entry) or [default])[0]
        for entry, default in zip(entries, palette(), strict=False)
    )


def palette() -> list[Color]:
    """Different colors for 256 train ids, by Pascal VOC: the id's bits go to all channels."""
    colors = []
    for train_id in range(GREY_VALUES):
        channels = [
            sum((train_id >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
            for channel in range(3)
        ]
        colors.append((channels[0], channels[1], channels[2]))
    return colors
