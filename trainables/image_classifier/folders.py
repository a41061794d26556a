"""Labelled images: one folder for each class, or lists of files.

Shapes: N samples, H height, W width (always equal).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainables.config import TaskError
from trainables.image_classifier.files import UNGROUPED, Grouping, ImageFiles, completed, listed
from trainables.image_classifier.preparation import (
    SQUASHED,
    Preparation,
    framed,
    prepared,
    size_within,
)
from trainables.parts.data import Splits, TensorSplit, balanced_weights
from trainables.parts.images import (
    IMAGE_ENDINGS,
    OPENED,
    image_files,
    is_image,
    open_image,
    upright_size,
)
from trainables.parts.left_out import LeftOut, files_and_folders
from trainables.parts.lists import split_paths
from trainables.parts.packing import packed_tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSplits(Splits):
    """Splits of labelled images.

    Each split's tensors: `images` [N, 3, H, W] (bytes), `labels` [N] (class), `positive` [N]
    (whether that is the positive class). Training images that are to be cropped lie in the upper
    left corner of theirs, and `sizes` [N, 2] says their height and width.

    Attributes:
        classes: Their names, by number.
        positive: The number of the one class that is looked for, if there is one.
    """

    classes: tuple[str, ...]
    positive: int | None


@lru_cache(maxsize=4)
def folder_images(
    path: Path,
    side: int,
    positive: str | None,
    seed: int,
    weighted: bool,
    *,
    preparation: Preparation = SQUASHED,
    kept_side: int | None = None,
    grouping: Grouping = UNGROUPED,
) -> ImageSplits:
    """Images in folders named for their classes, or with the classes that a list says.

    They lie in `path/train/<class>/*`, with `path/val` (or `validation`) and `path/test`, or just
    in `path/<class>/*`; or `path` is a list, or a folder with one for each split (see `listed`).

    What is missing of validation and test is cut from the training images: a tenth for each,
    stratified, with no group torn apart. Classes are numbered in the order of their names.

    Args:
        path: The folder, or the list.
        side: Height and width of the prepared images.
        positive: The name of the class that is looked for.
        seed: Decides what is cut from the training images.
        weighted: Whether training draws every class equally often.
        preparation: How images become squares.
        kept_side: Of training images that are to be cropped, which are kept no larger than this and
            not prepared; None: they are prepared as the others are.
        grouping: Which images belong together.

    Raises:
        TaskError: names each folder and file that can't be used.
    """
    left_out = LeftOut(path)
    classes, found = listed(path) or class_folders(path, left_out)
    if len(classes) == 1:
        raise TaskError(f"{path}: must have at least two classes, got only {classes[0]}")
    if positive is not None and positive not in classes:
        raise TaskError(
            f"data.positive must be one of the classes {', '.join(classes)}, got {positive!r}"
        )
    parts, torn = completed(found, path, seed, classes, grouping)
    number = None if positive is None else classes.index(positive)
    if number is not None and number not in parts["validation"].labels:
        raise TaskError(
            f"{path}: validation has no image of data.positive {positive!r}: it can't be judged"
        )

    def split(name: str) -> TensorSplit:
        part, is_train = parts[name], name == "train"
        if is_train and kept_side is not None:
            tensors = kept_images(part.files, kept_side)
        else:
            tensors = {"images": prepared_images(part.files, preparation, side)}
        return labelled(tensors, torch.tensor(part.labels), number, weighted and is_train)

    warnings = [text for text in (left_out.warning(), torn) if text]
    return ImageSplits(
        train=split("train"),
        validation=split("validation"),
        test=lambda: split("test"),
        classes=classes,
        positive=number,
        warning="; ".join(warnings) or None,
    )


def prepared_images(files: list[Path], how: Preparation, side: int) -> Tensor:
    """The files' images as a model takes them: bytes [N, 3, side, side]."""
    return packed_tensor(
        files,
        lambda file: prepared(open_image(file), how, side),
        how=f"{OPENED}, {how}, side {side}",
    )


def kept_images(files: list[Path], most: int) -> dict[str, Tensor]:
    """The files' images no larger than `most`, which crops are cut from, and their `sizes`."""

    def size(file: Path) -> np.ndarray:
        return np.array(size_within(*upright_size(file), most))

    images = packed_tensor(
        files, lambda file: framed(open_image(file), most), how=f"{OPENED}, framed by {most}"
    )
    sizes = packed_tensor(files, size, how=f"{OPENED}, sizes within {most}")
    return {"images": images, "sizes": sizes}


def class_folders(path: Path, left_out: LeftOut) -> tuple[tuple[str, ...], dict[str, ImageFiles]]:
    """The classes, and the files of each split that has a folder; of a flat layout, of training."""
    if not path.is_dir():
        raise TaskError(
            f"{path}: data.path must be a folder with one folder for each class, or a list (.csv, "
            ".parquet)"
        )
    files_and_folders(path, left_out)  # A split may be a link that leads nowhere.
    folders = split_paths(path) or {"train": path}
    classes = class_names(folders["train"], left_out)
    found = {split: class_files(each, classes, left_out) for split, each in folders.items()}
    return classes, found


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
    return ImageFiles(files=files, labels=labels, groups=[None] * len(files))


def labelled(
    tensors: dict[str, Tensor], labels_N: Tensor, positive: int | None, weighted: bool = False
) -> TensorSplit:
    """A split of images and their classes, drawn by class weights if that is wanted."""
    positive_N = (
        torch.zeros_like(labels_N, dtype=torch.bool) if positive is None else labels_N == positive
    )
    return TensorSplit(
        tensors={**tensors, "labels": labels_N, "positive": positive_N},
        weights_N=balanced_weights(labels_N) if weighted else None,
    )
