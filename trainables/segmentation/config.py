"""Everything about a segmentation that can be searched or fixed."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trainables.config import at_least, below_one, require
from trainables.parts.optim import OptimConfig
from trainables.segmentation.augment import AugmentConfig
from trainables.segmentation.data import ClassSource, Layout
from trainables.segmentation.models import Backbone, Level
from trainables.segmentation.weights import TORCHVISION

Architecture = Literal["deeplabv3", "fcn", "unet", "mask2former"]
TRAINABLE_LEVELS: dict[str, tuple[Level, ...]] = {
    "deeplabv3": ("head", "decoder", "last_stage", "all"),
    "fcn": ("head", "decoder", "last_stage", "all"),
    "unet": ("head", "decoder", "all"),
    "mask2former": ("head", "decoder", "pixel_decoder", "last_stage", "all"),
}
MASK2FORMER_SIZES = (
    "swin_width",
    "window",
    "queries",
    "hidden_width",
    "pixel_layers",
    "decoder_layers",
)
SIZES = ("width", "head_width", "unet_levels", *MASK2FORMER_SIZES)
SWIN_LISTS = ("swin_depths", "swin_heads")
SWIN_STAGES = 4
MIN_MASK2FORMER_SIDE = 33  # at 32 the coarsest features are one pixel, which has no variance


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Where the images come from, and how they are served."""

    path: Path | None = None
    """A folder of recorded sequences, or one of them; none = embedded scenes of handwriting on
    textures."""
    image_folder: str = "images"
    """What the folder of images is called in each sequence."""
    label_folder: str = "labels"
    """What the folder of labels is called in each sequence."""
    classes: ClassSource = "folder"
    """The classes of classes.yaml or classes.json in path, or those of WildScenes."""
    lists: Path | None = None
    """A folder of CSV lists with the columns image and label: train.csv, validation.csv, test.csv;
    none = 7:2:1 in time order."""
    own_size: bool = False
    """Whether a model is also judged at the size that recorded labels have, which all must have in
    common: own_size_miou."""
    side: int = 64
    """Height of the images in pixels, and their width unless that is given."""
    width: int | None = None
    """Width of the images in pixels; none = the height."""
    scenes: int = 600
    """How many embedded scenes there are, 7:2:1 for training, validation and test."""
    batch_size: int = 8
    """Images in a batch."""

    def __post_init__(self) -> None:
        at_least(self, 8, "side", "width")
        at_least(self, 10, "scenes")
        at_least(self, 1, "batch_size")

    @property
    def layout(self) -> Layout | None:
        """How recorded sequences lie; None for embedded scenes."""
        if self.path is None:
            return None
        return Layout(
            path=self.path,
            images=self.image_folder,
            labels=self.label_folder,
            classes=self.classes,
            lists=self.lists,
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.side, self.width or self.side


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Which network, of what size, beginning with which weights, and what of it is trained."""

    architecture: Architecture = "deeplabv3"
    """DeepLabV3 or FCN on a ResNet, a plain U-Net, or Mask2Former on a Swin transformer."""
    weights: Literal["none", "pretrained"] = "none"
    """Random weights, or the published ones (COCO) with a new head, from the library's cache or the
    net."""
    weights_path: Path | None = None
    """A file of weights to begin with, or a folder with a Mask2Former that transformers saved."""
    trained: Level = "all"
    """The head alone; also the decoder (mask2former: the transformer's; deeplabv3: the atrous
    pyramid and the 3x3 block after it; fcn: its 3x3 block; unet: the way up); also the pixel
    decoder; also the backbone's last stage; or all. What isn't trained stays frozen for good."""
    dropout: float | None = None
    """Before the last convolution; mask2former: in both decoders.

    None = as published: 0.5 in deeplabv3, 0.1 in fcn.
    """
    backbone: Backbone = "resnet101"
    """The ResNet of deeplabv3 and fcn; the two small ones have one or two blocks in each stage."""
    width: int = 64
    """Channels of the first stage of unet, or inside the first bottlenecks of a ResNet; 64 = as
    published."""
    output_stride: Literal[4, 8, 16, 32] = 8
    """Image pixels, along a side, to one feature of a ResNet's last stage."""
    atrous_rates: tuple[int, ...] = (12, 24, 36)
    """Dilations of deeplabv3's pyramid, in features."""
    head_width: int = 256
    """Channels of deeplabv3's pyramid and classifier."""
    unet_levels: int = 4
    """How often unet halves the image."""
    swin_width: int = 192
    """Channels of the Swin transformer's first stage."""
    swin_depths: tuple[int, ...] = (2, 2, 18, 2)
    """Its blocks in each stage."""
    swin_heads: tuple[int, ...] = (6, 12, 24, 48)
    """Its attention heads in each stage."""
    window: int = 12
    """Its window's side, in patches of 4 pixels."""
    drop_path: float = 0.3
    """Its last block's chance to be skipped; earlier blocks have less."""
    queries: int = 100
    """Masks that mask2former proposes."""
    hidden_width: int = 256
    """Channels of both decoders of mask2former; a multiple of 32."""
    pixel_layers: int = 6
    """Layers of mask2former's pixel decoder."""
    decoder_layers: int = 9
    """Layers of mask2former's transformer decoder."""

    def __post_init__(self) -> None:
        at_least(self, 1, *SIZES)
        below_one(self, "dropout", "drop_path")
        levels = TRAINABLE_LEVELS[self.architecture]
        rule = f"trained must be one of {', '.join(levels)} for {self.architecture}"
        require(self.trained in levels, rule, trained=self.trained)
        if self.architecture in ("deeplabv3", "fcn"):
            self._check_resnet()
        if self.architecture == "mask2former":
            self._check_mask2former()
        self._check_weights()

    def _check_resnet(self) -> None:
        rates = self.atrous_rates
        require(
            bool(rates) and min(rates) >= 1, "atrous_rates must be at least 1", atrous_rates=rates
        )

    def _check_mask2former(self) -> None:
        for name in SWIN_LISTS:
            values = getattr(self, name)
            rule = f"{name} must be {SWIN_STAGES} numbers from 1"
            require(len(values) == SWIN_STAGES and min(values) >= 1, rule, **{name: values})
        divided = all(
            self.swin_width * 2**stage % heads == 0 for stage, heads in enumerate(self.swin_heads)
        )
        rule = "swin_heads must divide swin_width x 1, 2, 4, 8"
        require(divided, rule, swin_heads=self.swin_heads, swin_width=self.swin_width)
        rule = "hidden_width must be a multiple of 32"
        require(self.hidden_width % 32 == 0, rule, hidden_width=self.hidden_width)

    def _check_weights(self) -> None:
        if self.weights == "none":
            return
        rule = "weights pretrained and weights_path exclude each other"
        require(self.weights_path is None, rule, weights_path=str(self.weights_path))
        if self.architecture == "mask2former":
            names: tuple[str, ...] = (*MASK2FORMER_SIZES, *SWIN_LISTS)
        else:
            names = ("width", "head_width")
            exists = (self.architecture, self.backbone) in TORCHVISION
            rule = (
                f"weights pretrained needs {', '.join(map(' '.join, TORCHVISION))} or mask2former"
            )
            require(exists, rule, architecture=self.architecture, backbone=self.backbone)
        published = {f.name: f.default for f in dataclasses.fields(self) if f.name in names}
        other = {
            name: getattr(self, name)
            for name in published
            if getattr(self, name) != published[name]
        }
        full = ", ".join(f"{name} {published[name]}" for name in other)
        require(
            not other,
            f"weights pretrained needs {self.architecture} at its full size: {full}",
            **other,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """Focal loss and Dice loss, weighed in one of two ways."""

    focal_weight: float = 1.0
    """Of the focal loss; with dice_weight 0.5 the best that was found by hand."""
    dice_weight: float = 0.5
    """Of the Dice loss."""
    dice_fraction: float | None = None
    """Share of the Dice loss, 1 minus it that of the focal loss, in place of the two weights; 2:1
    is 1/3. The weights then sum to 1: where gradients are clipped, that is not 1.0 and 0.5."""
    focal_gamma: float = 2.0
    """Focusing exponent of the focal loss; 0 = plain cross-entropy."""

    def __post_init__(self) -> None:
        at_least(self, 0, "focal_weight", "dice_weight", "focal_gamma")
        total = self.focal_weight + self.dice_weight
        require(total > 0, "focal_weight and dice_weight must not both be 0", total=total)
        if self.dice_fraction is not None:
            fraction = self.dice_fraction
            require(0 <= fraction <= 1, "dice_fraction must be in [0, 1]", dice_fraction=fraction)
            require(
                (self.focal_weight, self.dice_weight) == (1.0, 0.5),
                "dice_fraction takes the place of focal_weight and dice_weight: give either it or "
                "them",
                dice_fraction=fraction,
                focal_weight=self.focal_weight,
                dice_weight=self.dice_weight,
            )

    @property
    def weights(self) -> tuple[float, float]:
        """Of the focal loss and of the Dice loss."""
        if self.dice_fraction is None:
            return self.focal_weight, self.dice_weight
        return 1 - self.dice_fraction, self.dice_fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentationConfig:
    """Everything about a segmentation that can be searched or fixed."""

    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        size, model = self.data.size, self.model
        if model.architecture == "unet":
            step = 2**model.unet_levels
            rule = (
                f"unet with unet_levels {model.unet_levels} needs height and width that are "
                f"multiples of {step}, "
            )
            rule += f"and at least {2 * step}"
            require(
                all(side % step == 0 and side >= 2 * step for side in size),
                rule,
                height_and_width=size,
            )
            return
        least = (
            MIN_MASK2FORMER_SIDE if model.architecture == "mask2former" else 2 * model.output_stride
        )
        rule = f"{model.architecture} needs height and width of at least {least}"
        require(min(size) >= least, rule, height_and_width=size)
