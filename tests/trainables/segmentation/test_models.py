"""Proves that the segmentation networks are the published ones at full size, and run at any.

pytest tests/trainables/segmentation/test_models.py

Shapes: B batch, C classes, H height, W width.
"""

from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import (
    deeplabv3_resnet50,
    deeplabv3_resnet101,
    fcn_resnet50,
)

from tests.trainables.segmentation.test_task import config_of, each_architecture
from trainables.segmentation.config import ModelConfig
from trainables.segmentation.models import (
    Segmenter,
    _frozen_parts,
    deeplabv3,
    fcn,
    mask2former_config,
    unet,
)
from trainables.segmentation.task import mask2former_settings, new_segmenter

CLASSES = 21
PUBLISHED = {"deeplabv3": 60_996_202, "fcn": 35_322_218, "mask2former": 215.5e6}
"""Parameters: torchvision's documentation (21 classes; with the auxiliary head), and the paper's
(133 classes)."""


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def full_size(architecture: str, **values: Any) -> Segmenter:
    with torch.device("meta"):
        return new_segmenter(ModelConfig(architecture=architecture, **values), CLASSES)  # type: ignore[arg-type]


# Full size ----------------------------------------------------------------------------------------


def with_new_classifier(net: Any, width: int, classes: int) -> Any:
    """torchvision's network, its last layer replaced as DeepLabV3's was for recorded sequences."""
    net.classifier[4] = nn.Sequential(
        nn.Conv2d(width, width, kernel_size=3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(width, classes, kernel_size=1),
    )
    net.aux_classifier = None
    return net


def test_the_default_is_torchvisions_deeplabv3_resnet101_with_a_new_last_layer() -> None:
    with torch.device("meta"):
        published = deeplabv3_resnet101(weights_backbone=None, aux_loss=True)
        assert count(published) == PUBLISHED["deeplabv3"]
        described = with_new_classifier(published, 256, CLASSES)
    ours = full_size("deeplabv3").net
    shapes = {name: value.shape for name, value in described.state_dict().items()}
    assert {name: value.shape for name, value in ours.state_dict().items()} == shapes
    head: Any = ours.classifier[4]  # type: ignore[index]
    assert head[3].p == described.classifier[4][3].p


def test_fcn_is_torchvisions_fcn_resnet50_without_its_auxiliary_head() -> None:
    with torch.device("meta"):
        published = fcn_resnet50(weights_backbone=None, aux_loss=True)
    assert published.aux_classifier is not None
    assert count(published) == PUBLISHED["fcn"]
    assert count(full_size("fcn", backbone="resnet50")) == PUBLISHED["fcn"] - count(
        published.aux_classifier
    )


def test_the_default_mask2former_is_swin_l_with_100_queries() -> None:
    from transformers import Mask2FormerForUniversalSegmentation

    coco_classes = 133
    with torch.device("meta"):
        published = Mask2FormerForUniversalSegmentation(
            mask2former_settings(ModelConfig(), coco_classes)
        )
    assert count(published) == pytest.approx(PUBLISHED["mask2former"], rel=0.01)
    coco_head, new_head = 257 * (coco_classes + 1), 257 * CLASSES + (9 * 100 + 1) * CLASSES
    assert count(full_size("mask2former")) == count(published) - coco_head + new_head


def test_mask2former_leaves_to_transformers_what_is_published_anyway() -> None:
    from transformers import Mask2FormerConfig

    settings, defaults = mask2former_settings(ModelConfig(), 133), Mask2FormerConfig()
    names = (
        "encoder_feedforward_dim",
        "dim_feedforward",
        "encoder_layers",
        "decoder_layers",
        "num_queries",
        "feature_size",
        "mask_feature_size",
        "hidden_dim",
        "dropout",
    )
    assert {name: getattr(settings, name) for name in names} == {
        name: getattr(defaults, name) for name in names
    }


def test_unet_has_the_parameters_of_the_formula() -> None:
    def double(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + 9 * outputs**2 + 4 * outputs

    widths = [64, 128, 256, 512, 1024]
    down = sum(double(i, o) for i, o in zip([3, *widths], widths, strict=False))
    up = sum(4 * 2 * w * w + w + double(2 * w, w) for w in widths[:-1])
    assert count(full_size("unet")) == down + up + 65 * CLASSES
    assert 31.0e6 < down + up < 31.1e6  # what is known as the 31 million of U-Net


@torch.no_grad()
def test_deeplabv3_computes_what_torchvisions_does_with_that_layer() -> None:
    torch.manual_seed(0)
    published = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=5)
    described = with_new_classifier(published, 256, 5).eval()
    ours = deeplabv3(
        "resnet50",
        5,
        width=64,
        output_stride=8,
        atrous_rates=(12, 24, 36),
        head_width=256,
        dropout=0.5,
    )
    ours.net.load_state_dict(described.state_dict())
    images_BCHW = torch.randn(1, 3, 24, 32)
    torch.testing.assert_close(ours.eval()(images_BCHW), described(images_BCHW)["out"])


# Any size -----------------------------------------------------------------------------------------


@each_architecture
def test_logits_have_the_size_of_the_image(architecture: str) -> None:
    model = new_segmenter(config_of(architecture).model, 7).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, 32, 48)).shape == (2, 7, 32, 48)


