"""Proves that lists of images are read, and that what belongs together stays together.

pytest tests/trainables/image_classifier/test_files.py
"""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.config import TaskError
from trainables.image_classifier.files import Grouping
from trainables.image_classifier.folders import ImageSplits, folder_images
from trainables.parts.data import TensorSplit

SIDE, SCENES = 8, 12
CLASSES = ("cat", "dog")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNGS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images each of twelve scenes a class; the scene is in the red of all pixels."""
    folder = tmp_path / "images 'Ω'"
    for kind, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for scene in range(SCENES):
            for view in range(2):
                pixels = np.full((SIDE, SIDE, 3), (scene, 50 * kind, view), np.uint8)
                Image.fromarray(pixels).save(folder / name / f"scene{scene}-{view}.png")
    return folder


def write_list(path: Path, rows: list[tuple[str, str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "label", "group"), *rows])


def rows_of(folder: Path) -> list[tuple[str, str, str]]:
    """A row for each image, in the group of its class and scene."""
    files = sorted(folder.glob("*/*.png"))
    return [
        (f"{file.parent.name}/{file.name}", file.parent.name, file.parent.name + file.stem[:-2])
        for file in files
    ]


def scenes(split: TensorSplit) -> set[tuple[int, int]]:
    """Each image's class and scene."""
    colours = split.tensors["images"][:, :2, 0, 0].tolist()
    found = [(green // 50, red) for red, green in colours]
    assert [kind for kind, _ in found] == split.tensors["labels"].tolist()
    return set(found)


def parts_of(splits: ImageSplits) -> list[set[tuple[int, int]]]:
    return [scenes(split) for split in (splits.train, splits.validation, splits.test())]


def read(path: Path, grouping: Grouping | None = None) -> ImageSplits:
    return folder_images(path, SIDE, None, 0, False, grouping=grouping or Grouping())


def are_apart(parts: list[set[tuple[int, int]]]) -> bool:
    return sum(map(len, parts)) == len(set().union(*parts)) == 2 * SCENES


def test_the_groups_of_a_list_stay_together(folder: Path) -> None:
    rows = rows_of(folder)
    write_list(folder / "all.csv", [(image, label, "") for image, label, _ in rows])
    splits = read(folder / "all.csv")
    assert splits.classes == CLASSES
    assert [len(split) for split in (splits.train, splits.validation, splits.test())] == [38, 5, 5]
    assert not are_apart(parts_of(splits))
    write_list(folder / "grouped.csv", rows)
    assert are_apart(parts_of(read(folder / "grouped.csv")))


def test_each_split_may_have_a_list(folder: Path) -> None:
    rows = rows_of(folder)
    write_list(folder / "train.csv", rows[2:-2])
    write_list(folder / "val.csv", [rows[0], rows[-1]])
    write_list(folder / "test.csv", [rows[1], rows[-2]])
    splits = read(folder)
    assert [len(split) for split in (splits.train, splits.validation, splits.test())] == [44, 2, 2]
    assert splits.warning and splits.warning.endswith(": 2 in validation and test")
    write_list(folder / "val.csv", [("cat/scene0-0.png", "fox", "")])
    folder_images.cache_clear()
    with pytest.raises(TaskError, match=r"val\.csv: has labels that training lacks: fox"):
        read(folder)


def test_names_of_files_may_tell_what_belongs_together(folder: Path) -> None:
    assert not are_apart(parts_of(read(folder)))
    parts = parts_of(read(folder, Grouping(pattern=r"scene(\d+)-")))
    assert are_apart(parts), "a scene is one over all classes"
    by_scene = [{scene for _, scene in part} for part in parts]
    assert sum(map(len, by_scene)) == SCENES


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    for kind, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for scene in range(SCENES):
            coarse = np.random.default_rng(100 * kind + scene).integers(0, 256, (6, 6, 3), np.uint8)
            image = Image.fromarray(coarse).resize((60, 60), Image.Resampling.BICUBIC)
            for view in range(2):
                image = image.point(lambda value: value * 0.9)
                image.putpixel((0, 0), (scene, 50 * kind, view))
                image.save(folder / name / f"{2 * scene + view}.png")

    def parts(grouping: Grouping) -> list[set[tuple[int, int]]]:
        return parts_of(folder_images(folder, 60, None, 0, False, grouping=grouping))

    assert not are_apart(parts(Grouping()))
    assert are_apart(parts(Grouping(duplicates=True)))
