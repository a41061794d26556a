"""Proves that augmentations do what they say, to whom they say, and nothing else.

pytest tests/trainables/image_classifier/test_augment.py

Shapes: B batch, H height, W width.
"""

import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from trainables.config import TaskError, build_config
from trainables.image_classifier.augment import (
    CROP_ASPECTS,
    AugmentConfig,
    augmented,
    crop_boxes,
    cropped,
    mirrored,
    mixed,
    overlaid,
    pasted,
)
from trainables.parts.data import Batch

SIDE = 20
POSITIVE_GREY = 200


def config_of(**values: Any) -> AugmentConfig:
    return build_config(AugmentConfig, values)


def batch_of(positives: int = 3, negatives: int = 9) -> Batch:
    """Positives all of one grey, then negatives of noise that is darker."""
    generator = torch.Generator().manual_seed(0)
    noise_B3HW = torch.randint(
        1, 100, (positives + negatives, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8
    )
    positive_B = torch.arange(positives + negatives) < positives
    images_B3HW = torch.where(positive_B[:, None, None, None], POSITIVE_GREY, noise_B3HW).to(
        torch.uint8
    )
    return {"images": images_B3HW, "labels": positive_B.long() * 2, "positive": positive_B}


def changed_rectangle(before_3HW: Tensor, after_3HW: Tensor) -> tuple[slice, slice]:
    """The smallest rectangle that holds all pixels that differ."""
    differs_HW = (before_3HW != after_3HW).any(0)
    rows, columns = differs_HW.any(1).nonzero()[:, 0], differs_HW.any(0).nonzero()[:, 0]
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


# Pasting ------------------------------------------------------------------------------------------


def test_every_negative_gets_a_positive_and_becomes_one() -> None:
    batch = batch_of()
    after = pasted(batch, 1.0, 0.0, 0.4)
    assert after["positive"].all()
    assert (after["labels"] == 2).all()
    assert torch.equal(after["images"][:3], batch["images"][:3]), "positives stay as they are"
    places = set()
    for before, image in zip(batch["images"][3:], after["images"][3:], strict=True):
        rows, columns = changed_rectangle(before, image)
        assert (image[:, rows, columns] == POSITIVE_GREY).all(), "inside stands the positive"
        outside = before.clone()
        outside[:, rows, columns] = POSITIVE_GREY
        assert torch.equal(image, outside), "outside nothing changes"
        assert 0.4 * SIDE <= rows.stop - rows.start == columns.stop - columns.start <= 0.9 * SIDE
        places.add((rows.start, columns.start, rows.stop))
    assert len(places) > 3, "places and sizes vary"


def test_what_is_pasted_is_the_whole_giver_shrunk() -> None:
    batch = batch_of(1, 1)
    batch["images"][0] = torch.arange(SIDE, dtype=torch.uint8) * 10
    after = pasted(batch, 1.0, 0.0, 0.9)["images"][1]
    rows, columns = changed_rectangle(batch["images"][1], after)
    patch = after[:, rows, columns]
    assert patch.shape == (3, 18, 18)
    assert torch.equal(patch[:, :1].expand_as(patch), patch), "columns of one colour stay so"
    steps = patch[0, 0].float().diff()
    assert ((steps - 200 / 18).abs() <= 1).all(), "its colours rise evenly over the whole range"


def test_a_decoy_changes_a_negative_but_not_its_label() -> None:
    batch = batch_of(3, 6)
    after = pasted(batch, 0.0, 1.0, 0.4)
    assert torch.equal(after["labels"], batch["labels"])
    assert torch.equal(after["positive"], batch["positive"])
    assert torch.equal(after["images"][:3], batch["images"][:3])
    assert (after["images"][3:] < POSITIVE_GREY).all(), "nothing of a positive is pasted"
    assert all(
        not torch.equal(a, b) for a, b in zip(after["images"][3:], batch["images"][3:], strict=True)
    )


def test_without_probability_or_givers_nothing_is_pasted() -> None:
    batch = batch_of()
    assert pasted(batch, 0.0, 0.0, 0.4) is batch
    only_negatives = batch_of(0, 8)
    after = pasted(only_negatives, 1.0, 0.0, 0.4)
    assert all(torch.equal(after[name], only_negatives[name]) for name in after)


def test_pasting_happens_as_often_as_it_says() -> None:
    torch.manual_seed(0)
    batch = batch_of(1, 2000)
    after = pasted(batch, 0.3, 0.2, 0.4)
    became = int(after["positive"].sum()) - 1
    changed = int((after["images"] != batch["images"]).flatten(1).any(1).sum())
    assert became == pytest.approx(600, abs=4 * 21)  # 4 standard deviations
    assert changed == pytest.approx(1000, abs=4 * 23)


def test_what_is_pasted_has_a_colour_of_its_own() -> None:
    """Overlays come first: a patch has the colour of the positive that it is from."""
    torch.manual_seed(0)
    batch = batch_of()
    after = augmented(
        config_of(overlay_probability=1.0, paste_probability=1.0, paste_min_scale=0.8), batch, SIDE
    )["images"]
    givers = {tuple(image[:, 0, 0].tolist()) for image in after[:3]}
    assert len(givers) == 3
    for image in after[3:]:
        centre = tuple(image[:, SIDE // 2, SIDE // 2].tolist())
        assert centre in givers


# Cropping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 60), (30, 90), (90, 30)])
@pytest.mark.parametrize("min_area", [0.08, 0.9])
def test_crops_are_distributed_as_torchvisions(size: tuple[int, int], min_area: float) -> None:
    torch.manual_seed(0)
    rows = 800
    boxes_B4 = crop_boxes(torch.tensor(size).expand(rows, 2), min_area)
    crop = v2.RandomResizedCrop(SIDE, scale=(min_area, 1.0), ratio=CROP_ASPECTS)
    drawn = [crop.make_params([torch.empty(3, *size)]) for _ in range(rows)]
    theirs_B4 = torch.tensor(
        [[d["left"], d["top"], d["left"] + d["width"], d["top"] + d["height"]] for d in drawn]
    ).float()
    assert (boxes_B4[:, :2] >= 0).all()
    assert (boxes_B4[:, 2:] <= torch.tensor(size).flip(0) + 1e-4).all()
    quantiles = torch.linspace(0.05, 0.95, 10)
    for ours_B, references_B in zip(boxes_B4.T, theirs_B4.T, strict=True):
        difference = ours_B.quantile(quantiles) - references_B.quantile(quantiles)
        assert difference.abs().max() < 0.07 * max(size)


def test_a_crop_is_a_part_of_the_kept_image_and_of_nothing_around_it() -> None:
    """Columns rise by 4 a pixel: a crop's columns rise evenly, from its left to its right edge."""
    columns = 4 * torch.arange(60).clamp(max=49)
    images = columns.to(torch.uint8).expand(16, 3, 40, -1)
    batch = {"images": images, "sizes": torch.tensor([[30, 50]]).expand(16, 2)}
    torch.manual_seed(1)
    boxes_B4 = crop_boxes(batch["sizes"], 0.2)
    torch.manual_seed(1)
    after = cropped(batch, 0.2, SIDE)["images"]
    assert after.shape == (16, 3, SIDE, SIDE) and after.dtype == torch.uint8
    assert (after == after[:, :, :1]).all(), "rows are alike"
    centres_BS = boxes_B4[:, :1] + (boxes_B4[:, 2:3] - boxes_B4[:, :1]) * (
        (torch.arange(SIDE) + 0.5) / SIDE
    )
    expected_BS = (centres_BS - 0.5).clamp(0, 49) * 4
    torch.testing.assert_close(after[:, 0, 0].float(), expected_BS, atol=1.6, rtol=0)


def test_a_crop_of_a_large_image_shows_what_the_resized_image_has_lost() -> None:
    """Stripes of one pixel are even grey once halved; a crop of a quarter of the area has them."""
    torch.manual_seed(3)
    stripes = (torch.arange(2 * SIDE) % 2 * 255).to(torch.uint8).expand(8, 3, 2 * SIDE, -1)
    after = cropped({"images": stripes}, 0.01, SIDE)["images"].float()
    assert after.std(-1).max() > 60


# Colour and mirror
# --------------------------------------------------------------------------------------------------


def test_an_overlay_is_one_colour_with_one_weight_for_each_image() -> None:
    torch.manual_seed(0)
    images = batch_of(0, 8)["images"]
    after = overlaid(images, 1.0, 0.6).float()
    weights = []
    for before, image in zip(images.float(), after, strict=True):
        centred = before - before.mean((1, 2), keepdim=True)
        slopes = (centred * image).sum((1, 2)) / centred.square().sum(
            (1, 2)
        )  # the least-squares line of each channel
        assert slopes.max() - slopes.min() < 0.01, "all channels have the same weight"
        weight = 1 - float(slopes.mean())
        colour = (image - (1 - weight) * before).mean((1, 2)) / weight
        assert ((colour > -2) & (colour < 257)).all()
        expected = torch.lerp(before, colour[:, None, None].expand_as(before), weight)
        torch.testing.assert_close(image, expected, atol=1.01, rtol=0)
        weights.append(weight)
    assert 0 < min(weights) < max(weights) < 0.61
    assert len({round(weight, 3) for weight in weights}) == 8


def test_overlays_happen_as_often_as_they_say() -> None:
    torch.manual_seed(0)
    images = batch_of(0, 2000)["images"]
    assert overlaid(images, 0.0, 0.6) is images
    changed = int((overlaid(images, 0.25, 0.9) != images).flatten(1).any(1).sum())
    assert changed == pytest.approx(500, abs=4 * 20)
    assert (overlaid(images, 1.0, 0.9) != images).flatten(1).any(1).float().mean() > 0.98


def test_mirroring_turns_left_and_right() -> None:
    images = batch_of(0, 1000)["images"]
    assert mirrored(images, 0.0) is images
    assert torch.equal(mirrored(images, 1.0), images.flip(-1))
    torch.manual_seed(0)
    some = mirrored(images, 0.5)
    turned = (some == images.flip(-1)).flatten(1).all(1)
    assert torch.equal(turned, ~(some == images).flatten(1).all(1))
    assert int(turned.sum()) == pytest.approx(500, abs=4 * 16)


# torchvision's ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [{"policy": "rand"}, {"policy": "trivial"}, {"crop_min_area": 0.3}]
)
def test_policies_and_crops_vary_each_image_by_itself(values: dict[str, Any]) -> None:
    torch.manual_seed(0)
    batch = batch_of(0, 1)
    images = batch["images"].expand(16, -1, -1, -1)
    after = augmented(config_of(**values), {**batch_of(0, 16), "images": images}, SIDE)["images"]
    assert after.shape == images.shape
    assert after.dtype == torch.uint8
    assert len({image.numpy().tobytes() for image in after}) > 8


def test_erasing_blackens_a_rectangle() -> None:
    torch.manual_seed(0)
    batch = batch_of(0, 8)
    for before, after in zip(
        batch["images"],
        augmented(config_of(erase_probability=1.0), batch, SIDE)["images"],
        strict=True,
    ):
        rows, columns = changed_rectangle(before, after)
        assert (after[:, rows, columns] == 0).all()
        assert 0.01 < (rows.stop - rows.start) * (columns.stop - columns.start) / SIDE**2 < 0.4


def test_by_default_nothing_happens() -> None:
    batch = batch_of()
    assert augmented(config_of(), batch, SIDE) == batch


# Mixing -------------------------------------------------------------------------------------------


def test_mixup_mixes_images_as_it_says() -> None:
    torch.manual_seed(0)
    batch = batch_of(2, 5)
    after = mixed(batch, 0.8, 0.0)
    mixing_BB = after["mixing"]
    torch.testing.assert_close(mixing_BB.sum(1), torch.ones(7))
    assert (mixing_BB > 0).sum(1).tolist() == [2] * 7
    expected = (mixing_BB @ batch["images"].float().flatten(1)).reshape(batch["images"].shape)
    torch.testing.assert_close(after["images"], expected)


def test_cutmix_exchanges_rectangles_as_it_says() -> None:
    torch.manual_seed(1)
    batch = batch_of(0, 6)
    after = mixed(batch, 0.0, 1.0)
    for row, shares in enumerate(after["mixing"].tolist()):
        other = (row - 1) % 6
        own_HW = (after["images"][row] == batch["images"][row]).all(0)
        others_HW = (after["images"][row] == batch["images"][other]).all(0)
        assert (own_HW | others_HW).all()
        assert shares[row] == pytest.approx(float(own_HW.float().mean()), abs=0.02)
        assert 0 < shares[row] < 1
        assert shares[row] + shares[other] == pytest.approx(1)


def test_with_both_each_is_done_to_half_of_the_batches() -> None:
    torch.manual_seed(0)
    batch = batch_of(1, 3)
    whole = 0
    for _ in range(200):
        images = mixed(batch, 1.0, 1.0)["images"]
        whole += bool((images == images.round()).all())  # CutMix leaves each pixel whole
    assert whole == pytest.approx(100, abs=4 * 7)


# Settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (
            {"paste_probability": 1.5},
            "paste_probability must be in [0, 1], got paste_probability=1.5",
        ),
        ({"paste_probability": 0.6, "decoy_probability": 0.6}, "must not exceed 1, got sum=1.2"),
        (
            {"paste_min_scale": 0.95},
            "paste_min_scale must be in (0, 0.9], got paste_min_scale=0.95",
        ),
        (
            {"overlay_strength": -0.1},
            "overlay_strength must be in [0, 1], got overlay_strength=-0.1",
        ),
        ({"crop_min_area": 0.0}, "crop_min_area must be in (0, 1], got crop_min_area=0.0"),
        (
            {"policy_magnitude": 31},
            "policy_magnitude must be in [0, 30], got policy_magnitude=31",
        ),
        ({"mixup_alpha": -1.0}, "mixup_alpha must not be negative, got mixup_alpha=-1.0"),
        ({"policy": "auto"}, "must be one of none, rand, trivial, got 'auto'"),
    ],
)
def test_mistaken_settings_are_told_as_rules(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(TaskError, match=re.escape(rule)):
        config_of(**values)
