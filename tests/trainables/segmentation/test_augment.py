"""Proves that image and label are varied together and labels stay classes: pytest tests/trainables.

Shapes: B batch, H height, W width.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from trainables.config import TaskError, build_config
from trainables.segmentation.augment import AugmentConfig, augmented, transforms
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


def test_labels_are_taken_where_the_image_is_not_half_a_pixel_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = labels_in_the_image(64)
    results = {}
    for crop in ("ours", "torchvision's"):
        torch.manual_seed(1)
        results[crop] = disagreement(*augmented(augment_of(crop=0.2), images, labels), edges=True)
        monkeypatch.setattr(
            "trainables.segmentation.augment.AlignedResizedCrop", v2.RandomResizedCrop
        )
        transforms.cache_clear()
    transforms.cache_clear()
    assert results["ours"] < 0.5 * results["torchvision's"]


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
    def steps(config: AugmentConfig) -> set[str]:
        return {type(step).__name__ for step in transforms(config, 40, 40).transforms} - {
            "Identity"
        }

    first = {"RandomHorizontalFlip", "RandomRotation", "RandomApply"}
    assert steps(AugmentConfig()) == first
    assert steps(AugmentConfig(color=0.4, crop=0.5)) == first | {
        "ColorJitter",
        "AlignedResizedCrop",
    }
    assert steps(augment_of()) == set()


def test_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = labels_in_the_image(2)
    monkeypatch.setattr("trainables.segmentation.augment.transforms", lambda *_: v2.CenterCrop(20))
    with pytest.raises(ValueError, match=r"must keep the shapes.*label=\(20, 20\)"):
        augmented(augment_of(), images, labels)


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
