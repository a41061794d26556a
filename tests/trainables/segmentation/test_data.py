"""Proves that recorded sequences are read as written or refused with the file's name.

pytest tests/trainables/segmentation/test_data.py

Shapes: N images, H height, W width.
"""

import csv
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.trainables.conformance import curve
from trainables.config import TaskError, build_config
from trainables.parts.data import SPLIT_NAMES
from trainables.parts.images import read_image
from trainables.segmentation.classes import palette
from trainables.segmentation.config import SegmentationConfig
from trainables.segmentation.data import (
    Layout,
    SegmentationSplits,
    recorded_sequences,
    unix_time,
)
from trainables.segmentation.lists import Frame, time_ordered
from trainables.segmentation.losses import IGNORED
from trainables.segmentation.task import Segmentation

CLASSES_YAML = """\
classes:
  - {name: ground, grey: [1, 9], color: [10, 20, 30]}
  - {name: tree, grey: [4]}
ignored: [0]
"""
GREYS = (0, 1, 4, 9)
TRAIN_ID = {0: IGNORED, 1: 0, 4: 1, 9: 0}
HEIGHT, WIDTH = 24, 32
START = 1623370408


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNGS_CACHE", str(tmp_path / "cache 'Ω'"))


def save_frame(
    sequence: Path, name: str, *, seed: int = 0, ending: str = "png"
) -> tuple[np.ndarray, np.ndarray]:
    """An image of noise and a label of grey values, [H, W, 3] and [H, W]."""
    for folder in ("images", "labels"):
        (sequence / folder).mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    label = random.choice(np.array(GREYS, dtype=np.uint8), (HEIGHT, WIDTH))
    Image.fromarray(image).save(sequence / "images" / f"{name}.{ending}")
    Image.fromarray(label).save(sequence / "labels" / f"{name}.png")
    return image, label


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sequences of 10 images each, at the even and at the odd seconds."""
    path = tmp_path / "forest 'Ω'"
    for i in range(20):
        save_frame(path / f"V-0{i % 2}", f"{START + i}-0920{i:02d}506", seed=i)
    (path / "classes.yaml").write_text(CLASSES_YAML, encoding="utf-8")
    return path


def read(
    path: Path, height: int = HEIGHT, width: int = WIDTH, *, own_size: bool = False, **layout: Any
) -> SegmentationSplits:
    recorded_sequences.cache_clear()
    return recorded_sequences(Layout(path=path, **layout), height, width, own_size=own_size)


def parts(splits: SegmentationSplits) -> list[dict[str, Tensor]]:
    return [splits.train.tensors, splits.validation.tensors, splits.test().tensors]


def refused(path: Path, **layout: Any) -> str:
    with pytest.raises(TaskError) as caught:
        splits = read(path, **layout)
        splits.test()
    return str(caught.value)


# What is read -------------------------------------------------------------------------------------


def test_images_and_labels_are_the_files_in_time_order(folder: Path) -> None:
    splits = read(folder)
    assert [len(part["images"]) for part in parts(splits)] == [14, 4, 2]
    images = torch.cat([part["images"] for part in parts(splits)])
    labels = torch.cat([part["labels"] for part in parts(splits)])
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.uint8)
    for i in range(20):
        file = next((folder / f"V-0{i % 2}" / "images").glob(f"{START + i}*"))
        grey_HW = np.asarray(Image.open(file.parent.parent / "labels" / file.name))
        assert np.array_equal(images[i].numpy().transpose(1, 2, 0), np.asarray(Image.open(file)))
        assert np.array_equal(labels[i].numpy(), np.vectorize(TRAIN_ID.get)(grey_HW))


def test_classes_have_their_names_and_colors(folder: Path) -> None:
    classes = read(folder).classes
    assert classes.names == ("ground", "tree")
    assert classes.colors == ((10, 20, 30), palette()[1])
    assert len(set(palette())) == 256


@pytest.mark.parametrize(("height", "width"), [(12, 16), (16, 8), (48, 64)])
def test_resizing_takes_the_nearest_label_and_the_image_as_elsewhere(
    folder: Path, height: int, width: int
) -> None:
    tensors = read(folder, height, width).train.tensors
    assert tensors["images"].shape == (14, 3, height, width)
    file = next((folder / "V-00" / "images").glob(f"{START}*"))
    assert np.array_equal(tensors["images"][0].numpy(), read_image(file, height, width))
    grey_HW = np.asarray(Image.open(folder / "V-00" / "labels" / file.name))
    rows = ((np.arange(height) + 0.5) * HEIGHT / height).astype(int)
    columns = ((np.arange(width) + 0.5) * WIDTH / width).astype(int)
    assert np.array_equal(
        tensors["labels"][0].numpy(), np.vectorize(TRAIN_ID.get)(grey_HW[np.ix_(rows, columns)])
    )


def test_a_palette_label_counts_by_its_indices_and_jpegs_are_images(folder: Path) -> None:
    _, label = save_frame(folder / "V-00", f"{START - 1}", seed=99, ending="jpg")
    indexed = Image.fromarray(label, mode="P")
    indexed.putpalette([channel for color in palette() for channel in color])
    indexed.save(folder / "V-00" / "labels" / f"{START - 1}.png")
    assert np.array_equal(
        read(folder).train.tensors["labels"][0].numpy(), np.vectorize(TRAIN_ID.get)(label)
    )


@pytest.mark.parametrize(
    ("ending", "dtype"),
    [("png", np.uint16), ("tif", np.uint16), ("tiff", np.int32), ("tif", np.uint8)],
)
def test_a_label_of_more_bits_counts_by_its_exact_values(
    folder: Path, ending: str, dtype: type
) -> None:
    _, label = save_frame(folder / "V-00", f"{START - 1}", seed=99)
    (folder / "V-00" / "labels" / f"{START - 1}.png").unlink()
    Image.fromarray(label.astype(dtype)).save(folder / "V-00" / "labels" / f"{START - 1}.{ending}")
    found = read(folder).train.tensors["labels"][0].numpy()
    assert np.array_equal(found, np.vectorize(TRAIN_ID.get)(label))


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("1623370408-092005506", "1623370408.092005506"),
        ("frame000104-1581624663_149", "1581624663.149"),
        ("1661860582736903436", "1661860582.736903436"),
        ("x_1623370408", "1623370408"),
        ("1623370408.5_front", "1623370408.5"),
        ("frame000104", None),
        ("", None),
    ],
)
def test_the_time_is_in_the_name(name: str, time: str | None) -> None:
    assert unix_time(name) == (None if time is None else Decimal(time))


def test_the_task_trains_on_a_folder(folder: Path) -> None:
    values = {
        "data.path": str(folder),
        "data.side": 16,
        "model.architecture": "unet",
        "model.width": 4,
    }
    config = build_config(SegmentationConfig, values | {"model.unet_levels": 2, "optim.lr": 0.01})
    (report,) = curve(Segmentation(), config, epochs=1)
    assert 0 <= report.metrics["miou"] <= 1
    assert sum(map(sum, report.details["confusion"])) == int(
        (Segmentation().data(config, 0).validation.tensors["labels"] != IGNORED).sum()
    )


def test_what_is_left_out_is_told_and_what_macos_adds_is_ignored(folder: Path) -> None:
    assert read(folder).warning is None
    for name in ("images", "labels"):
        (folder / "V-00" / name / f"._{NAME}.png").write_bytes(b"no image")
        (folder / "V-00" / name / "gone.png").symlink_to(folder / "nowhere")
        (folder / "V-00" / name / "old").mkdir()
    (folder / "V-03" / "images").mkdir(parents=True)
    (folder / "V-04").symlink_to(folder / "nowhere")
    told = "data: left out 3 broken links, 1 incomplete sequence, 2 sub-folders (first: V-04)"
    assert read(folder).warning == told


# WildScenes ---------------------------------------------------------------------------------------

WILDSCENES = [
    ((0, 0, 0), None),
    ((255, 165, 0), "other-terrain"),
    ((60, 180, 75), "dirt"),
    ((255, 225, 25), "mud"),
    ((0, 130, 200), "water"),
    ((145, 30, 180), "gravel"),
    ((70, 240, 240), "other-terrain"),
    ((240, 50, 230), "tree-trunk"),
    ((210, 245, 60), "tree-foliage"),
    ((230, 25, 75), "bush"),
    ((0, 128, 128), "fence"),
    ((170, 110, 40), "structure"),
    ((255, 250, 200), "other-object"),
    ((128, 0, 0), None),
    ((170, 255, 195), "rock"),
    ((128, 128, 0), "log"),
    ((250, 190, 190), "other-object"),
    ((0, 0, 128), "sky"),
    ((128, 128, 128), "grass"),
]
"""By index: the color, and the class of the benchmark, as the data set's tools have them."""


