"""Labelled images from one folder for each class.

Shapes: N samples, H height, W width (always equal).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from trainables.config import TaskError
from trainables.parts.data import Splits, TensorSplit, balanced_weights, stratified_split
from trainables.parts.images import IMAGE_ENDINGS, how_read, image_files, is_image, read_image
from trainables.parts.left_out import LeftOut, files_and_folders
from trainables.parts.packing import packed_tensor

SPLIT_FOLDERS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSplits(Splits):
    """Splits of labelled images.

    Each split's tensors: `images` [N, 3, H, W] (bytes), `labels` [N] (class), `positive` [N]
    (whether that is the positive class).

    Attributes:
        classes: Their names, by number.
        positive: The number of the one class that is looked for, if there is one.
    """

    classes: tuple[str, ...]
    positive: int | None


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """Files and the class of each.

    Attributes:
        files: The images.
        labels: The number of each one's class.
    """

    files: list[Path]
    labels: list[int]

    def __getitem__(self, rows: Sequence[int]) -> "ImageFiles":
        return ImageFiles(
            files=[self.files[row] for row in rows], labels=[self.labels[row] for row in rows]
        )

    def __add__(self, other: "ImageFiles") -> "ImageFiles":
        return ImageFiles(files=self.files + other.files, labels=self.labels + other.labels)


@lru_cache(maxsize=4)
def folder_images(
    path: Path, side: int, positive: str | None, seed: int, weighted: bool
) -> ImageSplits:
    """Images in folders named for their classes.

    They lie in `path/train/<class>/*`, with `path/val` (or `validation`) and `path/test`, or just
    in `path/<class>/*`.

    What is missing of validation and test is cut from the training images: a tenth for each,
    stratified. Classes are numbered in the order of their folders' names. Images are resized to
    `side` x `side` pixels.

    Raises:
        TaskError: names each folder and file that can't be used.
    """
    left_out = LeftOut(path)
    folders = split_folders(path, left_out)
    classes = class_names(folders.get("train", path), left_out)
    if len(classes) == 1:
        raise TaskError(
            f"{folders.get('train', path)}: must have at least two class folders, got only "
            f"{classes[0]}"
        )
    if positive is not None and positive not in classes:
        raise TaskError(
            f"data.positive must be one of the classes {', '.join(classes)}, got {positive!r}"
        )
    parts_in = {"train": path} | folders
    found = {name: class_files(folder, classes, left_out) for name, folder in parts_in.items()}
    parts = completed(found, path, seed, classes)
    number = None if positive is None else classes.index(positive)
    if number is not None and number not in parts["validation"].labels:
        raise TaskError(
            f"{folders['validation']}: has no image of data.positive {positive!r}: it can't be "
            "judged"
        )

    def split(name: str) -> TensorSplit:
        images_N3HW = packed_tensor(
            parts[name].files,
            lambda file: read_image(file, side, side),
            how=how_read(side, side),
        )
        return labelled(
            images_N3HW, torch.tensor(parts[name].labels), number, weighted and name == "train"
        )

    return ImageSplits(
        train=split("train"),
        validation=split("validation"),
        test=lambda: split("test"),
        classes=classes,
        positive=number,
        warning=left_out.warning(),
    )


def split_folders(path: Path, left_out: LeftOut) -> dict[str, Path]:
    """The folders of those splits that have one; none at all for a flat layout."""
    if not path.is_dir():
        raise TaskError(f"{path}: data.path must be a folder with one folder for each class")
    files_and_folders(path, left_out)  # a split may be a link that leads nowhere
    if not (path / "train").is_dir():
        return {}
    found = {name: [path / spelling for spelling in names] for name, names in SPLIT_FOLDERS.items()}
    there = {
        name: [folder for folder in folders if folder.is_dir()] for name, folders in found.items()
    }
    if len(there["validation"]) > 1:
        raise TaskError(f"{path}: has both val and validation; remove one")
    return {name: folders[0] for name, folders in there.items() if folders}


def class_names(folder: Path, left_out: LeftOut) -> tuple[str, ...]:
    """The names of a folder's visible folders, sorted; images beside them are noted."""
    files, folders = files_and_folders(folder, left_out)
    if not folders:
        raise TaskError(
            f"{folder}: has no class folders; images belong into train/<class>/ or <class>/ of "
            "data.path"
        )
    for image in filter(is_image, files):
        left_out.add(image, "stray image")
    return tuple(inner.name for inner in folders)


def class_files(folder: Path, classes: tuple[str, ...], left_out: LeftOut) -> ImageFiles:
    """All images of a split's folder; a class may be absent, but not from the training split."""
    strangers = set(class_names(folder, left_out)) - set(classes)
    if strangers:
        raise TaskError(
            f"{folder}: has classes that training lacks: {', '.join(sorted(strangers))}; "
            f"training has {', '.join(classes)}"
        )
    files, labels = [], []
    for label, name in enumerate(classes):
        if (folder / name).is_dir():
            own = image_files(folder / name, left_out)
            if not own:
                raise TaskError(f"{folder / name}: holds no image ({', '.join(IMAGE_ENDINGS)})")
            files += own
            labels += [label] * len(own)
    return ImageFiles(files=files, labels=labels)


def completed(
    found: dict[str, ImageFiles],
    path: Path,
    seed: int,
    classes: tuple[str, ...],
) -> dict[str, ImageFiles]:
    """All three splits; those that were not found are cut from the training images."""
    if len(found) == len(SPLIT_FOLDERS):
        return found
    whole = found["train"]
    try:
        rows = stratified_split(whole.labels, seed, classes)
    except ValueError as error:
        raise TaskError(f"{path}: {error}") from error
    kept, parts = whole[rows["train"]], dict(found)
    for name in ("validation", "test"):
        if name in found:
            kept += whole[rows[name]]
        else:
            parts[name] = whole[rows[name]]
    return parts | {"train": kept}


def labelled(
    images_N3HW: Tensor, labels_N: Tensor, positive: int | None, weighted: bool = False
) -> TensorSplit:
    """A split of images and their classes, drawn by class weights if that is wanted."""
    positive_N = (
        torch.zeros_like(labels_N, dtype=torch.bool) if positive is None else labels_N == positive
    )
    return TensorSplit(
        tensors={"images": images_N3HW, "labels": labels_N, "positive": positive_N},
        weights_N=balanced_weights(labels_N) if weighted else None,
    )
