"""Proves that images are read by their values, upright, in RGB, at their size, and normalized.

Command: pytest tests/trainables.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from trainables.parts.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    digit_strokes,
    image_files,
    normalized,
    read_image,
)
from trainables.parts.left_out import LeftOut


def test_an_image_is_read_upright_in_rgb_and_resized(tmp_path: Path) -> None:
    left_red = np.zeros((20, 40, 3), np.uint8)
    left_red[:, :20, 0] = 255
    image = Image.fromarray(left_red)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    image.save(tmp_path / "turned.png", exif=exif)
    pixels_CHW = read_image(tmp_path / "turned.png", height=8, width=4)
    assert pixels_CHW.shape == (3, 8, 4)
    assert pixels_CHW.dtype == np.uint8
    assert pixels_CHW[0, :3].min() == 255, "the left half is the upper one once it stands upright"
    assert pixels_CHW[0, 5:].max() == 0


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_three_channels(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.tif" if mode in ("CMYK", "I;16") else "x.png")
    Image.new(mode, (5, 7)).save(path)
    assert read_image(path, 7, 5).shape == (3, 7, 5)


GREYS_HW = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
"""Grey values as bytes."""

WIDE: dict[str, tuple[np.ndarray, str]] = {
    "16-bit PNG": (GREYS_HW.astype(np.uint16) * 257, "png"),
    "16-bit TIFF": (GREYS_HW.astype(np.uint16) * 257, "tif"),
    "32-bit TIFF with white at 65535": (GREYS_HW.astype(np.int32) * 257, "tif"),
    "32-bit TIFF with white at 255": (GREYS_HW.astype(np.int32), "tif"),
    "float TIFF with white at 1": (GREYS_HW.astype(np.float32) / 255, "tif"),
    "float TIFF with white at 255": (GREYS_HW.astype(np.float32), "tif"),
}


@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize(("height", "width"), [(30, 40), (12, 16), (45, 44)])
def test_wide_greys_are_read_like_the_bytes_they_stand_for(
    kind: str, height: int, width: int, tmp_path: Path
) -> None:
    values_HW, ending = WIDE[kind]
    Image.fromarray(values_HW).save(tmp_path / f"wide.{ending}")
    Image.fromarray(GREYS_HW).save(tmp_path / "bytes.png")
    expected_CHW = read_image(tmp_path / "bytes.png", height, width)
    assert np.array_equal(read_image(tmp_path / f"wide.{ending}", height, width), expected_CHW)
    if (height, width) == GREYS_HW.shape:
        assert np.array_equal(expected_CHW, np.stack([GREYS_HW] * 3))


def test_a_big_endian_16_bit_tiff_is_read_by_its_values(tmp_path: Path) -> None:
    values_HW = np.array([[0, 257, 32896, 65535]], np.uint16)
    (tmp_path / "x.tif").write_bytes(big_endian_tiff(values_HW))
    with Image.open(tmp_path / "x.tif") as image:
        assert image.mode == "I;16B"
    assert read_image(tmp_path / "x.tif", 1, 4)[0].tolist() == [[0, 1, 128, 255]]


def big_endian_tiff(values_HW: np.ndarray) -> bytes:
    """A TIFF file of one strip as the standard has it; Pillow writes only little-endian ones."""
    height, width = values_HW.shape
    pixels = values_HW.astype(">u2").tobytes()
    tags = {
        256: width,
        257: height,
        258: 16,
        259: 1,
        262: 1,
        273: 8,
        277: 1,
        278: height,
        279: len(pixels),
    }
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = struct.pack(">2sHI", b"MM", 42, 8 + len(pixels))
    return header + pixels + struct.pack(">H", len(tags)) + entries + bytes(4)


def test_a_wide_grey_image_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 65535]], np.uint16))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    image.save(tmp_path / "x.png", exif=exif)
    assert read_image(tmp_path / "x.png", 2, 1)[0].tolist() == [[0], [255]]


INTEGERS, FLOATS = (
    "32-bit grey values must lie from 0 to 255 or",
    "floating-point grey values must lie from 0 to 1 or",
)


@pytest.mark.parametrize(
    ("values", "rule", "got"),
    [
        (np.array([[-1, 7]], np.int32), INTEGERS, "got -1 to 7"),
        (np.array([[0, 65536]], np.int32), INTEGERS, "got 0 to 65536"),
        (np.array([[-0.5, 1]], np.float32), FLOATS, "got -0.5 to 1.0"),
        (np.array([[0, 256.5]], np.float32), FLOATS, "got 0.0 to 256.5"),
        (np.array([[0, np.nan]], np.float32), FLOATS, "got nan to nan"),
        (np.array([[0, np.inf]], np.float32), FLOATS, "got 0.0 to inf"),
    ],
)
def test_wide_greys_without_a_meaning_are_refused(
    values: np.ndarray, rule: str, got: str, tmp_path: Path
) -> None:
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=f"^{rule} .*{got}; scale them"):
        read_image(tmp_path / "x.tif", 1, 2)


def test_palettes_and_cmyk_give_their_colours(tmp_path: Path) -> None:
    red_RGB = (200, 10, 30)
    plain = Image.new("RGB", (4, 4), red_RGB)
    images = {
        "palette.png": plain.convert("P", palette=Image.Palette.ADAPTIVE),
        "opaque.png": Image.new("RGBA", (4, 4), (*red_RGB, 255)),
        "print.tif": plain.convert("CMYK"),
    }
    for name, image in images.items():
        image.save(tmp_path / name)
        assert read_image(tmp_path / name, 4, 4)[:, 0, 0].tolist() == list(red_RGB), name


TRANSPARENT: dict[str, tuple[Image.Image, dict[str, Any], int]] = {
    "clear RGBA": (Image.new("RGBA", (4, 4), (0, 0, 0, 0)), {}, 255),
    "half clear RGBA": (Image.new("RGBA", (4, 4), (100, 100, 100, 51)), {}, 224),
    "clear LA": (Image.new("LA", (4, 4), (90, 0)), {}, 255),
    "opaque LA": (Image.new("LA", (4, 4), (90, 255)), {}, 90),
    "palette with a clear colour": (Image.new("L", (4, 4)).convert("P"), {"transparency": 0}, 255),
    "RGB with a clear colour": (Image.new("RGB", (4, 4)), {"transparency": (0, 0, 0)}, 255),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparent_images_lie_on_white(kind: str, tmp_path: Path) -> None:
    """51 of 255 parts of 100 and the others of 255 are 224."""
    image, options, expected = TRANSPARENT[kind]
    image.save(tmp_path / "x.png", **options)
    assert (read_image(tmp_path / "x.png", 4, 4) == expected).all()


@pytest.mark.parametrize(("mode", "value"), [("L", 90), ("1", 255)])
def test_narrow_greys_are_grey_in_all_channels(mode: str, value: Any, tmp_path: Path) -> None:
    Image.new(mode, (4, 4), value).save(tmp_path / "x.png")
    expected = 255 if mode == "1" else 90
    assert (read_image(tmp_path / "x.png", 4, 4) == expected).all()


def test_a_file_that_is_no_image_or_cut_short_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    noise = np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    for name in ("text.png", "cut.png"):
        with pytest.raises(ValueError, match="can't be read as an image"):
            read_image(tmp_path / name, 8, 8)


def test_images_of_a_folder_come_by_name_and_folders_in_it_are_told(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "notes.txt", "._a.jpeg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    left_out = LeftOut(tmp_path)
    assert [path.name for path in image_files(tmp_path, left_out)] == ["a.jpeg", "b.PNG"]
    assert left_out.warning() == "data: left out 1 sub-folder (first: folder.png)"


def test_normalizing_equals_torchvision() -> None:
    images = torch.randint(256, (4, 3, 5, 6), dtype=torch.uint8)
    reference = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    )
    torch.testing.assert_close(normalized(images), reference(images))
    other = v2.Normalize((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))(reference.transforms[0](images))
    torch.testing.assert_close(normalized(images, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)), other)
    assert normalized(images).is_contiguous(memory_format=torch.channels_last)


def test_digit_strokes_are_the_digits_enlarged() -> None:
    ink_NHW, classes_N = digit_strokes(24)
    assert ink_NHW.shape == (1797, 24, 24)
    assert [ink_NHW.min().item(), ink_NHW.max().item()] == [0, 1]
    assert classes_N.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    small_NHW, _ = digit_strokes(8)
    averaged = torch.nn.functional.avg_pool2d(ink_NHW[:, None], 3).squeeze(1)
    assert (averaged - small_NHW).abs().mean() < 0.05