@pytest.fixture
def wildscenes(tmp_path: Path) -> Path:
    """Five images in each of two sequences, one after the other; labels by index and by color."""
    path, random = tmp_path / "WildScenes2d", np.random.default_rng(0)
    for i in range(10):
        index_HW = random.integers(0, len(WILDSCENES), (HEIGHT, WIDTH), dtype=np.uint8)
        color_HW3 = np.array([color for color, _ in WILDSCENES], dtype=np.uint8)[index_HW]
        files = {"image": color_HW3[::-1], "indexLabel": index_HW, "label": color_HW3}
        for name, pixels in files.items():
            file = path / f"V-0{1 + i // 5}" / name / f"{START + i}-092005506.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return path


WILDSCENES_LAYOUT: dict[str, Any] = {
    "images": "image",
    "labels": "indexLabel",
    "classes": "wildscenes",
}


def test_wildscenes_is_read_by_its_folders_names_and_classes(wildscenes: Path) -> None:
    splits = read(wildscenes, **WILDSCENES_LAYOUT)
    assert [len(part["images"]) for part in parts(splits)] == [7, 2, 1]
    names = splits.classes.names
    assert list(names) == sorted({name for _, name in WILDSCENES if name})
    ids = [names.index(name) if name else IGNORED for _, name in WILDSCENES]
    files = sorted(wildscenes.glob("V-*/indexLabel/*"), key=lambda file: file.name)
    expected = np.array(ids)[np.stack([np.asarray(Image.open(file)) for file in files])]
    found = torch.cat([part["labels"] for part in parts(splits)])
    assert np.array_equal(found.numpy(), expected)


