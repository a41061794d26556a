"""Proves that images are read upright, in RGB and at their size, and normalized rightly: pytest tests/trainables."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from trainables.images import IMAGENET_MEAN, IMAGENET_STD, digit_strokes, image_files, normalized, read_image


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


def test_a_file_that_is_no_image_or_cut_short_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    noise = np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    for name in ("text.png", "cut.png"):
        with pytest.raises(ValueError, match="can't be read as an image"):
            read_image(tmp_path / name, 8, 8)


def test_images_of_a_folder_come_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.jpeg", "b.PNG"]


def test_normalizing_equals_torchvision() -> None:
    images = torch.randint(256, (4, 3, 5, 6), dtype=torch.uint8)
    reference = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)])
    torch.testing.assert_close(normalized(images), reference(images))
    assert normalized(images).is_contiguous(memory_format=torch.channels_last)


def test_digit_strokes_are_the_digits_enlarged() -> None:
    ink_NHW, classes_N = digit_strokes(24)
    assert ink_NHW.shape == (1797, 24, 24)
    assert (ink_NHW.min(), ink_NHW.max()) == (0, 1)
    assert classes_N.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    small_NHW, _ = digit_strokes(8)
    averaged = torch.nn.functional.avg_pool2d(ink_NHW[:, None], 3).squeeze(1)
    assert (averaged - small_NHW).abs().mean() < 0.05
