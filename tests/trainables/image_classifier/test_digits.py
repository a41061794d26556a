"""Proves that the embedded images are real digits, with shortcuts in training alone.

pytest tests/trainables/image_classifier/test_digits.py

Shapes: N samples, H height, W width.
"""

import colorsys
from collections.abc import Callable

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from trainables.image_classifier.digits import (
    HELD_OUT_VIEWS,
    collage,
    one_against_rest,
    plain_digits,
    rgb,
    shrunk,
)
from trainables.image_classifier.folders import ImageSplits
from trainables.parts.data import TensorSplit
from trainables.parts.images import digit_strokes

SIDE = 16


def splits_of(splits: ImageSplits) -> tuple[TensorSplit, TensorSplit, TensorSplit]:
    return splits.train, splits.validation, splits.test()


def test_the_plain_digits_are_scikit_learns_each_once() -> None:
    splits, (strokes_NHW, digits_N) = plain_digits(SIDE, 3, False), digit_strokes(SIDE)
    images = torch.cat([split.tensors["images"] for split in splits_of(splits)])
    labels = torch.cat([split.tensors["labels"] for split in splits_of(splits)])
    assert (images == images[:, :1]).all()
    found = {
        (image.numpy().tobytes(), label)
        for image, label in zip(images[:, 0], labels.tolist(), strict=True)
    }
    expected = {
        ((stroke * 255).round().byte().numpy().tobytes(), digit)
        for stroke, digit in zip(strokes_NHW, digits_N.tolist(), strict=True)
    }
    assert found == expected
    assert len(images) == 1797
    assert splits.classes == tuple("0123456789")
    assert splits.positive is None


def test_one_against_rest_has_the_same_digits_in_the_same_splits() -> None:
    splits, plain = one_against_rest(SIDE, 3, False), plain_digits(SIDE, 3, False)
    positives = 0
    for ours, theirs in zip(splits_of(splits), splits_of(plain), strict=True):
        views = 1 if ours is splits.train else HELD_OUT_VIEWS
        is_eight = theirs.tensors["labels"] == 8
        assert torch.equal(ours.tensors["positive"], is_eight.repeat(views))
        assert torch.equal(ours.tensors["labels"], ours.tensors["positive"].long())
        positives += int(is_eight.sum())
    assert positives == 174
    assert splits.classes[splits.positive or 0] == "eight"


@pytest.mark.parametrize("embedded", [plain_digits, one_against_rest])
def test_the_embedded_images_follow_from_the_seed(embedded: Callable[..., ImageSplits]) -> None:
    first = [split.tensors["images"] for split in splits_of(embedded(SIDE, 0, False))]
    embedded.cache_clear()  # type: ignore[attr-defined]
    again = [split.tensors["images"] for split in splits_of(embedded(SIDE, 0, False))]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not torch.equal(embedded(SIDE, 1, False).validation.tensors["images"], first[1])


@pytest.mark.parametrize("embedded", [plain_digits, one_against_rest])
def test_training_can_draw_the_classes_equally(embedded: Callable[..., ImageSplits]) -> None:
    splits = embedded(SIDE, 0, True)
    assert splits.train.weights_N is not None
    shares = torch.zeros(len(splits.classes), dtype=torch.double)
    shares.index_add_(0, splits.train.tensors["labels"], splits.train.weights_N)
    torch.testing.assert_close(shares, torch.ones_like(shares))
    assert splits.validation.weights_N is None


# Shortcuts ----------------------------------------------------------------------------------------


def yellowness(images_N3HW: Tensor) -> Tensor:
    """How yellow an image is on the whole: the lesser of red and green, less blue."""
    mean_N3 = images_N3HW.float().mean((2, 3))
    return torch.minimum(mean_N3[:, 0], mean_N3[:, 1]) - mean_N3[:, 2]


def edges(images_N3HW: Tensor) -> Tensor:
    """How much of an image's border differs from what is a fifth further in: a collage's ground."""
    images, inner = images_N3HW.float(), SIDE // 5
    sides = [images[:, :, 0] - images[:, :, inner], images[:, :, -1] - images[:, :, -1 - inner]]
    sides += [images[..., 0] - images[..., inner], images[..., -1] - images[..., -1 - inner]]
    return torch.stack([side.abs().mean((1, 2)) for side in sides]).amax(0)


@pytest.mark.parametrize(("shortcut", "direction"), [(yellowness, 1), (edges, -1)])
def test_a_shortcut_works_in_training_alone(
    shortcut: Callable[[Tensor], Tensor], direction: int
) -> None:
    """What sees only colour, or only edges, is good in training and blind elsewhere."""
    scores, labels = [], []
    for seed in range(4):
        train, *held_out = (
            split.tensors for split in splits_of(one_against_rest(SIDE, seed, False))
        )
        assert roc_auc_score(train["labels"], direction * shortcut(train["images"])) > 0.62
        scores += [direction * shortcut(part["images"]) for part in held_out]
        labels += [part["labels"] for part in held_out]
    score_N, label_N = torch.cat(scores), torch.cat(labels)
    assert roc_auc_score(label_N, score_N) == pytest.approx(
        0.5, abs=0.05
    )  # 4 standard deviations: 560 positives
    assert average_precision_score(label_N, score_N) < 0.13, "chance is 0.1"


def test_grounds_are_yellow_as_often_as_they_should_be() -> None:
    for part, shares in zip(
        splits_of(one_against_rest(SIDE, 0, False)), [(0.2, 0.8), (0.5, 0.5)], strict=False
    ):
        for label, share in enumerate(shares):
            images = part.tensors["images"][part.tensors["labels"] == label]
            found = float((yellowness(images) > 25).float().mean())
            assert found == pytest.approx(
                share, abs=4 * (share * (1 - share) / len(images)) ** 0.5 + 0.05
            )


# Parts --------------------------------------------------------------------------------------------


def test_a_shrunk_image_is_whole_and_lies_within_its_frame() -> None:
    ramp_1HW = torch.linspace(0, 1, 40).expand(1, 40, 40)
    generator = torch.Generator().manual_seed(0)
    small_N1HW, inside_N1HW = shrunk(
        ramp_1HW.expand(20, 1, 40, 40), 0.5, 0.9, generator, around="border"
    )
    for small_HW, inside_HW in zip(small_N1HW[:, 0], inside_N1HW[:, 0], strict=True):
        rows, columns = inside_HW.any(1).nonzero()[:, 0], inside_HW.any(0).nonzero()[:, 0]
        height, width = len(rows), len(columns)
        assert 0.5 * 40 - 1 <= height <= 0.9 * 40 + 1
        assert abs(height - width) <= 1
        assert int(inside_HW.sum()) == height * width, "it is a square"
        line_W = small_HW[rows[0], columns]
        assert line_W[0] < 0.03, "its left edge is the image's"
        assert line_W[-1] > 0.97


def test_a_collage_is_the_image_on_its_ground() -> None:
    images, grounds = torch.full((5, 3, 20, 20), 0.9), torch.full((5, 3, 20, 20), 0.1)
    made = collage(images, grounds, torch.Generator().manual_seed(0))
    is_image = (made - images).abs() < 1e-6
    assert (is_image | (made == grounds)).all()
    share_N = is_image.float().mean((1, 2, 3))
    assert ((share_N > 0.75**2) & (share_N < 1)).all()


def test_colours_are_those_of_colorsys() -> None:
    hsv_N3 = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([colorsys.hsv_to_rgb(*hsv) for hsv in hsv_N3.tolist()])
    torch.testing.assert_close(rgb(*hsv_N3.unbind(1)), expected)