def test_wildscenes_colors_say_the_same_as_its_indices(wildscenes: Path) -> None:
    by_index = parts(read(wildscenes, **WILDSCENES_LAYOUT))
    by_color = parts(read(wildscenes, **WILDSCENES_LAYOUT | {"labels": "label"}))
    for one, other in zip(by_index, by_color, strict=True):
        assert torch.equal(one["labels"], other["labels"])


def test_one_sequence_may_be_the_folder_itself(wildscenes: Path) -> None:
    splits = read(wildscenes / "V-02", **WILDSCENES_LAYOUT)
    assert [len(part["images"]) for part in parts(splits)] == [3, 1, 1]


def test_folders_of_other_names_are_no_sequence(wildscenes: Path) -> None:
    told = refused(wildscenes, classes="wildscenes")
    assert "holds no sequence, which is a folder with images/ and labels/" in told
    assert "data.image_folder" in told


def test_validation_and_test_labels_are_kept_at_their_own_size_too(wildscenes: Path) -> None:
    whole = parts(read(wildscenes, **WILDSCENES_LAYOUT))
    small = parts(read(wildscenes, 12, 8, own_size=True, **WILDSCENES_LAYOUT))
    assert "own_labels" not in small[0]
    for one, other in zip(whole[1:], small[1:], strict=True):
        assert torch.equal(other["own_labels"], one["labels"])
        assert other["labels"].shape[1:] == (12, 8)


def test_a_model_is_judged_at_both_sizes(wildscenes: Path) -> None:
    folders = {"image_folder": "image", "label_folder": "indexLabel", "classes": "wildscenes"}
    values = {"path": str(wildscenes), "side": 16, "own_size": True, **folders}
    model = {"model.architecture": "unet", "model.width": 4, "model.unet_levels": 2}
    config = build_config(
        SegmentationConfig, {f"data.{name}": value for name, value in values.items()} | model
    )
    (report,) = curve(Segmentation(), config, epochs=1)
    assert 0 < report.metrics["own_size_miou"] < 1
    assert report.metrics["own_size_miou"] != report.metrics["miou"]


# Lists of the user's own --------------------------------------------------------------------------


@pytest.fixture
def lists(wildscenes: Path, tmp_path: Path) -> Path:
    """Lists as a notebook on another machine wrote them: some of the images, not in time order."""
    folder = tmp_path / "data_list"
    folder.mkdir()
    images = sorted(wildscenes.glob("V-*/image/*"), key=lambda file: file.name)
    for name, numbers in {"train": [8, 0, 3], "valid": [1, 9], "test": [5]}.items():
        rows = [f"../data/WildScenes/{images[i].relative_to(wildscenes.parent)}" for i in numbers]
        lines = [f"{row},{row.replace('/image/', '/indexLabel/')}" for row in rows]
        (folder / f"{name}.csv").write_text("\n".join(["image,label", *lines]) + "\n")
    return folder


