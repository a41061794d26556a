"""Proves that the segmentation task counts, weighs, freezes and draws what it says.

pytest tests/trainables/segmentation/test_task.py

Shapes: B batch, C classes, H height, W width.
"""

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize as torchvision_resize

from tests.trainables.conformance import curve, fresh_model, shorter
from trainables.config import TaskError, build_config
from trainables.parts.data import Batch
from trainables.parts.images import normalized
from trainables.parts.optim import make_optimizer, parameter_groups
from trainables.segmentation.classes import Classes
from trainables.segmentation.config import TRAINABLE_LEVELS, SegmentationConfig
from trainables.segmentation.data import SegmentationSplits
from trainables.segmentation.losses import IGNORED, focal_map_loss, soft_dice_loss
from trainables.segmentation.models import Segmenter
from trainables.segmentation.task import Segmentation, SegmentationTally, segmentation_figure
from trainables.training import train

CLASSES = 5
SMALL: dict[str, dict[str, Any]] = {
    "deeplabv3": {
        "backbone": "resnet14",
        "width": 4,
        "output_stride": 4,
        "atrous_rates": [1, 2],
        "head_width": 8,
    },
    "fcn": {"backbone": "resnet14", "width": 4, "output_stride": 8},
    "unet": {"width": 4, "unet_levels": 2},
    "mask2former": {
        "swin_width": 8,
        "swin_depths": [1, 1, 1, 1],
        "swin_heads": [1, 1, 2, 2],
        "window": 2,
        "queries": 4,
        "hidden_width": 32,
        "pixel_layers": 1,
        "decoder_layers": 3,
    },
}
each_architecture = pytest.mark.parametrize("architecture", SMALL)


def config_of(architecture: str = "unet", **values: Any) -> SegmentationConfig:
    """A tiny config; `__` stands for the dot."""
    tiny = {f"model.{name}": value for name, value in SMALL[architecture].items()}
    tiny |= {
        "model.architecture": architecture,
        "data.side": 40,
        "data.scenes": 20,
        "data.batch_size": 4,
    }
    return build_config(
        SegmentationConfig, tiny | {name.replace("__", "."): v for name, v in values.items()}
    )


def scenes(rows: int = 4) -> SegmentationSplits:
    return shorter(Segmentation().data(config_of(), 0), rows)


def batch_of(rows: int = 4) -> Batch:
    return next(scenes(rows).train.batches(rows))


def model_of(config: SegmentationConfig) -> Segmenter:
    model = fresh_model(Segmentation(), config, scenes())
    assert isinstance(model, Segmenter)
    return model


# Metrics ------------------------------------------------------------------------------------------


