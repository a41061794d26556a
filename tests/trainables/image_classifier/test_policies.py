"""Proves that each image passes just the operation that it drew, and that it is torchvision's.

pytest tests/trainables/image_classifier/test_policies.py
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from trainables.image_classifier.policies import (
    OPERATIONS,
    TRIVIAL,
    drawn,
    operated,
    rand_augmented,
    trivially_augmented,
)

LEVEL = 0.4


def images(rows: int = 2, height: int = 24, width: int = 32) -> Tensor:
    """Smooth colours, all of 20 to 220."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(rows, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return (20 + 200 * smooth).byte()


def affine(image: Tensor, **values: Any) -> Tensor:
    plain: dict[str, Any] = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    return tv.affine(image, **plain | values)


SHEAR = math.degrees(math.atan(0.99 * LEVEL))
TORCHVISIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda image: image,
    "shear_x": lambda image: affine(image, shear=[SHEAR, 0.0], center=[0, 0]),
    "shear_y": lambda image: affine(image, shear=[0.0, SHEAR], center=[0, 0]),
    "translate_x": lambda image: affine(image, translate=[-12, 0]),
    "translate_y": lambda image: affine(image, translate=[0, -12]),
    "rotate": lambda image: tv.rotate(image, -135 * LEVEL),
    "brightness": lambda image: tv.adjust_brightness(image, 1 + 0.99 * LEVEL),
    "color": lambda image: tv.adjust_saturation(image, 1 + 0.99 * LEVEL),
    "contrast": lambda image: tv.adjust_contrast(image, 1 + 0.99 * LEVEL),
    "sharpness": lambda image: tv.adjust_sharpness(image, 1 + 0.99 * LEVEL),
    "posterize": lambda image: tv.posterize(image, 8 - round(6 * LEVEL)),
    "solarize": lambda image: tv.solarize(image, 255 * (1 - LEVEL)),
    "autocontrast": tv.autocontrast,
    "equalize": tv.equalize,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_torchvisions_and_leaves_other_images_alone(name: str) -> None:
    before = images()
    chosen = torch.tensor([OPERATIONS.index(name), OPERATIONS.index("identity")])
    after = operated(before, chosen, torch.tensor([LEVEL, LEVEL]), TRIVIAL)
    assert torch.equal(after[1], before[1])
    expected = TORCHVISIONS[name](before[0])
    near = (after[0].float() - expected.float()).abs() <= 2
    assert near.float().mean() > 0.98, "but for pixels just between two others"


def test_the_operations_are_torchvisions() -> None:
    theirs = v2.TrivialAugmentWide._AUGMENTATION_SPACE
    assert [name.lower() for name in theirs] == [name.replace("_", "") for name in OPERATIONS]


def test_all_are_drawn_in_both_directions() -> None:
    torch.manual_seed(0)
    chosen, levels = drawn(torch.full((4200,), 0.5))
    counts = chosen.bincount(minlength=len(OPERATIONS))
    assert counts.tolist() == pytest.approx([300] * 14, abs=4 * 17)
    assert int((levels < 0).sum()) == pytest.approx(2100, abs=4 * 33)


@pytest.mark.parametrize("policy", [lambda images: rand_augmented(images, 9), trivially_augmented])
def test_a_policy_gives_bytes_of_the_same_size_by_the_seed(
    policy: Callable[[Tensor], Tensor],
) -> None:
    before, results = images(1).expand(32, -1, -1, -1), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(policy(before))
    assert results[0].shape == before.shape
    assert results[0].dtype == torch.uint8
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert len({image.numpy().tobytes() for image in results[0]}) > 16


def test_without_level_only_what_has_none_changes_anything() -> None:
    before = images(len(OPERATIONS))
    after = operated(before, torch.arange(len(OPERATIONS)), torch.zeros(len(OPERATIONS)), TRIVIAL)
    same = [name for name, a, b in zip(OPERATIONS, before, after, strict=True) if torch.equal(a, b)]
    assert same == list(OPERATIONS[:-2])
