"""Proves that the image classifier's loss, metrics and pictures are what they say.

pytest tests/trainables/image_classifier/test_task.py

Shapes: B batch, N samples, C classes, H height, W width.
"""

import io
import math
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, f1_score
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_average_precision, multiclass_f1_score

from tests.trainables.conformance import curve, shorter
from trainables.config import TaskError, build_config
from trainables.image_classifier.augment import mixed
from trainables.image_classifier.folders import ImageSplits
from trainables.image_classifier.pictures import image_grid
from trainables.image_classifier.task import ImageClassifier, ImageClassifierConfig
from trainables.parts.data import Batch
from trainables.parts.images import normalized
from trainables.parts.losses import focal_cross_entropy, soft_focal_cross_entropy
from trainables.parts.pictures import confusion_picture
from trainables.parts.tally import RankingTally

CLASSES = 4


def config_of(**values: Any) -> ImageClassifierConfig:
    """A tiny config; `__` stands for the dot."""
    tiny = {"model.dims": (8, 8, 8, 8), "model.depths": (1, 1, 1, 1), "data.batch_size": 32}
    return build_config(
        ImageClassifierConfig, tiny | {name.replace("__", "."): v for name, v in values.items()}
    )


def model_of(config: ImageClassifierConfig) -> tuple[nn.Module, ImageSplits]:
    task = ImageClassifier()
    splits = task.data(config, 0)
    torch.manual_seed(0)
    return task.model(config, splits), splits


# Metrics ------------------------------------------------------------------------------------------