@pytest.mark.parametrize("width", [4, 12, 16, 64])
def test_all_stages_of_a_resnet_scale_with_its_width(width: int) -> None:
    with torch.device("meta"):
        backbone: Any = fcn("resnet26", 3, width=width, output_stride=8, dropout=0.1).net.backbone
    outputs = [backbone[f"layer{i}"][-1].conv3.out_channels for i in (1, 2, 3, 4)]
    inner = [backbone[f"layer{i}"][-1].conv2.out_channels for i in (1, 2, 3, 4)]
    assert outputs == [4 * width * 2**i for i in range(4)]
    assert inner == [width * 2**i for i in range(4)]


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_a_features_stride_is_the_output_stride(stride: int) -> None:
    backbone = fcn("resnet14", 3, width=4, output_stride=stride, dropout=0.1).eval().net.backbone
    with torch.no_grad():
        features = backbone(torch.randn(1, 3, 64, 96))["out"]  # type: ignore[operator]
    assert features.shape[-2:] == (64 // stride, 96 // stride)


@each_architecture
def test_a_batch_of_one_image_can_be_trained(architecture: str) -> None:
    model = new_segmenter(config_of(architecture).model, 3).train()
    loss = model(torch.randn(1, 3, 40, 40)).square().mean()
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@each_architecture
def test_every_trainable_parameter_is_read(architecture: str) -> None:
    model = new_segmenter(config_of(architecture, model__drop_path=0.0).model, 3).train()
    model(torch.randn(2, 3, 40, 40)).square().mean().backward()
    assert [
        name for name, p in model.named_parameters() if p.requires_grad and p.grad is None
    ] == []


def test_mask2formers_decoder_never_skips_a_layer() -> None:
    model = new_segmenter(config_of("mask2former", model__dropout=0.5).model, 3).train()
    for _ in range(6):  # transformers' own would clash over sizes in one call of two
        assert model(torch.randn(1, 3, 64, 64)).isfinite().all()


@pytest.mark.parametrize("dropout", [None, 0.3])
def test_dropout_is_the_published_one_unless_given(dropout: float | None) -> None:
    published = {"deeplabv3": 0.5, "fcn": 0.1, "unet": 0.0}
    for architecture, rate in published.items():
        model = new_segmenter(config_of(architecture, model__dropout=dropout).model, 3)
        *_, last = (module for module in model.modules() if isinstance(module, nn.Dropout))
        assert last.p == (rate if dropout is None else dropout)
    settings = mask2former_settings(config_of("mask2former", model__dropout=dropout).model, 3)
    assert settings.dropout == (0.0 if dropout is None else dropout)


def test_frozen_parts_are_the_topmost() -> None:
    model = unet(3, width=4, levels=2, dropout=0.0)
    model.freeze_below("head")
    names = {id(module): name for name, module in model.named_modules()}
    assert [names[id(module)] for module in _frozen_parts(model)] == [
        "net.down",
        "net.up",
        "net.merge",
    ]


def test_the_seed_decides_the_weights() -> None:
    def first_weights(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return [p.detach() for p in new_segmenter(config_of("mask2former").model, 3).parameters()]

    one, again, other = first_weights(0), first_weights(0), first_weights(1)
    assert all(map(torch.equal, one, again))
    assert not all(map(torch.equal, one, other))


def test_mask2former_counts_its_decoder_layers_as_the_paper_does() -> None:
    settings = mask2former_config(
        3,
        swin_width=8,
        swin_depths=(1, 1, 1, 1),
        swin_heads=(1, 1, 1, 1),
        window=2,
        drop_path=0.0,
        queries=4,
        hidden_width=32,
        pixel_layers=1,
        decoder_layers=5,
        dropout=0.0,
    )
    from transformers import Mask2FormerForUniversalSegmentation

    with torch.device("meta"):
        net = Mask2FormerForUniversalSegmentation(settings)
    assert len(net.model.transformer_module.decoder.layers) == 5
