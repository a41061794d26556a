"""Proves that losses equal their formulas and tallies scikit-learn's metrics.

pytest tests/trainables
"""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix
from torch import Tensor

from trainables.parts.losses import focal_cross_entropy
from trainables.parts.tally import ClassificationTally, Mean

CLASSES = 5


def logits_and_labels(rows: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits_BC = 3 * torch.randn(rows, CLASSES, generator=generator)
    return logits_BC, torch.randint(CLASSES, (rows,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_gamma_focal_loss_is_cross_entropy(smoothing: float) -> None:
    logits_BC, labels_B = logits_and_labels()
    expected = F.cross_entropy(logits_BC, labels_B, label_smoothing=smoothing)
    assert torch.equal(
        focal_cross_entropy(logits_BC, labels_B, label_smoothing=smoothing), expected
    )


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_focal_loss_equals_its_formula(gamma: float, smoothing: float) -> None:
    logits_BC, labels_B = logits_and_labels()
    losses = []
    for logits, label in zip(logits_BC.double().tolist(), labels_B.tolist(), strict=True):
        total = sum(map(math.exp, logits))
        p = [math.exp(z) / total for z in logits]
        target = [smoothing / CLASSES + (1 - smoothing) * (c == label) for c in range(CLASSES)]
        cross_entropy = -sum(t * math.log(q) for t, q in zip(target, p, strict=True))
        losses.append((1 - p[label]) ** gamma * cross_entropy)
    loss = focal_cross_entropy(logits_BC.double(), labels_B, gamma=gamma, label_smoothing=smoothing)
    assert float(loss) == pytest.approx(sum(losses) / len(losses))


def test_focal_loss_has_finite_gradients_where_the_model_is_certain() -> None:
    logits_BC = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    focal_cross_entropy(logits_BC, torch.tensor([0, 0]), gamma=0.5).backward()
    assert logits_BC.grad is not None
    assert logits_BC.grad.isfinite().all()


def tally_of(logits_BC: Tensor, labels_B: Tensor, batch_size: int) -> ClassificationTally:
    tally = ClassificationTally(CLASSES)
    for logits, labels in zip(logits_BC.split(batch_size), labels_B.split(batch_size), strict=True):
        tally.update(logits, labels)
    return tally


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_the_classification_tally_equals_scikit_learn(batch_size: int) -> None:
    logits_BC, labels_B = logits_and_labels()
    tally, predicted = tally_of(logits_BC, labels_B, batch_size), logits_BC.argmax(-1)
    assert tally.compute() == pytest.approx(
        {
            "accuracy": accuracy_score(labels_B, predicted),
            "balanced_accuracy": balanced_accuracy_score(labels_B, predicted),
        }
    )
    matrix = confusion_matrix(labels_B, predicted, labels=range(CLASSES))
    assert tally.details()["confusion"] == matrix.tolist()
    expected = (matrix.diagonal() / matrix.sum(1)).tolist()
    assert tally.details()["per_class_accuracy"] == pytest.approx(expected)


def test_tallies_merge() -> None:
    logits_BC, labels_B = logits_and_labels()
    merged = ClassificationTally(CLASSES)
    for logits, labels in zip(logits_BC.split(13), labels_B.split(13), strict=True):
        merged.merge(tally_of(logits, labels, 5))
    assert merged.details() == tally_of(logits_BC, labels_B, 40).details()


def test_a_class_that_does_not_occur_is_left_out_of_the_balanced_accuracy() -> None:
    tally = tally_of(torch.eye(CLASSES)[[0, 1, 1]], torch.tensor([0, 1, 0]), 3)
    assert tally.details()["per_class_accuracy"] == [0.5, 1.0, None, None, None]
    assert tally.compute()["balanced_accuracy"] == 0.75


def test_an_empty_tally_gives_nan() -> None:
    assert all(math.isnan(value) for value in ClassificationTally(CLASSES).compute().values())
    assert math.isnan(Mean().compute())


def test_a_mean_weighs_merges_and_lets_go_of_the_graph() -> None:
    whole, first, second = Mean(), Mean(), Mean()
    for i, (value, weight) in enumerate([(1.0, 64), (2.0, 64), (4.0, 3)]):
        tensor = torch.tensor(value, requires_grad=True)
        whole.add(tensor, weight)
        (first if i < 2 else second).add(tensor, weight)
    first.merge(second)
    assert whole.compute() == first.compute() == pytest.approx((64 + 128 + 12) / 131)
    assert isinstance(whole.total, Tensor)
    assert not whole.total.requires_grad
