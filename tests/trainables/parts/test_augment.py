"""Proves what augmentations share against torchvision and PyTorch: pytest tests/trainables/parts.

Shapes: B batch, H height, W width.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from trainables.parts.augment import (
    brightened,
    contrasted,
    grey,
    hue_turned,
    rectangles,
    resampled,
    resampling,
    saturated,
)

CPU = torch.device("cpu")


def images() -> Tensor:
    torch.manual_seed(0)
    images_B3HW = torch.rand(4, 3, 9, 11) * 255
    images_B3HW[0, :, 0] = 80  # a grey line: hues of nothing
    return images_B3HW


@pytest.mark.parametrize(
    ("change", "torchvisions", "amounts"),
    [
        (brightened, tv.adjust_brightness, (0.5, 1.0, 1.3, 0.9)),
        (contrasted, tv.adjust_contrast, (0.5, 1.0, 1.3, 0.9)),
        (saturated, tv.adjust_saturation, (0.5, 1.0, 1.3, 0.9)),
        (hue_turned, tv.adjust_hue, (0.5, 0.0, -0.3, 0.1)),
    ],
)
def test_colors_change_as_torchvisions_each_by_its_amount(
    change: Callable[[Tensor, Tensor], Tensor], torchvisions: Any, amounts: tuple[float, ...]
) -> None:
    before = images()
    after = change(before, torch.tensor(amounts)[:, None, None, None]).clamp(0, 255)
    for found, image, amount in zip(after, before, amounts, strict=True):
        expected = 255 * torchvisions(image / 255, amount)
        torch.testing.assert_close(found, expected, atol=0.05, rtol=1e-3)


def test_grey_is_torchvisions() -> None:
    expected = tv.rgb_to_grayscale(images() / 255) * 255
    torch.testing.assert_close(grey(images()), expected, atol=0.05, rtol=1e-3)


@pytest.mark.parametrize("size", [(4, 5), (9, 11), (20, 30), (4, 30)])
def test_whole_images_are_resampled_as_pytorch_does(size: tuple[int, int]) -> None:
    before = images()
    lines = [
        resampling(torch.zeros(4), torch.full((4,), old / new), old, new)
        for old, new in zip((9, 11), size, strict=True)
    ]
    expected = F.interpolate(before, size=size, mode="bilinear", antialias=True)
    torch.testing.assert_close(resampled(before, *lines), expected, atol=1e-3, rtol=1e-4)


def test_rectangles_have_the_areas_and_aspects_that_they_say_if_they_fit() -> None:
    torch.manual_seed(0)
    sizes_B2, fits_B = rectangles(3000, (0.02, 0.33), (0.3, 1 / 0.3), 1.5, CPU)
    areas_B, aspects_B = sizes_B2.prod(1), 1.5 * sizes_B2[:, 0] / sizes_B2[:, 1]
    assert fits_B.float().mean() > 0.99
    assert (sizes_B2[fits_B] <= 1).all()
    assert 0.02 <= areas_B.min() < 0.03 < 0.3 < areas_B.max() <= 0.33
    assert 0.299 < aspects_B.min() < 0.33 < 3 < aspects_B.max() < 3.34
    assert float(aspects_B.log().mean()) == pytest.approx(0, abs=0.1), "wide as often as tall"
    assert not rectangles(5, (0.99, 1.0), (3.0, 3.0), 1.0, CPU)[1].any()
