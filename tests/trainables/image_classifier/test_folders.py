"""Proves that class folders are read as they lie, or refused with the reason.

pytest tests/trainables
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainables.config import TaskError
from trainables.image_classifier.folders import ImageSplits, folder_images
from trainables.parts.data import TensorSplit

SIDE = 8
FLAT = {"cat": 20, "dog": 40, "elk": 20}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNGS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images 'Ω'"


def write(folder: Path, counts: dict[str, int], *, grey: int = 0) -> None:
    """Images of one grey for each class folder; an image's number is in the red of all pixels."""
    for kind, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = np.full((6, 10, 3), (i, 50 * kind, grey), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:03d}.png")


def read(
    folder: Path, *, positive: str | None = None, seed: int = 0, weighted: bool = False
) -> ImageSplits:
    return folder_images(folder, SIDE, positive, seed, weighted)


def kinds(split: TensorSplit) -> list[tuple[int, int, int]]:
    """Each row's number, class as painted, and split as painted."""
    images = split.tensors["images"]
    assert images.shape[1:] == (3, SIDE, SIDE)
    assert images.dtype == torch.uint8
    assert (images == images[:, :, :1, :1]).all()
    painted = [(int(red), int(green) // 50, int(blue)) for red, green, blue in images[:, :, 0, 0]]
    assert [kind for _, kind, _ in painted] == split.tensors["labels"].tolist()
    return painted


# Layouts ------------------------------------------------------------------------------------------


def test_a_flat_folder_is_split_by_class(folder: Path) -> None:
    write(folder, FLAT)
    splits = read(folder)
    assert splits.classes == ("cat", "dog", "elk")
    assert splits.positive is None
    parts = [kinds(split) for split in (splits.train, splits.validation, splits.test())]
    assert [len(part) for part in parts] == [64, 8, 8]
    assert len(set().union(*parts)) == 80, "each image is in exactly one split"
    assert splits.validation.tensors["labels"].bincount().tolist() == [2, 4, 2]
    assert kinds(read(folder, seed=1).validation) != parts[1]
    assert not splits.train.tensors["positive"].any()


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_given_splits_are_taken_as_they_are(validation: str, folder: Path) -> None:
    for grey, (part, counts) in enumerate(
        {"train": FLAT, validation: {"cat": 2, "dog": 1, "elk": 1}}.items()
    ):
        write(folder / part, counts, grey=grey)
    write(folder / "test", {"cat": 1, "dog": 2}, grey=2)
    splits = read(folder)
    parts = [kinds(split) for split in (splits.train, splits.validation, splits.test())]
    assert [len(part) for part in parts] == [80, 4, 3]
    assert [{blue for *_, blue in part} for part in parts] == [{0}, {1}, {2}]


@pytest.mark.parametrize("given", ["val", "test"])
def test_a_missing_split_is_a_tenth_of_training(given: str, folder: Path) -> None:
    write(folder / "train", FLAT)
    write(folder / given, {"cat": 3, "dog": 3, "elk": 3}, grey=1)
    splits = read(folder)
    cut, own = (
        (splits.test(), splits.validation) if given == "val" else (splits.validation, splits.test())
    )
    assert {blue for *_, blue in kinds(own)} == {1}
    assert len(kinds(own)) == 9
    assert len(kinds(cut)) == 8
    assert len({*kinds(splits.train), *kinds(cut)}) == 80, "what is not cut stays in training"


def test_the_positive_class_is_marked_and_weights_are_balanced(folder: Path) -> None:
    write(folder, FLAT)
    splits = read(folder, positive="elk", weighted=True)
    assert splits.positive == 2
    assert torch.equal(splits.train.tensors["positive"], splits.train.tensors["labels"] == 2)
    assert splits.train.weights_N is not None
    assert splits.validation.weights_N is None
    for label in range(3):
        chosen = splits.train.tensors["labels"] == label
        assert float(splits.train.weights_N[chosen].sum()) == pytest.approx(1.0)


def test_other_files_hidden_folders_and_the_test_images_are_left_alone(folder: Path) -> None:
    write(folder / "train", FLAT)
    write(folder / "val", {"cat": 1, "dog": 1})
    write(folder / "test", {"cat": 1})
    (folder / "train" / "notes.txt").write_text("x")
    (folder / "train" / "cat" / "Thumbs.db").write_text("x")
    (folder / "train" / ".cache").mkdir()
    (folder / "test" / "cat" / "000.png").write_text("no image")
    splits = read(folder)
    assert len(splits.train) == 80
    with pytest.raises(TaskError, match=r"test.cat.000\.png: can't be read as an image"):
        splits.test()


def test_what_is_left_out_is_told_and_what_macos_adds_is_ignored(folder: Path) -> None:
    write(folder / "train", FLAT)
    assert read(folder).warning is None
    folder_images.cache_clear()
    cats = folder / "train" / "cat"
    for name in ("._000.png", ".DS_Store"):
        (cats / name).write_bytes(b"no image")
    (cats / "old").mkdir()
    (cats / "gone.png").symlink_to(folder / "nowhere")
    os.mkfifo(cats / "pipe.png")
    (folder / "train" / "loose.png").write_bytes(b"no image")
    (folder / "val").symlink_to(folder / "nowhere")
    splits = read(folder)
    assert len(splits.train) + len(splits.validation) + len(splits.test()) == 80
    kinds_told = "2 broken links, 1 stray image, 1 special file, 1 sub-folder"
    assert splits.warning == f"data: left out {kinds_told} (first: val)"


def test_images_that_are_to_be_cropped_are_kept_as_they_are_within_a_frame(folder: Path) -> None:
    for name, shape in {"cat": (10, 6), "dog": (8, 32)}.items():
        (folder / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 256, (*shape, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    splits = folder_images(folder, SIDE, None, 0, False, kept_side=16)
    images, sizes = splits.train.tensors["images"], splits.train.tensors["sizes"]
    assert images.shape == (2, 3, 16, 16)
    assert sizes.tolist() == [[10, 6], [4, 16]], "the cat fits, the dog is made smaller"
    files = [np.asarray(Image.open(file)) for file in sorted((folder / "cat").iterdir())]
    kept = images[0, :, :10, :6].permute(1, 2, 0).numpy()
    assert any(np.array_equal(kept, pixels) for pixels in files), "not a pixel is changed"
    assert (images[0, :, 10:, :6] == images[0, :, 9:10, :6]).all()
    assert splits.validation.tensors["images"].shape == (2, 3, SIDE, SIDE)
    assert "sizes" not in splits.validation.tensors


# Mistakes -----------------------------------------------------------------------------------------


def no_folder(folder: Path) -> None:
    folder.write_text("x")


def no_classes(folder: Path) -> None:
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "a.png")


def a_single_class(folder: Path) -> None:
    write(folder / "train", {"cat": 5})


def an_empty_class(folder: Path) -> None:
    write(folder, FLAT)
    (folder / "fox").mkdir()


def a_broken_image(folder: Path) -> None:
    write(folder, FLAT)
    whole = (folder / "dog" / "007.png").read_bytes()
    (folder / "dog" / "007.png").write_bytes(whole[: len(whole) // 2])


def a_strange_class(folder: Path) -> None:
    write(folder / "train", FLAT)
    write(folder / "val", {"cat": 1, "fox": 1})


def two_validations(folder: Path) -> None:
    write(folder / "train", FLAT)
    write(folder / "val", FLAT)
    write(folder / "validation", FLAT)


def too_few(folder: Path) -> None:
    write(folder, {"cat": 30, "dog": 1})


def no_positive_to_judge(folder: Path) -> None:
    write(folder / "train", FLAT)
    write(folder / "val", {"dog": 2, "elk": 2})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (no_folder, "{folder}: data.path must be a folder with one folder for each class, or a "),
        (
            no_classes,
            "{folder}: has no class folders; images belong into train/<class>/ or <class>/ of "
            "data.path",
        ),
        (a_single_class, "{folder}: must have at least two classes, got only cat"),
        (an_empty_class, "{folder}/fox: holds no image (.png, "),
        (a_broken_image, "{folder}/dog/007.png: can't be read as an image"),
        (
            a_strange_class,
            "{folder}/val: has classes that training lacks: fox; training has cat, dog, elk",
        ),
        (two_validations, "{folder}: has both val and validation; remove one"),
        (
            too_few,
            "{folder}: every class needs at least 3 samples, one for each of train, validation "
            "and test, got 1 of dog",
        ),
        (
            no_positive_to_judge,
            "{folder}: validation has no image of data.positive 'cat': it can't be judged",
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place(
    damage: Callable[[Path], None], told: str, folder: Path
) -> None:
    damage(folder)
    with pytest.raises(TaskError, match=re.escape(told.format(folder=folder))):
        read(folder, positive="cat" if damage is no_positive_to_judge else None)


def test_an_unknown_positive_class_is_told_with_all_that_there_are(folder: Path) -> None:
    write(folder, FLAT)
    with pytest.raises(
        TaskError,
        match=re.escape("data.positive must be one of the classes cat, dog, elk, got 'cta'"),
    ):
        read(folder, positive="cta")