def maps(absent: tuple[int, ...], *, rows: int = 7, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    """Logits [7, C, 6, 5] and labels [7, 6, 5], without these classes in either."""
    generator = torch.Generator().manual_seed(1)
    labels_BHW = torch.randint(CLASSES, (rows, 6, 5), generator=generator)
    logits_BCHW = torch.randn(rows, CLASSES, 6, 5, generator=generator)
    logits_BCHW.scatter_add_(1, labels_BHW[:, None], torch.full((rows, 1, 6, 5), 1.0))
    for train_id in absent:
        labels_BHW[labels_BHW == train_id] = min(set(range(CLASSES)) - set(absent))
        logits_BCHW[:, train_id] = -100
    labels_BHW[torch.rand(labels_BHW.shape, generator=generator) < ignored] = IGNORED
    return logits_BCHW, labels_BHW.to(torch.uint8)


def tally_of(logits_BCHW: Tensor, labels_BHW: Tensor, batch_size: int = 3) -> SegmentationTally:
    tally = SegmentationTally(CLASSES)
    for logits, labels in zip(
        logits_BCHW.split(batch_size), labels_BHW.split(batch_size), strict=True
    ):
        tally.update(logits, labels)
    return tally


@pytest.mark.parametrize("absent", [(), (2,), (0, 4)])
@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_metrics_equal_torchmetrics_also_with_absent_classes_and_ignored_pixels(
    absent: tuple[int, ...], batch_size: int
) -> None:
    from torchmetrics.functional import accuracy, f1_score, jaccard_index

    logits_BCHW, labels_BHW = maps(absent)
    found = tally_of(logits_BCHW, labels_BHW, batch_size)
    of: dict[str, Any] = {"task": "multiclass", "num_classes": CLASSES, "ignore_index": IGNORED}
    predicted_BHW, long_BHW = logits_BCHW.argmax(1), labels_BHW.long()
    expected = {
        "miou": float(jaccard_index(predicted_BHW, long_BHW, average="macro", **of)),
        "dice": float(
            f1_score(predicted_BHW, long_BHW, average="macro", **of)
        ),  # for pixels, Dice is F1
        "pixel_accuracy": float(accuracy(predicted_BHW, long_BHW, average="micro", **of)),
    }
    assert found.compute() == pytest.approx(expected, rel=1e-5)
    per_class = jaccard_index(predicted_BHW, long_BHW, average="none", **of).tolist()
    for train_id, iou in enumerate(found.details()["per_class_iou"]):
        assert (iou is None) == (train_id in absent)
        assert iou is None or iou == pytest.approx(per_class[train_id])


def test_a_class_that_is_only_predicted_counts_as_a_miss() -> None:
    labels_BHW = torch.zeros(1, 2, 2, dtype=torch.uint8)
    logits_BCHW = torch.zeros(1, CLASSES, 2, 2)
    logits_BCHW[0, 0], logits_BCHW[0, 1, 0, 0] = 1, 2
    assert tally_of(logits_BCHW, labels_BHW).compute()["miou"] == pytest.approx((3 / 4 + 0) / 2)


def test_at_the_labels_own_size_logits_are_enlarged_as_images_are() -> None:
    from torchmetrics.functional import jaccard_index

    logits_BCHW, labels_BHW = maps((), rows=2)
    large_BHW = labels_BHW.repeat_interleave(3, 1).repeat_interleave(2, 2).roll(1, 2)
    tally = SegmentationTally(CLASSES, own_size=True)
    tally.update_own_size(logits_BCHW, large_BHW)
    large = torchvision_resize(logits_BCHW, [18, 10], antialias=False).argmax(1)
    expected = jaccard_index(
        large, large_BHW.long(), "multiclass", num_classes=CLASSES, ignore_index=IGNORED
    )
    assert tally.compute()["own_size_miou"] == pytest.approx(float(expected), rel=1e-5)
    assert "own_size_miou" not in tally_of(logits_BCHW, labels_BHW).compute()


def mean_of_batches(predicted_BP: Tensor, labels_BP: Tensor, classes: int) -> float:
    """mIoU as it is often logged: a class that a batch lacks counts as 1, batches are averaged.

    Each row is a batch, P are its pixels.
    """
    values = []
    for predicted_P, labels_P in zip(predicted_BP, labels_BP, strict=True):
        for train_id in range(classes):
            both = ((predicted_P == train_id) & (labels_P == train_id)).sum()
            either = ((predicted_P == train_id) | (labels_P == train_id)).sum()
            values.append(float(both / either) if either else 1.0)
    return sum(values) / len(values)


def test_the_mean_of_batches_flatters_and_prefers_the_worse_model() -> None:
    """Ten classes, of which each of four batches shows the ground, 0, and one other."""
    labels_BP = torch.tensor([[0] * 4 + [other] * 4 for other in (1, 2, 3, 4)])
    blind_BP = torch.zeros_like(labels_BP)  # it calls all ground
    seeing_BP = torch.tensor([[0] * 4 + [other, other, 6, 7] for other in (1, 2, 3, 4)])

    def whole(predicted_BP: Tensor) -> float:
        logits_BCHW = torch.nn.functional.one_hot(predicted_BP, 10).movedim(-1, 1)[..., None]
        tally = SegmentationTally(10)
        tally.update(logits_BCHW, labels_BP[..., None])
        return tally.compute()["miou"]

    assert whole(blind_BP) == pytest.approx(0.5 / 5)
    assert whole(seeing_BP) == pytest.approx((1 + 4 * 0.5) / 7)
    assert mean_of_batches(blind_BP, labels_BP, 10) == pytest.approx((0.5 + 8) / 10)
    assert mean_of_batches(seeing_BP, labels_BP, 10) == pytest.approx((1 + 0.5 + 6) / 10)


def test_details_are_json_and_without_a_labelled_pixel_metrics_are_nan() -> None:
    logits_BCHW, labels_BHW = maps((2,))
    details = tally_of(logits_BCHW, labels_BHW).details()
    assert json.loads(json.dumps(details)) == details
    assert sum(map(sum, details["confusion"])) == int((labels_BHW != IGNORED).sum())
    nothing = tally_of(logits_BCHW, torch.full_like(labels_BHW, IGNORED)).compute()
    assert all(value != value for value in nothing.values())
    assert set(nothing) == {"miou", "dice", "pixel_accuracy"}


def test_every_metric_that_tables_and_spaces_name_is_reported() -> None:
    (report,) = curve(Segmentation(), config_of(), epochs=1)
    names = {
        Segmentation.objective.name,
        *Segmentation.shown_metrics,
        *(o.name for o in Segmentation.other_objectives),
    }
    assert names == {"miou", "dice", "pixel_accuracy"}
    assert names <= report.metrics.keys()


# Loss ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "focal", "dice"),
    [
        ({}, 1.0, 0.5),
        ({"loss__focal_weight": 0.75, "loss__dice_weight": 0.25}, 0.75, 0.25),
        ({"loss__dice_fraction": 0.3}, 0.7, 0.3),
        ({"loss__dice_fraction": 0.0}, 1.0, 0.0),
        ({"loss__dice_fraction": 1.0, "loss__focal_gamma": 0.0}, 0.0, 1.0),
    ],
)
def test_the_loss_is_the_weighted_sum(values: dict[str, Any], focal: float, dice: float) -> None:
    config, batch = config_of(**values), batch_of()
    loss, logits_BCHW = Segmentation().loss(config, model_of(config), batch)
    parts = (
        focal_map_loss(logits_BCHW, batch["labels"], gamma=config.loss.focal_gamma),
        soft_dice_loss(logits_BCHW, batch["labels"]),
    )
    torch.testing.assert_close(loss, focal * parts[0] + dice * parts[1])
    assert logits_BCHW.shape == (4, CLASSES, 40, 40)