def logits_and_labels(
    rows: int = 60, *, classes: int = CLASSES, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Few different logits, so that many scores are tied."""
    generator = torch.Generator().manual_seed(seed)
    logits_NC = torch.randint(-1, 2, (rows, classes), generator=generator).float()
    return logits_NC, torch.randint(classes, (rows,), generator=generator)


def tally_of(
    logits_NC: Tensor, labels_N: Tensor, batch_size: int, positive: int | None
) -> RankingTally:
    tally = RankingTally(logits_NC.shape[1], positive)
    for logits, labels in zip(logits_NC.split(batch_size), labels_N.split(batch_size), strict=True):
        tally.update(logits, labels)
    return tally


def area_by_hand(scores_N: list[float], is_positive_N: list[bool]) -> float:
    """The sum over all thresholds of (recall - last recall) x precision."""
    area, last_recall = 0.0, 0.0
    for threshold in sorted(set(scores_N), reverse=True):
        taken = [
            positive
            for score, positive in zip(scores_N, is_positive_N, strict=True)
            if score >= threshold
        ]
        recall = sum(taken) / sum(is_positive_N)
        area, last_recall = area + (recall - last_recall) * sum(taken) / len(taken), recall
    return area


@pytest.mark.parametrize("batch_size", [1, 7, 60])
@pytest.mark.parametrize("classes", [2, CLASSES])
def test_average_precision_of_each_class_equals_the_references(
    classes: int, batch_size: int
) -> None:
    logits_NC, labels_N = logits_and_labels(classes=classes)
    scores_NC = logits_NC.double().softmax(-1)
    assert len(set(scores_NC[:, 0].tolist())) < 40, "there are ties"
    by_torchmetrics = multiclass_average_precision(scores_NC, labels_N, classes, average="none")
    for label in range(classes):
        metrics = tally_of(logits_NC, labels_N, batch_size, label).compute()
        is_label_N = labels_N == label
        assert metrics["average_precision"] == pytest.approx(
            average_precision_score(is_label_N, scores_NC[:, label])
        )
        assert metrics["average_precision"] == pytest.approx(
            area_by_hand(scores_NC[:, label].tolist(), is_label_N.tolist())
        )
        assert metrics["average_precision"] == pytest.approx(
            float(by_torchmetrics[label]), abs=1e-6
        )
        assert metrics["f1"] == pytest.approx(f1_score(is_label_N, logits_NC.argmax(-1) == label))


def test_without_a_positive_class_the_macro_means_are_told() -> None:
    logits_NC, labels_N = logits_and_labels()
    metrics = tally_of(logits_NC, labels_N, 13, None).compute()
    one_hot_NC, scores_NC = F.one_hot(labels_N), logits_NC.double().softmax(-1)
    assert metrics["average_precision"] == pytest.approx(
        average_precision_score(one_hot_NC, scores_NC, average="macro")
    )
    assert metrics["f1"] == pytest.approx(f1_score(labels_N, logits_NC.argmax(-1), average="macro"))
    assert metrics["f1"] == pytest.approx(
        float(multiclass_f1_score(logits_NC, labels_N, CLASSES, average="macro")), abs=1e-6
    )
    assert {"accuracy", "balanced_accuracy"} < metrics.keys()


def test_classes_that_do_not_occur_are_left_out() -> None:
    logits_NC, labels_N = logits_and_labels()
    labels_N = labels_N % 2
    expected = [
        average_precision_score(labels_N == label, logits_NC.double().softmax(-1)[:, label])
        for label in (0, 1)
    ]
    assert tally_of(logits_NC, labels_N, 60, None).compute()["average_precision"] == pytest.approx(
        sum(expected) / 2
    )
    assert math.isnan(tally_of(logits_NC, labels_N, 60, 3).compute()["average_precision"])


@pytest.mark.parametrize("positive", [None, 1])
def test_tallies_merge_in_any_order(positive: int | None) -> None:
    logits_NC, labels_N = logits_and_labels()
    whole, merged = tally_of(logits_NC, labels_N, 60, positive), RankingTally(CLASSES, positive)
    for rows in reversed(torch.arange(60).split(17)):
        merged.merge(tally_of(logits_NC[rows], labels_N[rows], 5, positive))
    assert merged.compute() == pytest.approx(whole.compute())
    assert merged.details() == whole.details()


def test_the_tally_gives_nan_for_nothing_and_for_what_is_not_finite() -> None:
    assert all(math.isnan(value) for value in RankingTally(CLASSES).compute().values())
    logits_NC, labels_N = logits_and_labels()
    logits_NC[7, 2] = math.nan
    assert math.isnan(tally_of(logits_NC, labels_N, 60, None).compute()["average_precision"])


def test_certain_scores_keep_their_order() -> None:
    """In 32 bits the probabilities of all three would be 1."""
    logits_NC = torch.tensor([[0.0, 20.0], [0.0, 25.0], [0.0, 30.0]])
    assert tally_of(logits_NC, torch.tensor([0, 1, 1]), 2, 1).compute()["average_precision"] == 1.0


# Loss ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_soft_targets_cost_what_their_parts_do(gamma: float, smoothing: float) -> None:
    logits_BC, labels_B = logits_and_labels(20)
    more = {"gamma": gamma, "label_smoothing": smoothing}
    hard = soft_focal_cross_entropy(logits_BC, F.one_hot(labels_B, CLASSES).float(), **more)
    torch.testing.assert_close(hard, focal_cross_entropy(logits_BC, labels_B, **more))
    others_B = labels_B.roll(1)
    targets_BC = 0.3 * F.one_hot(labels_B, CLASSES) + 0.7 * F.one_hot(others_B, CLASSES)
    parts = [focal_cross_entropy(logits_BC, each, **more) for each in (labels_B, others_B)]
    torch.testing.assert_close(
        soft_focal_cross_entropy(logits_BC, targets_BC, **more), 0.3 * parts[0] + 0.7 * parts[1]
    )


def test_soft_focal_loss_has_finite_gradients_where_the_model_is_certain() -> None:
    logits_BC = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    soft_focal_cross_entropy(
        logits_BC, torch.tensor([[1.0, 0.0], [0.5, 0.5]]), gamma=0.5
    ).backward()
    assert logits_BC.grad is not None
    assert logits_BC.grad.isfinite().all()


@torch.no_grad()
def test_the_loss_is_the_cross_entropy_of_the_normalized_images() -> None:
    config = config_of(loss__label_smoothing=0.1)
    model, splits = model_of(config)
    batch = next(splits.train.batches(16))
    loss, logits_BC = ImageClassifier().loss(config, model.eval(), batch)
    torch.testing.assert_close(logits_BC, model(normalized(batch["images"])))
    torch.testing.assert_close(
        loss, F.cross_entropy(logits_BC, batch["labels"], label_smoothing=0.1)
    )


@torch.no_grad()
def test_a_mixed_batch_is_judged_by_its_mixed_labels() -> None:
    config = config_of(loss__label_smoothing=0.1)
    model, splits = model_of(config)
    torch.manual_seed(2)
    batch = mixed(
        next(splits.train.batches(16, shuffle=torch.Generator().manual_seed(0))), 0.8, 0.0
    )
    loss, logits_BC = ImageClassifier().loss(config, model.eval(), batch)
    share = float(batch["mixing"].diagonal().mean())
    parts = [
        F.cross_entropy(logits_BC, batch["labels"].roll(by), label_smoothing=0.1) for by in (0, 1)
    ]
    torch.testing.assert_close(loss, share * parts[0] + (1 - share) * parts[1])
    assert 0.05 < share < 0.95


def test_images_reach_the_model_as_they_lie_in_memory() -> None:
    model, splits = model_of(config_of())
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert all(
        layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in convolutions
    )
    assert splits.train.tensors["images"].dtype == torch.uint8


# Training -----------------------------------------------------------------------------------------


def test_augmentation_is_for_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is varied in training, the validation images are judged as they are."""
    seen: list[tuple[bool, Batch]] = []
    original = ImageClassifier.loss

    def remember(
        self: ImageClassifier, config: Any, model: nn.Module, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        seen.append((model.training, batch))
        return original(self, config, model, batch)

    config = config_of(
        data__overlay_probability=1.0, data__paste_probability=1.0, data__mixup_alpha=1.0
    )
    splits = shorter(ImageClassifier().data(config, 0), 32)
    monkeypatch.setattr(ImageClassifier, "data", lambda *_: splits)
    monkeypatch.setattr(ImageClassifier, "loss", remember)
    curve(ImageClassifier(), config, epochs=1)
    (_, trained), (_, validated) = seen
    assert [training for training, _ in seen] == [True, False]
    assert "mixing" in trained
    assert trained["positive"].all()
    assert "mixing" not in validated
    assert torch.equal(validated["images"], splits.validation.tensors["images"])


def test_the_head_alone_learns_while_the_rest_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(optim__freeze_epochs=1, optim__lr=1e-2)
    splits = shorter(ImageClassifier().data(config, 0), 32)
    monkeypatch.setattr(ImageClassifier, "data", lambda *_: splits)
    (report,) = curve(ImageClassifier(), config, epochs=1)
    assert report.state is not None
    state = report.state()["model"]
    torch.manual_seed(0)
    fresh = curve(ImageClassifier(), config_of(optim__freeze_epochs=1, optim__lr=1e-30), epochs=1)[
        0
    ].state
    assert fresh is not None
    moved = {
        name
        for name, value in fresh()["model"].items()
        if not torch.allclose(state[name], value, atol=1e-6)
    }
    assert moved == {"head.fc.weight", "head.fc.bias"}


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"data__side": 4}, "side must be at least 8, got side=4"),
        (
            {"data__embedded": "digits", "data__paste_probability": 0.1},
            "pasting needs the name of the positive class",
        ),
        (
            {"data__path": "x", "data__decoy_probability": 0.1},
            "pasting needs the name of the positive class",
        ),
        (
            {"data__positive": "eight"},
            "positive names a class of data.path; the embedded digits have their own",
        ),
        (
            {"loss__label_smoothing": 1.0},
            "label_smoothing must be in [0, 1), got label_smoothing=1.0",
        ),
        ({"loss__focal_gamma": -1.0}, "focal_gamma must not be negative, got focal_gamma=-1.0"),
    ],
)
def test_mistaken_settings_are_told_as_rules(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(TaskError, match=re.escape(rule)):
        config_of(**values)


def test_a_positive_class_of_a_folder_may_be_pasted() -> None:
    assert (
        config_of(data__path="x", data__positive="cat", data__paste_probability=0.1).data.positive
        == "cat"
    )


# Pictures -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_pictures_show_the_rows_and_the_confusion_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of()
    model, splits = model_of(config)
    small = shorter(splits, 40)
    figures = ImageClassifier().pictures(config, model.eval(), small, [3, 0, 17])
    shown = [axes.images[0].get_array() for axes in figures["predictions"].axes]
    assert len(shown) == 3
    for array, row in zip(shown, [3, 0, 17], strict=True):
        assert array is not None
        assert torch.equal(
            torch.tensor(array.data), small.validation.tensors["images"][row].permute(1, 2, 0)
        )
    counts = [int(text.get_text()) for text in figures["confusion"].axes[0].texts]
    assert sum(counts) == 40


def test_wrong_predictions_are_marked() -> None:
    batch = {"images": torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "labels": torch.tensor([0, 0])}
    figure = image_grid(batch, torch.tensor([[0.75, 0.25], [0.1, 0.9]]), ["cat", "dog"])
    right, wrong = figure.axes
    assert right.get_title() == "cat\n✓ 0.75"
    assert wrong.get_title() == "cat\n✗ dog 0.90"
    assert not any(side.get_visible() for side in right.spines.values())
    assert all(side.get_visible() for side in wrong.spines.values())
    assert wrong.title.get_color() != right.title.get_color()


def test_the_confusion_picture_holds_every_count() -> None:
    figure = confusion_picture([[3, 1], [0, 0]], ["cat", "dog"])
    (axes,) = figure.axes
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "3", (1, 0): "1", (0, 1): "0", (1, 1): "0"}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    shares = axes.images[0].get_array()
    assert shares is not None
    assert shares.tolist() == [[0.75, 0.25], [0.0, 0.0]]


def test_a_class_name_is_no_formula() -> None:
    classes = ["$a_{$", "_$b$"]
    batch = {
        "images": torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
        "labels": torch.tensor([0, 1]),
    }
    for figure in (
        image_grid(batch, torch.tensor([[0.75, 0.25], [0.9, 0.1]]), classes),
        confusion_picture([[3, 1], [0, 0]], classes),
    ):
        figure.savefig(io.BytesIO(), format="png")
