"""Pascal-VOC annotations: an XML file for each image, with a box and a name for each object.

Shapes: K boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import torch
from torch import Tensor

from trainables.config import TaskError

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Annotation:
    """The objects in an image."""

    image: str
    """The image's file name, as the annotation has it."""
    boxes: Tensor
    """[K, 4]: left, top, right, bottom in pixels, as in the file."""
    labels: Tensor
    """[K]: the number of each object's class."""
    difficult: Tensor
    """[K]: whether an object is marked as too hard to be counted."""


def read_voc(path: Path, classes: Sequence[str]) -> Annotation:
    """An annotation in the format of http://host.robots.ox.ac.uk/pascal/VOC/.

    VOC counts pixels from 1, programs that write its format from 0: numbers are left as they are.

    Args:
        path: The XML file.
        classes: Their names; an object's label is its place among them.

    Raises:
        TaskError: names the file, and the object whose class or box can't be used.
    """
    root = _root(path)
    objects = root.findall("object")
    width, height = _image_size(root)
    try:
        boxes = [_box(element, width, height) for element in objects]
        labels = [_label(element, classes) for element in objects]
    except ValueError as error:
        raise TaskError(f"{path}: {error}") from error
    return Annotation(
        image=(root.findtext("filename") or "").strip(),
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long),
        difficult=torch.tensor([_text(element, "difficult") == "1" for element in objects]).bool(),
    )


def _root(path: Path) -> ElementTree.Element:
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise TaskError(f"{path}: must have no DOCTYPE: annotations need none, attacks do")
        root = ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError) as error:
        raise TaskError(f"{path}: can't be read as XML: {error}") from error
    if root.tag != "annotation":
        raise TaskError(f"{path}: must be a Pascal-VOC <annotation>, got <{root.tag}>")
    return root


def _image_size(root: ElementTree.Element) -> tuple[float, float]:
    """Width and height; some programs write 0 when they don't know."""
    texts = (root.findtext(f"size/{name}", "").strip() for name in ("width", "height"))
    width, height = (int(text) if text.isdecimal() else 0 for text in texts)
    return width or float("inf"), height or float("inf")


def _box(element: ElementTree.Element, width: float, height: float) -> list[float]:
    texts = [_text(element, f"bndbox/{name}") for name in CORNERS]
    try:
        left, top, right, bottom = map(float, texts)
    except ValueError:
        raise ValueError(
            f"{_named(element)} must have numbers for {CORNERS}, got {texts}"
        ) from None
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        rule = "must have 0 <= xmin < xmax <= width and 0 <= ymin < ymax <= height"
        raise ValueError(f"{_named(element)} {rule}, got {texts}")
    return [left, top, right, bottom]


def _label(element: ElementTree.Element, classes: Sequence[str]) -> int:
    name = _text(element, "name")
    if name not in classes:
        raise ValueError(f"an object's name must be one of {', '.join(classes)}, got {name!r}")
    return classes.index(name)


def _named(element: ElementTree.Element) -> str:
    return f"the box of {_text(element, 'name') or 'an object'}"


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