def test_two_to_one_is_a_dice_fraction_of_a_third() -> None:
    focal, dice = config_of(loss__dice_fraction=1 / 3).loss.weights
    assert config_of().loss.weights == pytest.approx((1.5 * focal, 1.5 * dice))


def stepped(clip_norm: float, **loss: Any) -> Tensor:
    """All weights after a step of AdamW on each of seven batches."""
    config = config_of(optim__lr=1e-2, optim__eps=1e-12, **loss)
    model = model_of(config).train()
    optimizer = make_optimizer(config.optim, parameter_groups(model, config.optim))
    for batch in scenes(14).train.batches(2):
        optimizer.zero_grad()
        Segmentation().loss(config, model, batch)[0].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize(
    ("clip_at_1_5", "clip_at_1", "is_same"),
    [(1e9, 1e9, True), (1.0, 1.0, False), (1.5, 1.0, True)],
    ids=["unclipped", "clipped", "clipped in proportion"],
)
def test_the_sum_of_the_loss_weights_acts_through_clipping_alone(
    clip_at_1_5: float, clip_at_1: float, is_same: bool
) -> None:
    one = stepped(clip_at_1_5, loss__focal_weight=1.0, loss__dice_weight=0.5)
    other = stepped(clip_at_1, loss__dice_fraction=1 / 3)
    assert bool((one - other).norm() < 1e-3 * one.norm()) == is_same