def test_own_lists_say_which_image_is_in_which_split(wildscenes: Path, lists: Path) -> None:
    found = parts(read(wildscenes, lists=lists, **WILDSCENES_LAYOUT))
    all_labels = torch.cat([p["labels"] for p in parts(read(wildscenes, **WILDSCENES_LAYOUT))])
    for part, numbers in zip(found, [[8, 0, 3], [1, 9], [5]], strict=True):
        assert torch.equal(part["labels"], all_labels[numbers])


def test_the_lists_that_come_with_wildscenes_are_read(wildscenes: Path, lists: Path) -> None:
    expected = parts(read(wildscenes, lists=lists, **WILDSCENES_LAYOUT))
    for file in list(lists.iterdir()):
        rows = [line.replace("../data/WildScenes", "") for line in file.read_text().splitlines()]
        numbered = [f"{i},{row}" for i, row in enumerate(rows[1:])]
        (lists / file.name.replace("valid", "val")).write_text(
            "\n".join(["id,im_path,label_path", *numbered])
        )
    (lists / "valid.csv").unlink()
    found = parts(read(wildscenes, lists=lists, **WILDSCENES_LAYOUT))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one["labels"], other["labels"])


def add_row(file: Path, row: str) -> None:
    file.write_text(file.read_text() + row)


BAD_LISTS: dict[str, Callable[[Path], object]] = {
    "no image may be listed twice, as one that a model learned from can't judge it; 1 are": (
        lambda lists: add_row(lists / "test.csv", (lists / "valid.csv").read_text().split("\n")[1])
    ),
    "test.csv: no such file in ": lambda lists: add_row(
        lists / "test.csv", "V-01/image/1.png,V-01/indexLabel/1.png"
    ),
    "must hold one list validation.csv or valid.csv or val.csv, got none": lambda lists: (
        lists / "valid.csv"
    ).unlink(),
    "must hold one list validation.csv or valid.csv or val.csv, got valid.csv and val.csv": (
        lambda lists: (lists / "val.csv").write_text("image,label\n")
    ),
    "test.csv: lists no image": lambda lists: (lists / "test.csv").write_text("image,label\n"),
    "test.csv: must be a CSV list with the columns image and label": lambda lists: (
        lists / "test.csv"
    ).write_text("picture\na.png\n"),
}


@pytest.mark.parametrize("message", BAD_LISTS)
def test_bad_lists_are_refused(wildscenes: Path, lists: Path, message: str) -> None:
    BAD_LISTS[message](lists)
    told = refused(wildscenes, lists=lists, **WILDSCENES_LAYOUT)
    assert message in told
    assert str(lists) in told


# Splits -------------------------------------------------------------------------------------------


def lists_of(folder: Path) -> dict[str, list[str]]:
    return {
        name: [row["image"] for row in csv.DictReader((folder / f"{name}.csv").open())]
        for name in SPLIT_NAMES
    }


def test_split_lists_are_written_in_time_order(folder: Path) -> None:
    read(folder)
    lists = lists_of(folder / "splits")
    assert {name: len(images) for name, images in lists.items()} == {
        "train": 14,
        "validation": 4,
        "test": 2,
    }
    times = [unix_time(Path(image).stem) for images in lists.values() for image in images]
    assert times == sorted(times, key=lambda time: time or 0)
    assert (folder / lists["train"][0]).exists()
    assert lists["train"][:2] == [
        f"V-00/images/{START}-092000506.png",
        f"V-01/images/{START + 1}-092001506.png",
    ]
    assert sorted(path.name for path in folder.iterdir()) == [
        "V-00",
        "V-01",
        "classes.yaml",
        "splits",
    ]


def test_the_seed_does_not_move_a_split_in_time(folder: Path) -> None:
    config = build_config(SegmentationConfig, {"data.path": str(folder), "data.side": 16})
    one, other = (Segmentation().data(config, seed).validation.tensors["images"] for seed in (0, 1))
    assert torch.equal(one, other)


def test_what_a_killed_process_left_of_split_lists_is_removed(folder: Path) -> None:
    (folder / ".splits-abc123").mkdir()
    (folder / ".splits-abc123" / "train.csv").write_text("image,label\n")
    read(folder)
    assert not list(folder.glob(".splits-*"))
    assert {name: len(images) for name, images in lists_of(folder / "splits").items()}[
        "train"
    ] == 14


