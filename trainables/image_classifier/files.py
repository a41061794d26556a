"""Image files, their classes, and the split that each is in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from trainables.config import TaskError
from trainables.parts.data import SPLIT_NAMES
from trainables.parts.grouping import (
    difference_hash,
    grouped_split,
    joined,
    named_groups,
    near_duplicates,
    same,
    shared_out,
    torn_apart,
)
from trainables.parts.images import OPENED, open_image
from trainables.parts.lists import LIST_ENDINGS, is_list, read_list, split_paths
from trainables.parts.packing import packed_tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Grouping:
    """Which images must not be torn apart, beside those that a list puts into one group.

    Attributes:
        pattern: A regular expression; images belong together in whose names it finds the same.
        duplicates: Whether nearly the same images belong together.
    """

    pattern: str | None = None
    duplicates: bool = False


UNGROUPED = Grouping()


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """Files and the class of each.

    Attributes:
        files: The images.
        labels: The number of each one's class.
        groups: What a list says that each belongs to; None: nothing.
    """

    files: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)

    def __getitem__(self, rows: Sequence[int]) -> "ImageFiles":
        return ImageFiles(
            files=[self.files[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            groups=[self.groups[row] for row in rows],
        )

    def __add__(self, other: "ImageFiles") -> "ImageFiles":
        return ImageFiles(
            files=self.files + other.files,
            labels=self.labels + other.labels,
            groups=self.groups + other.groups,
        )


def listed(path: Path) -> tuple[tuple[str, ...], dict[str, ImageFiles]] | None:
    """The classes and the files of each split that has a list; None where there is no list.

    They are in a list of all images, or in a folder with one for each split: `train.csv`, and
    `val.csv` and `test.csv` if you have them.

    Raises:
        TaskError: names what can't be used.
    """
    paths = {"train": path} if is_list(path) else split_paths(path, LIST_ENDINGS)
    lists = {split: read_list(each, "image", labelled=True) for split, each in paths.items()}
    if not lists:
        return None
    classes = tuple(sorted(set(lists["train"].labels)))
    for split, found in lists.items():
        if strangers := set(found.labels) - set(classes):
            raise TaskError(
                f"{paths[split]}: has labels that training lacks: {', '.join(sorted(strangers))}; "
                f"training has {', '.join(classes)}"
            )
    numbers = {name: number for number, name in enumerate(classes)}
    return classes, {
        split: ImageFiles(
            files=found.files,
            labels=[numbers[label] for label in found.labels],
            groups=found.groups,
        )
        for split, found in lists.items()
    }


def completed(
    found: dict[str, ImageFiles],
    path: Path,
    seed: int,
    classes: tuple[str, ...],
    grouping: Grouping,
) -> tuple[dict[str, ImageFiles], str | None]:
    """All three splits, and a warning if those that were found have a group in common.

    Those that were not found are cut from the training images.
    """
    whole, groups = found["train"], _groups(found, grouping)
    given = [split for split in SPLIT_NAMES[1:] if split in found]
    cut = None
    if len(found) < len(SPLIT_NAMES):
        try:
            own = None if groups is None else groups["train"]
            cut = grouped_split(whole.labels, own, seed, classes)
        except ValueError as error:
            raise TaskError(f"{path}: {error}") from error
    rows = shared_out(len(whole.files), cut, given)
    parts = {split: whole[rows[split]] for split in rows} | {split: found[split] for split in given}
    return parts, torn_apart({split: set(own) for split, own in (groups or {}).items()})


def _groups(found: dict[str, ImageFiles], grouping: Grouping) -> dict[str, list[int]] | None:
    """The number of each image's group, over all splits; None where each stands by itself."""
    everything = sum(found.values(), ImageFiles())
    relations = [same(everything.groups)]
    if grouping.pattern is not None:
        names = [file.name for file in everything.files]
        relations.append(same(named_groups(names, grouping.pattern)))
    if grouping.duplicates:
        relations.append(near_duplicates(_hashes(everything.files)))
    if not any(relations):
        return None
    numbers = iter(joined(len(everything.files), *relations))
    return {split: list(islice(numbers, len(each.files))) for split, each in found.items()}


def _hashes(files: Sequence[Path]) -> np.ndarray:
    def read(path: Path) -> np.ndarray:
        return difference_hash(open_image(path))

    return packed_tensor(files, read, how=f"{OPENED}, difference hash").numpy()
