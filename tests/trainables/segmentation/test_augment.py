"""Proves that image and label are varied together and labels stay classes: pytest tests/trainables.

Shapes: B batch, H height, W width.
"""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from trainables.config import TaskError, build_config
from trainables.segmentation.augment import (
    AugmentConfig,
    augmented,
    blurred,
    convolved,
    moved,
    places,
)
from trainables.segmentation.config import SegmentationConfig
from trainables.segmentation.losses import IGNORED
from trainables.segmentation.task import Segmentation

NONE: dict[str, Any] = {"flip": 0.0, "rotation_degrees": 0.0, "blur": 0.0}
GEOMETRY = [
    {"flip": 0.5},
    {"rotation_degrees": 30.0},
    {"crop": 0.3},
    {"flip": 0.5, "rotation_degrees": 20.0, "crop": 0.5},
]


def augment_of(**values: Any) -> AugmentConfig:
    return AugmentConfig(**(NONE | values))


def labels_in_the_image(rows: int = 32, side: int = 40) -> tuple[Tensor, Tensor]:
    """Smooth blobs of classes 1 and 3 on 0 and 2.

    The image's three channels show the label x 60.
    """
    torch.manual_seed(0)
    coarse_B1HW = torch.rand(rows, 1, 4, 4)
    smooth_BHW = torch.nn.functional.interpolate(
        coarse_B1HW, size=(side, side), mode="bicubic"
    ).squeeze(1)
    labels_BHW = (smooth_BHW * 4).clamp(0, 3).to(torch.uint8)
    return (labels_BHW * 60)[:, None].expand(-1, 3, -1, -1).contiguous(), labels_BHW


def disagreement(images_B3HW: Tensor, labels_BHW: Tensor, *, edges: bool) -> float:
    """Share of pixels whose image doesn't show their label.

    Without `edges` only those like their eight neighbors.
    """
    wrong_BHW = (images_B3HW[:, 0].float() / 60).round() != labels_BHW
    counted_BHW = labels_BHW != IGNORED
    if not edges:
        near = torch.nn.functional.unfold(labels_BHW[:, None].float(), 3, padding=1).reshape(
            len(labels_BHW), 9, -1
        )
        counted_BHW &= (near == near[:, 4:5]).all(1).reshape(labels_BHW.shape)
    assert float(counted_BHW.float().mean()) > 0.3
    return float(wrong_BHW[counted_BHW].float().mean())


@pytest.mark.parametrize("values", GEOMETRY)
def test_image_and_label_move_together(values: dict[str, float]) -> None:
    images, labels = labels_in_the_image()
    torch.manual_seed(1)
    moved_images, moved_labels = augmented(augment_of(**values), images, labels)
    assert disagreement(moved_images, moved_labels, edges=False) == 0
    assert disagreement(moved_images, moved_labels, edges=True) < 0.06, "edges are interpolated"
    assert disagreement(moved_images, labels, edges=False) > 0.06, (
        "the labels of before no longer agree"
    )


def test_labels_are_taken_where_the_image_is_not_half_a_pixel_beside() -> None:
    images, labels = labels_in_the_image(64)
    torch.manual_seed(1)
    ours = disagreement(*augmented(augment_of(crop=0.2), images, labels), edges=True)
    crop = v2.RandomResizedCrop((40, 40), scale=(0.2, 1.0))
    pairs = [
        crop(tv_tensors.Image(image), tv_tensors.Mask(label))
        for image, label in zip(images, labels, strict=True)
    ]
    theirs = disagreement(*map(torch.stack, zip(*pairs, strict=True)), edges=True)
    assert ours < 0.5 * theirs


@pytest.mark.parametrize(
    "values", [*GEOMETRY, {"color": 0.4, "blur": 1.0}, {"color": 1.0, "crop": 0.1, "blur": 1.0}]
)
def test_labels_stay_classes_and_shapes_and_types_stay(values: dict[str, float]) -> None:
    images, labels = labels_in_the_image()
    labels[labels == 2] = IGNORED
    before = set(labels.unique().tolist())
    varied_images, varied_labels = augmented(augment_of(**values), images, labels)
    assert varied_images.shape == images.shape
    assert varied_labels.shape == labels.shape
    assert (varied_images.dtype, varied_labels.dtype) == (torch.uint8, torch.uint8)
    assert type(varied_images) is type(varied_labels) is Tensor
    assert set(varied_labels.unique().tolist()) <= before | {IGNORED}
    assert not torch.equal(varied_images, images)


@pytest.mark.parametrize("values", [{"color": 0.4}, {"blur": 1.0}])
def test_color_and_blur_leave_labels_alone(values: dict[str, float]) -> None:
    images, labels = labels_in_the_image()
    varied_images, varied_labels = augmented(augment_of(**values), images, labels)
    assert torch.equal(varied_labels, labels)
    assert not torch.equal(varied_images, images)