def test_split_lists_that_are_there_are_used(folder: Path) -> None:
    before = read(folder)
    lists = folder / "splits"
    train, validation = (lists / "train.csv").read_text(), (lists / "validation.csv").read_text()
    (lists / "train.csv").write_text(validation)
    (lists / "validation.csv").write_text(train)
    after = read(folder)
    assert torch.equal(after.train.tensors["images"], before.validation.tensors["images"])
    assert torch.equal(after.validation.tensors["labels"], before.train.tensors["labels"])
    assert (lists / "train.csv").read_text() == validation


def test_split_lists_that_a_spreadsheet_wrote_with_a_byte_order_mark_are_used(folder: Path) -> None:
    before = read(folder)
    for file in (folder / "splits").iterdir():
        file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert torch.equal(read(folder).train.tensors["images"], before.train.tensors["images"])


def test_where_the_folder_cannot_be_written_lists_go_to_the_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == folder and mode == os.W_OK))
    before = read(folder)
    assert not (folder / "splits").exists()
    assert torch.equal(read(folder).train.tensors["images"], before.train.tensors["images"])


LISTS: dict[str, Callable[[Path], object]] = {
    "1 images are in none, 0 entries are no image here, 0 entries repeat": lambda lists: drop_last(
        lists / "train.csv"
    ),
    "0 images are in none, 0 entries are no image here, 1 entries repeat": lambda lists: add(
        lists / "test.csv", f"V-00/images/{START}-092000506.png"
    ),
    "0 images are in none, 1 entries are no image here": lambda lists: add(
        lists / "test.csv", "V-00/images/x.png"
    ),
    "test.csv: can't be read": lambda lists: (lists / "test.csv").unlink(),
    "train.csv: must be a CSV list with the columns image and label": lambda lists: (
        lists / "train.csv"
    ).write_text("picture\na.png\n"),
    "train.csv: can't be read": lambda lists: (lists / "train.csv").write_bytes(
        b"image,label\n\xff\xfe,b\n"
    ),
}


def drop_last(file: Path) -> None:
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")


def add(file: Path, image: str) -> None:
    file.write_text(file.read_text() + f"{image},x\n")


@pytest.mark.parametrize("message", LISTS)
def test_split_lists_of_other_images_are_refused(folder: Path, message: str) -> None:
    read(folder)
    LISTS[message](folder / "splits")
    assert message in refused(folder)
    assert str(folder / "splits") in refused(folder)


@pytest.mark.parametrize("count", range(4, 31))
def test_from_four_images_on_no_split_in_time_is_empty(count: int) -> None:
    frames = [Frame(image=Path(f"{i}"), label=Path(f"{i}")) for i in range(count)]
    split = time_ordered(frames)
    assert [frame for name in SPLIT_NAMES for frame in split[name]] == frames
    assert all(split.values())


def test_too_few_images_are_refused_and_no_lists_are_left(folder: Path) -> None:
    for path in sorted(folder.glob("V-*/*/*"))[3:]:
        path.unlink()
    for path in folder.glob("V-*/images/*"):
        save_frame(path.parent.parent, path.stem)
    assert "3 images are too few to be split 7:2:1; at least 4 are needed" in refused(folder)
    assert not (folder / "splits").exists()


# What is refused ----------------------------------------------------------------------------------

NAME = f"{START + 2}-092002506"
"""A frame of V-00 that is in the training split."""


def rewrite_label(folder: Path, label: np.ndarray, mode: str | None = None) -> None:
    Image.fromarray(label, mode=mode).save(folder / "V-00" / "labels" / f"{NAME}.png")


def tiff_label(folder: Path, label: np.ndarray) -> None:
    (folder / "V-00" / "labels" / f"{NAME}.png").unlink()
    Image.fromarray(label).save(folder / "V-00" / "labels" / f"{NAME}.tif")


def with_unknown_grey(folder: Path) -> None:
    label = np.full((HEIGHT, WIDTH), 4, dtype=np.uint8)
    label[5, 7] = 33
    rewrite_label(folder, label)


