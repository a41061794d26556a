"""Networks that give every pixel class logits: DeepLabV3, FCN, U-Net and Mask2Former, at any size.

Shapes: B batch, C classes, H height, W width, Q queries.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.segmentation import FCN, DeepLabV3
from torchvision.models.segmentation.deeplabv3 import ASPP
from torchvision.models.segmentation.fcn import FCNHead

Level = Literal["head", "decoder", "pixel_decoder", "last_stage", "all"]
LEVELS: tuple[Level, ...] = ("head", "decoder", "pixel_decoder", "last_stage", "all")
Backbone = Literal["resnet14", "resnet26", "resnet50", "resnet101"]
RESNET_BLOCKS: dict[str, list[int]] = {
    "resnet14": [1, 1, 1, 1],
    "resnet26": [2, 2, 2, 2],
    "resnet50": [3, 4, 6, 3],
    "resnet101": [3, 4, 23, 3],
}
RESNET_WIDTH = 64
Stage = tuple[Level, Sequence[nn.Module]]


class Segmenter(nn.Module):
    """A network from images [B, 3, H, W] to logits [B, C, H, W], in stages that can be frozen.

    A part without a trainable parameter stays in evaluation mode during training: frozen weights
    see neither dropout nor the batch's own mean and variance.

    Attributes:
        net: The network; its own names are what a file of weights is matched by.
        stages: Its parts from the input to the head, each with the lowest `trained` level that
            trains it.
    """

    def __init__(self, net: nn.Module, stages: Sequence[Stage]):
        super().__init__()
        self.net = net
        self.stages = [(level, tuple(modules)) for level, modules in stages]

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits at the images' own size."""
        logits = self.net(images_BCHW)
        maps_BCHW: Tensor = logits["out"] if isinstance(logits, dict) else logits
        if maps_BCHW.shape[-2:] == images_BCHW.shape[-2:]:
            return maps_BCHW
        return F.interpolate(
            maps_BCHW, size=images_BCHW.shape[-2:], mode="bilinear", align_corners=False
        )

    def train(self, mode: bool = True) -> "Segmenter":
        """Training mode for what is trained; evaluation mode for what is frozen."""
        super().train(mode)
        if mode:
            for module in _frozen_parts(self):
                module.eval()
        return self

    def freeze_below(self, trained: Level) -> None:
        """Freeze for good the stages that `trained` leaves out."""
        for level, modules in self.stages:
            if LEVELS.index(level) > LEVELS.index(trained):
                for module in modules:
                    module.requires_grad_(False)

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the last stage, which no pretrained weights have."""
        return _parameters(self.stages[-1][1])

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """Parameters below the head by depth, the input's first."""
        return [_parameters(modules) for _, modules in self.stages[:-1]]


