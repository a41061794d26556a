"""Proves that focal and Dice loss equal their formulas and ignored pixels count nowhere.

pytest tests/trainables/segmentation/test_losses.py

Shapes: B batch, C classes, H height, W width.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.trainables.shares import loss_of_shares
from trainables.segmentation.losses import IGNORED, focal_map_loss, soft_dice_loss

CLASSES = 4


def maps(seed: int = 0, *, ignored: float = 0.2, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Logits [3, C, 5, 6] and labels [3, 5, 6] as bytes, a share of them ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits_BCHW = 2 * torch.randn(3, classes, 5, 6, generator=generator)
    labels_BHW = torch.randint(classes, (3, 5, 6), generator=generator, dtype=torch.uint8)
    labels_BHW[torch.rand(3, 5, 6, generator=generator) < ignored] = IGNORED
    return logits_BCHW, labels_BHW


def probabilities(logits_BCHW: Tensor) -> np.ndarray:
    exponents = np.exp(logits_BCHW.double().numpy())
    return exponents / exponents.sum(1, keepdims=True)


@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_without_gamma_focal_loss_is_cross_entropy(ignored: float) -> None:
    logits_BCHW, labels_BHW = maps(ignored=ignored)
    expected = F.cross_entropy(logits_BCHW, labels_BHW.long(), ignore_index=IGNORED)
    torch.testing.assert_close(focal_map_loss(logits_BCHW, labels_BHW, gamma=0.0), expected)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_focal_loss_equals_its_formula_pixel_by_pixel(gamma: float, ignored: float) -> None:
    logits_BCHW, labels_BHW = maps(1, ignored=ignored)
    p_BCHW, losses = probabilities(logits_BCHW), []
    for b, h, w in np.ndindex(*labels_BHW.shape):
        if labels_BHW[b, h, w] != IGNORED:
            p = p_BCHW[b, int(labels_BHW[b, h, w]), h, w]
            losses.append(-((1 - p) ** gamma) * np.log(p))
    loss = focal_map_loss(logits_BCHW, labels_BHW, gamma=gamma)
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("ignored", [0.0, 0.3])
@pytest.mark.parametrize("absent", [(), (2,), (0, 3)])
def test_dice_loss_equals_brute_force_over_the_classes_that_occur(
    ignored: float, absent: tuple[int, ...]
) -> None:
    logits_BCHW, labels_BHW = maps(2, ignored=ignored)
    for train_id in absent:
        labels_BHW[labels_BHW == train_id] = 1
    p_BCHW, labels = probabilities(logits_BCHW), labels_BHW.numpy()
    kept_BHW, dice = labels != IGNORED, []
    for c in sorted(set(range(CLASSES)) - set(absent)):
        p, y = p_BCHW[:, c][kept_BHW], (labels == c)[kept_BHW]
        dice.append(2 * (p * y).sum() / (p.sum() + y.sum()))
    assert float(soft_dice_loss(logits_BCHW, labels_BHW)) == pytest.approx(
        1 - np.mean(dice), rel=1e-5
    )


def test_dice_loss_of_hard_predictions_is_one_minus_torchmetrics_dice() -> None:
    from torchmetrics.functional.segmentation import dice_score

    logits_BCHW, labels_BHW = maps(3, ignored=0.0)
    predicted_BHW = logits_BCHW.argmax(1)
    certain_BCHW = 100.0 * F.one_hot(predicted_BHW, CLASSES).movedim(-1, 1)
    expected = dice_score(
        predicted_BHW.reshape(1, -1, 6),
        labels_BHW.long().reshape(1, -1, 6),
        num_classes=CLASSES,
        average="macro",
        input_format="index",
    )
    assert float(soft_dice_loss(certain_BCHW, labels_BHW)) == pytest.approx(
        1 - float(expected), rel=1e-4
    )


def test_losses_are_zero_for_certain_and_right_predictions() -> None:
    _, labels_BHW = maps(4, ignored=0.0)
    certain_BCHW = 100.0 * F.one_hot(labels_BHW.long(), CLASSES).movedim(-1, 1)
    assert float(focal_map_loss(certain_BCHW, labels_BHW, gamma=2.0)) == pytest.approx(0, abs=1e-6)
    assert float(soft_dice_loss(certain_BCHW, labels_BHW)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss_name", ["focal", "dice"])
def test_ignored_pixels_move_neither_loss_nor_gradient(loss_name: str) -> None:
    logits_BCHW, labels_BHW = maps(5, ignored=0.3)
    ignored_B1HW = (labels_BHW == IGNORED)[:, None]
    results = []
    for noise in (0.0, 7.0):
        noisy_BCHW = (
            logits_BCHW + noise * torch.randn(logits_BCHW.shape) * ignored_B1HW
        ).requires_grad_()
        focal = focal_map_loss(noisy_BCHW, labels_BHW, gamma=2.0)
        loss = focal if loss_name == "focal" else soft_dice_loss(noisy_BCHW, labels_BHW)
        (gradient_BCHW,) = torch.autograd.grad(loss, noisy_BCHW)
        assert not (gradient_BCHW * ignored_B1HW).any()
        assert gradient_BCHW.any()
        results.append(float(loss.detach()))
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def test_a_batch_without_a_labelled_pixel_has_loss_zero_and_finite_gradients() -> None:
    logits_BCHW, labels_BHW = maps(6)
    labels_BHW.fill_(IGNORED)
    logits_BCHW.requires_grad_()
    loss = focal_map_loss(logits_BCHW, labels_BHW, gamma=0.5) + soft_dice_loss(
        logits_BCHW, labels_BHW
    )
    assert float(loss.detach()) == 0
    loss.backward()
    assert logits_BCHW.grad is not None
    assert not logits_BCHW.grad.any()


@pytest.mark.parametrize(
    "loss", [soft_dice_loss, lambda x, y: focal_map_loss(x, y, gamma=2.0)], ids=["dice", "focal"]
)
def test_workers_whose_shares_have_other_pixels_have_the_loss_of_the_whole_batch(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    logits_BCHW, labels_BHW = maps(8)
    logits_BCHW[0] *= 3
    labels_BHW[0, 1:] = IGNORED
    labels_BHW[2] %= 2
    shares = [(logits_BCHW[:1], labels_BHW[:1]), (logits_BCHW[1:], labels_BHW[1:])]
    whole, apart = float(loss(logits_BCHW, labels_BHW)), [float(loss(*share)) for share in shares]
    assert loss_of_shares(loss, *shares) == pytest.approx([whole, whole])
    assert abs((apart[0] + 2 * apart[1]) / 3 - whole) > 0.01, "a mean of their means is another"


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradients_are_finite_where_the_model_is_certain(gamma: float) -> None:
    logits_BCHW = (
        torch.tensor([200.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2).clone().requires_grad_()
    )
    labels_BHW = torch.tensor([[[0, 1], [IGNORED, 0]]], dtype=torch.uint8)
    (
        focal_map_loss(logits_BCHW, labels_BHW, gamma=gamma)
        + soft_dice_loss(logits_BCHW, labels_BHW)
    ).backward()
    assert logits_BCHW.grad is not None
    assert logits_BCHW.grad.isfinite().all()


def test_a_loss_in_bfloat16_is_computed_in_float32() -> None:
    logits_BCHW, labels_BHW = maps(7)
    half_BCHW = logits_BCHW.bfloat16()
    for loss in (soft_dice_loss, lambda x, y: focal_map_loss(x, y, gamma=2.0)):
        assert torch.equal(loss(half_BCHW, labels_BHW), loss(half_BCHW.float(), labels_BHW))