BROKEN: dict[str, Callable[[Path], object]] = {
    f"V-00/images/{NAME}.png: has no label of its own, V-00/labels/{NAME}.png": lambda folder: (
        folder / "V-00" / "labels" / f"{NAME}.png"
    ).unlink(),
    f"V-00/labels/{NAME}.png: has no image in V-00/images": lambda folder: (
        folder / "V-00" / "images" / f"{NAME}.png"
    ).unlink(),
    f"V-00/labels/{NAME}.png: has 32x23 pixels, but its image {NAME}.png has "
    "32x24": lambda folder: rewrite_label(folder, np.ones((23, 32), dtype=np.uint8)),
    f"V-00/labels/{NAME}.png: the grey value 33 (row 5, column 7) is not in "
    "classes.yaml": with_unknown_grey,
    f"V-00/labels/{NAME}.png: grey values must be from 0 to 255, got 300": lambda folder: (
        rewrite_label(folder, np.full((HEIGHT, WIDTH), 300, dtype=np.uint16))
    ),
    f"V-00/labels/{NAME}.tif: grey values must be from 0 to 255, got -1": lambda folder: tiff_label(
        folder, np.full((HEIGHT, WIDTH), -1, dtype=np.int32)
    ),
    f"V-00/labels/{NAME}.png: its image has two labels; remove one": lambda folder: Image.new(
        "L", (WIDTH, HEIGHT), 1
    ).save(folder / "V-00" / "labels" / f"{NAME}.tif"),
    f"V-00/labels/{NAME}.png: a label must have one channel of whole numbers or be RGB, got mode "
    "RGBA": lambda folder: rewrite_label(folder, np.ones((HEIGHT, WIDTH, 4), dtype=np.uint8)),
    f"V-00/labels/{NAME}.png: the color [1, 1, 1] (row 0, column 0) is not in "
    "classes.yaml": lambda folder: rewrite_label(
        folder, np.ones((HEIGHT, WIDTH, 3), dtype=np.uint8)
    ),
    f"V-00/labels/{NAME}.png: can't be read as an image": lambda folder: (
        folder / "V-00" / "labels" / f"{NAME}.png"
    ).write_bytes(b"no image"),
    f"V-00/images/{NAME}.png: can't be read as an image": lambda folder: (
        folder / "V-00" / "images" / f"{NAME}.png"
    ).write_bytes(b"no image"),
    "V-00/images/frame.png: the name holds no UNIX time": lambda folder: save_frame(
        folder / "V-00", "frame"
    ),
    "must hold one of classes.yaml and classes.json, got none": lambda folder: (
        folder / "classes.yaml"
    ).unlink(),
    "must hold one of classes.yaml and classes.json, got both": lambda folder: (
        folder / "classes.json"
    ).touch(),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_file_is_told_by_name(folder: Path, message: str) -> None:
    BROKEN[message](folder)
    told = refused(folder)
    assert message in told
    assert str(folder) in told


def test_a_broken_file_is_told_after_good_ones_were_read(folder: Path) -> None:
    read(folder)
    Image.new("RGB", (WIDTH, HEIGHT - 1)).save(folder / "V-00" / "images" / f"{NAME}.png")
    assert (
        f"V-00/labels/{NAME}.png: has 32x24 pixels, but its image {NAME}.png has 32x23"
        in refused(folder)
    )


def test_a_cut_label_is_refused(folder: Path) -> None:
    file = folder / "V-00" / "labels" / f"{NAME}.png"
    file.write_bytes(file.read_bytes()[:-60])
    assert f"labels/{NAME}.png: can't be read as an image" in refused(folder)


def test_a_broken_test_file_is_told_when_the_test_split_is_opened(folder: Path) -> None:
    name = f"{START + 19}-092019506"
    (folder / "V-01" / "labels" / f"{name}.png").write_bytes(b"no image")
    splits = read(folder)
    with pytest.raises(TaskError, match=rf"labels/{name}\.png: can't be read"):
        splits.test()


def test_all_broken_files_are_told_at_once_but_not_without_end(folder: Path) -> None:
    for file in folder.glob("V-*/labels/*"):
        file.unlink()
    told = refused(folder).splitlines()
    assert len(told) == 11
    assert told[-1] == "and 10 more files"


def test_folders_without_sequences_or_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(CLASSES_YAML)
    assert "holds no sequence, which is a folder with images/ and labels/" in refused(tmp_path)
    for name in ("images", "labels"):
        (tmp_path / "V-00" / name).mkdir(parents=True)
    assert "there is no image in the images/ of V-00" in refused(tmp_path)
    assert "must hold one of" in refused(tmp_path / "absent")