def _parameters(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


def _frozen_parts(module: nn.Module) -> Iterator[nn.Module]:
    """The topmost modules that have parameters, none of them trainable."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        yield module
    else:
        for child in module.children():
            yield from _frozen_parts(child)


# ResNets ------------------------------------------------------------------------------------------


class PooledBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of one pixel an image.

    A batch of one image, which has no variance, uses the running statistics.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize [B, C, 1, 1]."""
        if self.training and len(input) == 1:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class ScaledResNet(ResNet):
    """A ResNet of bottlenecks all of whose stages, but not its stem, are scaled to a width."""

    def __init__(self, blocks: Sequence[int], *, width: int, dilated: Sequence[bool]):
        self.width = width
        super().__init__(Bottleneck, list(blocks), replace_stride_with_dilation=list(dilated))

    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        return super()._make_layer(block, planes * self.width // RESNET_WIDTH, *args, **kwargs)


def resnet(backbone: Backbone, *, width: int, output_stride: int) -> tuple[nn.ModuleDict, int]:
    """A ResNet without its classifier, giving `{"out": features}`, and the number of its features.

    Args:
        backbone: How many blocks.
        width: Inner width of the first stage; 64 is the published one.
        output_stride: Input pixels to a feature; strides above it become dilations.
    """
    dilated = [output_stride < stride for stride in (8, 16, 32)]
    net = ScaledResNet(RESNET_BLOCKS[backbone], width=width, dilated=dilated)
    return IntermediateLayerGetter(net, {"layer4": "out"}), 8 * width * Bottleneck.expansion


def _resnet_stages(backbone: Any) -> list[Stage]:
    stem: Stage = ("all", (backbone.conv1, backbone.bn1))
    middle: list[Stage] = [
        ("all", (layer,)) for layer in (backbone.layer1, backbone.layer2, backbone.layer3)
    ]
    return [stem, *middle, ("last_stage", (backbone.layer4,))]


def deeplabv3(
    backbone: Backbone,
    classes: int,
    *,
    width: int,
    output_stride: int,
    atrous_rates: Sequence[int],
    head_width: int,
    dropout: float,
) -> Segmenter:
    """DeepLabV3 (https://arxiv.org/abs/1706.05587) with a larger classifier.

    Its decoder is the atrous pyramid (ASPP) with the block of a 3x3 convolution that follows it, as
    in torchvision's; its head takes the place of torchvision's last layer, a 1x1 convolution.
    """
    features, channels = resnet(backbone, width=width, output_stride=output_stride)
    pyramid: Any = ASPP(channels, atrous_rates, head_width)
    pyramid.convs[-1][2] = PooledBatchNorm2d(head_width)
    decoder = (
        pyramid,
        nn.Conv2d(head_width, head_width, 3, padding=1, bias=False),
        nn.BatchNorm2d(head_width),
        nn.ReLU(),
    )
    head = nn.Sequential(
        nn.Conv2d(head_width, head_width, 3, padding=1),
        nn.BatchNorm2d(head_width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Conv2d(head_width, classes, 1),
    )
    stages: list[Stage] = [
        *_resnet_stages(features),
        ("decoder", decoder),
        ("head", (head,)),
    ]
    return Segmenter(DeepLabV3(features, nn.Sequential(*decoder, head)), stages)


def fcn(
    backbone: Backbone, classes: int, *, width: int, output_stride: int, dropout: float
) -> Segmenter:
    """A fully convolutional network (https://arxiv.org/abs/1411.4038), as torchvision's.

    Its decoder is the block of a 3x3 convolution, its head the 1x1 convolution after it.
    """
    features, channels = resnet(backbone, width=width, output_stride=output_stride)
    classifier: Any = FCNHead(channels, classes)
    *block, dropout_layer, last = classifier
    dropout_layer.p = dropout
    stages: list[Stage] = [
        *_resnet_stages(features),
        ("decoder", block),
        ("head", (dropout_layer, last)),
    ]
    return Segmenter(FCN(features, classifier), stages)


# U-Net --------------------------------------------------------------------------------------------


class UNet(nn.Module):
    """U-Net (https://arxiv.org/abs/1505.04597), padded so that sizes stay, with batch norm.

    Height and width must be multiples of 2^levels.
    """

    def __init__(self, classes: int, *, width: int, levels: int, dropout: float):
        super().__init__()
        widths = [width * 2**level for level in range(levels + 1)]
        inputs = [3, *widths[:-1]]
        self.down = nn.ModuleList(_double_conv(i, o) for i, o in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1])
        )
        self.merge = nn.ModuleList(_double_conv(2 * w, w) for w in reversed(widths[:-1]))
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits at the images' size."""
        skips: list[Tensor] = []
        for level, down in enumerate(self.down):
            x_BCHW = down(F.max_pool2d(x_BCHW, 2) if level else x_BCHW)
            skips.append(x_BCHW)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x_BCHW = merge(torch.cat([skips.pop(), up(x_BCHW)], dim=1))
        return cast(Tensor, self.classify(self.dropout(x_BCHW)))


def _double_conv(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers += [
            nn.Conv2d(channels, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


def unet(classes: int, *, width: int, levels: int, dropout: float) -> Segmenter:
    """A plain U-Net; its decoder is the way up, its head the last convolution."""
    net = UNet(classes, width=width, levels=levels, dropout=dropout)
    down: list[Stage] = [("all", (layer,)) for layer in net.down]
    up: list[Stage] = [("decoder", pair) for pair in zip(net.up, net.merge, strict=True)]
    return Segmenter(net, [*down, *up, ("head", (net.classify,))])


# Mask2Former --------------------------------------------------------------------------------------


class Mask2FormerMaps(nn.Module):
    """Mask2Former (https://arxiv.org/abs/2112.01527) whose query masks are turned into class maps.

    An extra 3x3 convolution weighs each query's mask the same in all images; the class predictor,
    replaced by one for the classes at hand, adds what each query stands for in this image.
    """

    def __init__(self, mask2former: Any, classes: int):
        super().__init__()
        self.mask2former = mask2former
        self.mask2former.class_predictor = nn.Linear(mask2former.config.hidden_dim, classes)
        self.to_classes = nn.Conv2d(mask2former.config.num_queries, classes, 3, padding=1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits [B, C, H / 4, W / 4]."""
        outputs = self.mask2former(images_BCHW)
        masks_BQHW, meanings_BQC = outputs.masks_queries_logits, outputs.class_queries_logits
        by_meaning_BCHW = (
            torch.einsum("bqc,bqhw->bchw", meanings_BQC, masks_BQHW) / masks_BQHW.shape[1]
        )
        return cast(Tensor, self.to_classes(masks_BQHW) + by_meaning_BCHW)


def mask2former_config(
    classes: int,
    *,
    swin_width: int,
    swin_depths: Sequence[int],
    swin_heads: Sequence[int],
    window: int,
    drop_path: float,
    queries: int,
    hidden_width: int,
    pixel_layers: int,
    decoder_layers: int,
    dropout: float,
) -> Any:
    """The configuration of transformers; whatever is not named here has its published default."""
    from transformers import Mask2FormerConfig, SwinConfig

    swin = SwinConfig(
        image_size=384,
        embed_dim=swin_width,
        depths=list(swin_depths),
        num_heads=list(swin_heads),
        window_size=window,
        drop_path_rate=drop_path,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return Mask2FormerConfig(
        backbone_config=swin,
        num_labels=classes,
        num_queries=queries,
        hidden_dim=hidden_width,
        feature_size=hidden_width,
        mask_feature_size=hidden_width,
        encoder_feedforward_dim=4 * hidden_width,
        dim_feedforward=8 * hidden_width,
        encoder_layers=pixel_layers,
        decoder_layers=decoder_layers
        + 1,  # transformers counts the prediction before the first layer
        dropout=dropout,
    )


def mask2former(net: Any, classes: int) -> Segmenter:
    """A `Mask2FormerForUniversalSegmentation` as a network of class maps.

    Its head is the predictor and the 3x3.
    """
    maps = Mask2FormerMaps(net, classes)
    pixel_level, decoder = net.model.pixel_level_module, net.model.transformer_module
    del net.criterion  # transformers' own loss, by Hungarian matching
    decoder.decoder.layerdrop = (
        0.0  # transformers drops a layer but not its change of scale, and then sizes clash
    )
    backbone, norms = pixel_level.encoder, pixel_level.encoder.hidden_states_norms
    backbone.swin.layernorm.requires_grad_(False)  # its output is never read
    swin = list(zip(backbone.swin.encoder.layers, norms.values(), strict=True))
    stages: list[Stage] = [
        ("all", (backbone.swin.embeddings,)),
        *(("all", stage) for stage in swin[:-1]),
        ("last_stage", (*swin[-1], backbone.swin.layernorm)),
        ("pixel_decoder", (pixel_level.decoder,)),
        ("decoder", (decoder,)),
        ("head", (net.class_predictor, maps.to_classes)),
    ]
    return Segmenter(maps, stages)