BAD: dict[str, dict[str, Any]] = {
    "dice_fraction takes the place of": {"loss__dice_fraction": 0.3, "loss__dice_weight": 0.25},
    "dice_fraction must be in [0, 1]": {"loss__dice_fraction": 1.5},
    "must not both be 0": {"loss__focal_weight": 0.0, "loss__dice_weight": 0.0},
    "focal_gamma must not be negative": {"loss__focal_gamma": -1.0},
    "trained must be one of head, decoder, all for unet": {"model__trained": "last_stage"},
    "trained must be one of head, decoder, last_stage, all for fcn": {
        "architecture": "fcn",
        "model__trained": "pixel_decoder",
    },
    "multiples of 4, and at least 8": {"data__side": 34},
    "deeplabv3 needs height and width of at least 16": {
        "architecture": "deeplabv3",
        "model__output_stride": 8,
        "data__width": 15,
    },
    "mask2former needs height and width of at least 33": {
        "architecture": "mask2former",
        "data__side": 32,
    },
    "hidden_width must be a multiple of 32": {
        "architecture": "mask2former",
        "model__hidden_width": 40,
    },
    "swin_heads must divide": {"architecture": "mask2former", "model__swin_heads": [3, 1, 1, 1]},
    "swin_depths must be 4 numbers": {
        "architecture": "mask2former",
        "model__swin_depths": [1, 1, 1],
    },
    "atrous_rates must be at least 1": {"architecture": "deeplabv3", "model__atrous_rates": []},
    "pretrained needs deeplabv3 resnet50, deeplabv3 resnet101, fcn resnet50, fcn resnet101 or "
    "mask2former": {"model__weights": "pretrained"},
    "pretrained needs fcn at its full size: width 64": {
        "architecture": "fcn",
        "model__backbone": "resnet50",
        "model__weights": "pretrained",
    },
    "pretrained needs mask2former at its full size: swin_width 192": {
        "architecture": "mask2former",
        "model__weights": "pretrained",
    },
    "exclude each other": {"model__weights": "pretrained", "model__weights_path": "a.pt"},
    "crop must be in (0, 1]": {"augment__crop": 0.0},
    "flip must be in [0, 1]": {"augment__flip": 2.0},
    "blur_pixels must be positive": {"augment__blur_pixels": 0.0},
}


@pytest.mark.parametrize("message", BAD)
def test_a_config_that_cannot_be_trained_is_refused(message: str) -> None:
    with pytest.raises(TaskError) as caught:
        config_of(**BAD[message])
    assert message in str(caught.value)


# What is trained ----------------------------------------------------------------------------------

CASES = [
    (architecture, level) for architecture, levels in TRAINABLE_LEVELS.items() for level in levels
]
TRAINED_PARTS = {
    ("deeplabv3", "head"): ["net.classifier.4."],
    ("deeplabv3", "decoder"): ["net.classifier."],
    ("deeplabv3", "last_stage"): ["net.classifier.", "net.backbone.layer4."],
    ("fcn", "head"): ["net.classifier.4."],
    ("fcn", "decoder"): ["net.classifier."],
    ("fcn", "last_stage"): ["net.classifier.", "net.backbone.layer4."],
    ("unet", "head"): ["net.classify."],
    ("unet", "decoder"): ["net.classify.", "net.up.", "net.merge."],
}
M2F, PIXEL = "net.mask2former.", "net.mask2former.model.pixel_level_module."
M2F_HEAD = [f"{M2F}class_predictor.", "net.to_classes."]
M2F_DECODER = [*M2F_HEAD, f"{M2F}model.transformer_module."]
M2F_PIXEL = [*M2F_DECODER, f"{PIXEL}decoder."]
M2F_LAST = [
    *M2F_PIXEL,
    f"{PIXEL}encoder.swin.encoder.layers.3.",
    f"{PIXEL}encoder.hidden_states_norms.stage4.",
]
TRAINED_PARTS |= {
    ("mask2former", "head"): M2F_HEAD,
    ("mask2former", "decoder"): M2F_DECODER,
    ("mask2former", "pixel_decoder"): M2F_PIXEL,
    ("mask2former", "last_stage"): M2F_LAST,
}
NEVER_READ = f"{PIXEL}encoder.swin.layernorm."