def test_what_a_turn_brings_in_is_ignored_and_nothing_else() -> None:
    images = torch.full((16, 3, 40, 40), 200, dtype=torch.uint8)
    labels = torch.ones(16, 40, 40, dtype=torch.uint8)
    torch.manual_seed(3)
    turned_images, turned_labels = augmented(augment_of(rotation_degrees=45.0), images, labels)
    black_BHW = turned_images[:, 0] < 50
    assert 0.02 < float((turned_labels == IGNORED).float().mean()) < 0.2
    assert float((black_BHW & (turned_labels != IGNORED)).float().mean()) < 0.005
    assert float((~black_BHW & (turned_labels == IGNORED)).float().mean()) < 0.02
    assert (turned_labels[:, 10:30, 10:30] == 1).all()


def test_each_image_is_varied_on_its_own_and_the_seed_decides() -> None:
    images, labels = labels_in_the_image(2)
    images[1], labels[1] = images[0], labels[0]
    config, results = AugmentConfig(color=0.4, crop=0.5), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augmented(config, images, labels))
    assert not torch.equal(results[0][0][0], results[0][0][1])
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[2][0])


def test_without_strength_nothing_changes() -> None:
    images, labels = labels_in_the_image()
    same_images, same_labels = augmented(augment_of(), images, labels)
    assert torch.equal(same_images, images)
    assert torch.equal(same_labels, labels)


def test_the_recipes_are_made_of_what_they_are_said_to_be() -> None:
    first, second = AugmentConfig(), AugmentConfig(color=0.4, crop=0.5)
    assert (first.flip, first.rotation_degrees, first.blur) == (0.5, 10.0, 0.5)
    assert (first.color, first.crop) == (0.0, 1.0)
    assert replace(second, color=0.0, crop=1.0) == first


@pytest.mark.parametrize("size", [(40, 40), (30, 50)])
def test_a_turn_is_torchvisions_rotation(size: tuple[int, int]) -> None:
    """By the same angle; at the edge, where it blends with black, and of labels, edges differ."""
    images, labels = labels_in_the_image(4)
    images, labels = images[..., : size[0], :], labels[..., : size[0], :]
    images, labels = (F.pad(each, (0, size[1] - 40), value=0) for each in (images, labels))
    angle = math.radians(25)
    aspect = size[1] / size[0]
    turn = [
        [math.cos(angle), math.sin(angle) / aspect, 0],
        [-math.sin(angle) * aspect, math.cos(angle), 0],
    ]
    found, found_labels = moved(images.float(), labels, torch.tensor([turn] * 4))
    expected = v2.functional.rotate(images.float(), -25, InterpolationMode.BILINEAR)
    near = ((found - expected).abs() < 1).float().mean()
    assert near > 0.95
    expected_labels = v2.functional.rotate(labels[:, None], -25, fill=IGNORED)[:, 0]
    assert (found_labels == expected_labels).float().mean() > 0.97


def test_crops_keep_at_least_their_share_and_lie_inside() -> None:
    torch.manual_seed(0)
    images = torch.zeros(2000, 3, 30, 50)
    places_B23 = places(augment_of(crop=0.3), images)
    sizes_B2 = places_B23[:, [0, 1], [0, 1]]
    areas_B, aspects_B = sizes_B2.prod(1), sizes_B2[:, 0] / sizes_B2[:, 1] * 50 / 30
    assert (places_B23[:, [0, 1], [1, 0]] == 0).all()
    assert (sizes_B2 + places_B23[..., 2].abs() <= 1 + 1e-6).all()
    assert areas_B.min() >= 0.3
    whole_B = areas_B == 1
    assert ((aspects_B > 3 / 4 - 1e-4) & (aspects_B < 4 / 3 + 1e-4))[~whole_B].all()
    assert whole_B.float().mean() < 0.05


def test_a_blur_is_torchvisions_with_each_images_own_deviation() -> None:
    images = torch.rand(3, 3, 20, 24) * 255
    steps_K = torch.arange(-4, 5)
    deviations = (0.3, 1.0, 1.5)
    weights_BK = torch.stack([(-0.5 * (steps_K / each) ** 2).softmax(0) for each in deviations])
    for found, image, deviation in zip(
        convolved(images, weights_BK), images, deviations, strict=True
    ):
        expected = v2.functional.gaussian_blur(image, [9, 9], [deviation, deviation])
        torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-4)


def test_blurs_happen_as_often_as_they_say() -> None:
    torch.manual_seed(0)
    images = torch.rand(400, 1, 9, 9) * 255
    changed_B = (blurred(images, 0.25, 2.0) - images).abs().flatten(1).amax(1) > 1e-3
    assert int(changed_B.sum()) == pytest.approx(100, abs=4 * 9)


def test_only_training_is_varied() -> None:
    config = build_config(
        SegmentationConfig, {"data.scenes": 20, "data.side": 16, "augment.crop": 0.2}
    )
    task, seen = Segmentation(), []
    batch = next(task.data(config, 0).validation.batches(4))
    model: Any = torch.nn.Conv2d(3, 5, 1).eval()
    for _ in range(2):
        seen.append(task.loss(config, model, batch)[1])
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize(
    "name", ["flip", "blur", "color", "crop", "rotation_degrees", "blur_pixels"]
)
def test_strengths_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(TaskError, match=rf"augment: {name} must be .*{name}=-1.0"):
        build_config(SegmentationConfig, {f"augment.{name}": -1.0})