@pytest.mark.parametrize(("architecture", "level"), CASES)
def test_exactly_the_chosen_parts_are_trained_and_the_rest_stays(
    architecture: str, level: str
) -> None:
    config, batch = config_of(architecture, model__trained=level, model__drop_path=0.0), batch_of()
    model = model_of(config).train()
    parts = tuple(TRAINED_PARTS.get((architecture, level), [""]))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(
        config.optim, parameter_groups(model, config.optim, head=model.head_parameters())
    )
    loss, _ = Segmentation().loss(config, model, batch)
    loss.backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {
        n
        for n, _ in model.named_parameters()
        if n.startswith(parts) and not n.startswith(NEVER_READ)
    }
    assert trained
    optimizer.step()
    for name, value in model.state_dict().items():
        assert name.startswith(parts) or torch.equal(value, before[name]), (
            f"{name} is frozen, statistics included"
        )


@pytest.mark.parametrize(("architecture", "level"), CASES)
def test_frozen_parts_are_in_evaluation_mode_and_the_others_are_not(
    architecture: str, level: str
) -> None:
    model = model_of(config_of(architecture, model__trained=level)).train()
    for module in model.modules():
        own = list(module.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            assert not any(part.training for part in module.modules())
        elif own:
            assert module.training
    assert not any(module.training for module in model.eval().modules())


@each_architecture
def test_each_parameter_is_in_the_head_or_in_one_layer(architecture: str) -> None:
    model = model_of(config_of(architecture))
    layers, head = model.layer_parameters(), model.head_parameters()
    ids = [id(parameter) for layer in [*layers, head] for parameter in layer]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(parameter) for parameter in model.parameters()}
    assert len(layers) >= 5


def test_in_frozen_epochs_the_backbone_rests_with_its_statistics_and_learns_after() -> None:
    config = config_of(
        "deeplabv3", optim__freeze_epochs=2, optim__lr=1e-2, optim__scheduler="constant"
    )
    states = []
    for report in train(Segmentation(), config, seed=0, max_epochs=3):
        assert report.state is not None
        states.append({name: value.clone() for name, value in report.state()["model"].items()})
    head = "net.classifier.4."
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value) != name.startswith(head), name
        assert not torch.equal(states[2][name], states[1][name]), name


# Pictures -----------------------------------------------------------------------------------------


def test_pictures_show_image_label_and_prediction_in_the_classes_colors() -> None:
    config, splits, task = config_of(), scenes(4), Segmentation()
    model = model_of(config)
    figures = task.pictures(config, model, splits, [2, 0])
    assert list(figures) == ["validation_2", "validation_0"]
    panels = figures["validation_2"].axes
    assert [axes.get_title() for axes in panels] == ["image", "label", "prediction"]
    shown = [torch.from_numpy(np.asarray(axes.images[0].get_array())) for axes in panels]
    classes = task.data(config, 0).classes
    colors = torch.full((256, 3), 255, dtype=torch.uint8)
    colors[:CLASSES] = torch.tensor(classes.colors, dtype=torch.uint8)
    image_3HW, label_HW = (splits.validation.tensors[name][2] for name in ("images", "labels"))
    with torch.no_grad():
        predicted_HW = model.eval()(normalized(image_3HW[None])).argmax(1)[0]
    assert torch.equal(shown[0], image_3HW.movedim(0, -1))
    assert torch.equal(shown[1], colors[label_HW.long()])
    assert torch.equal(shown[2], colors[predicted_HW])
    figures["validation_2"].savefig(io.BytesIO(), format="png")


def test_ignored_pixels_are_in_the_legend_where_there_are_some() -> None:
    classes = Classes(names=("sea",), colors=((0, 0, 255),))
    for label_HW, names in (
        (torch.zeros(2, 2), ["sea"]),
        (torch.tensor([[0, IGNORED]]), ["sea", "ignored"]),
    ):
        figure = segmentation_figure(
            torch.zeros(3, 2, 2, dtype=torch.uint8), {"label": label_HW}, classes
        )
        assert [text.get_text() for text in figure.legends[0].get_texts()] == names


def test_a_class_name_is_no_formula() -> None:
    classes = Classes(names=("$a_{$",), colors=((0, 0, 255),))
    image, label_HW = torch.zeros(3, 2, 2, dtype=torch.uint8), torch.zeros(2, 2)
    segmentation_figure(image, {"label": label_HW}, classes).savefig(io.BytesIO(), format="png")
