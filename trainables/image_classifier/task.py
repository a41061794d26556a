"""Image classification by timm's models (ConvNeXt first) or plain networks.

For "Nailong" (one figure among many), and for whatever has class folders.

Shapes: B batch, C classes, H height, W width.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.space import Objective
from trainables.config import at_least, below_one, require
from trainables.image_classifier.augment import AugmentConfig, augmented
from trainables.image_classifier.digits import Embedded, one_against_rest, plain_digits
from trainables.image_classifier.files import Grouping
from trainables.image_classifier.folders import ImageSplits, folder_images
from trainables.image_classifier.models import (
    PLAIN,
    PlainNetwork,
    classifier_parameters,
    layers_by_depth,
    load_weights,
    name_problem,
    timm_model,
)
from trainables.image_classifier.pictures import image_grid
from trainables.image_classifier.preparation import Fit, Preparation, preparation
from trainables.parts.data import Batch
from trainables.parts.images import normalized
from trainables.parts.losses import focal_cross_entropy, soft_focal_cross_entropy
from trainables.parts.optim import OptimConfig
from trainables.parts.pictures import confusion_picture
from trainables.parts.tally import RankingTally
from trainables.task import Task
from trainables.training import evaluate, to_device

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONVNEXT_STAGES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig(AugmentConfig):
    """Where the images come from, how they are served, and how training images are varied."""

    path: Path | None = None
    """A folder: train/<class>/*.png with val/ and test/ beside it, or <class>/*.png; or a list of
    images and labels (.csv, .parquet), or a folder of such; none = the embedded digits."""
    embedded: Embedded = "one_against_rest"
    """Without a path: eights against all other digits on coloured grounds, or the ten digits in
    white on black."""
    side: int = 32
    """Height and width in pixels that every image gets; 224 suits most pretrained weights."""
    fit: Fit = "own"
    """How images become squares: squash; center = the middle is cut out; border = one is added;
    own = as the model's pretrained weights are judged, and squash without them."""
    kept_side: int | None = None
    """Training images that are cropped (crop_min_area) are kept with at most so many pixels a side,
    and crops are cut from these; none = twice `side`."""
    group_pattern: str | None = None
    """A regular expression: images in whose file names it finds the same are in one split. So are
    those with the same `group` in a list."""
    group_duplicates: bool = False
    """Nearly the same images are in one split."""
    positive: str | None = None
    """The one class that is looked for: average precision and F1 are its own, pasting needs it;
    none = macro means."""
    batch_size: int = 32
    """Images in a batch."""
    weighted_sampler: bool = False
    """Draw every class equally often."""

    def __post_init__(self) -> None:
        AugmentConfig.__post_init__(self)
        at_least(self, 8, "side")
        at_least(self, 1, "batch_size")
        at_least(self, self.side, "kept_side")
        self._check_groups()
        known = self.positive is not None or (
            self.path is None and self.embedded == "one_against_rest"
        )
        require(
            known or self.paste_probability + self.decoy_probability == 0,
            "pasting needs the name of the positive class in data.positive",
            positive=self.positive,
        )
        require(
            self.path is not None or self.positive is None,
            "positive names a class of data.path; the embedded digits have their own",
            positive=self.positive,
        )

    def _check_groups(self) -> None:
        require(
            self.path is not None or not (self.group_pattern or self.group_duplicates),
            "groups are those of the images of data.path; each embedded digit is in one split",
            group_pattern=self.group_pattern,
            group_duplicates=self.group_duplicates,
        )
        try:
            re.compile(self.group_pattern or "")
        except re.error as error:
            raise ValueError(
                f"group_pattern must be a regular expression, got {self.group_pattern!r}: {error}"
            ) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Which network, what it begins with, and how it is regularized."""

    name: str = "convnext_tiny"
    """A model of timm's, if wanted with its weights' tag (convnext_tiny.fb_in22k); or plain, made
    of what follows."""
    weights: Literal["none", "pretrained", "file"] = "none"
    """What training begins with: random weights, timm's from the cache of Hugging Face or the net,
    or weights_file."""
    weights_file: Path | None = None
    """A state dict (.safetensors or .pt) of the same model; a classifier of another size is left
    out."""
    drop_path_rate: float = 0.0
    """Stochastic depth: how often the last block is skipped, the first never, those between in
    proportion."""
    drop_rate: float = 0.0
    """Dropout before the classifier; in plain, after each fully connected layer."""
    dims: tuple[int, ...] = ()
    """Other widths of a ConvNeXt's four stages; in plain, the width of each 3x3 convolution; none =
    the model's own."""
    depths: tuple[int, ...] = ()
    """Other numbers of blocks of a ConvNeXt's four stages; in plain, the convolutions before each
    2x2 pooling."""
    patch_size: int = 0
    """Another size of the patches that the first layer makes, for small images; 0 = the model's
    own."""
    hidden: tuple[int, ...] = ()
    """Plain only: widths of the fully connected layers before the classifier."""
    norm: bool = False
    """Plain only: a batch norm after each convolution."""
    pool: bool = False
    """Plain only: each channel is averaged before the fully connected layers."""

    def __post_init__(self) -> None:
        problem = name_problem(self.name)
        if problem:
            raise ValueError(problem)
        below_one(self, "drop_path_rate", "drop_rate")
        at_least(self, 0, "patch_size")
        at_least(self, 1, "dims", "depths", "hidden")
        require(
            (self.weights == "file") == (self.weights_file is not None),
            "weights file and weights_file go together",
            weights=self.weights,
            weights_file=self.weights_file,
        )
        if self.name == PLAIN:
            self._check_plain()
        else:
            self._check_timm()

    def _check_plain(self) -> None:
        require(
            self.weights != "pretrained", "plain has no pretrained weights", weights=self.weights
        )
        require(
            self.drop_path_rate == 0,
            "plain has no paths to drop",
            drop_path_rate=self.drop_path_rate,
        )
        require(self.patch_size == 0, "plain has no patches", patch_size=self.patch_size)
        require(
            sum(self.depths) == len(self.dims),
            "plain has as many convolutions in depths as widths in dims",
            depths=self.depths,
            dims=self.dims,
        )

    def _check_timm(self) -> None:
        require(
            not (self.hidden or self.norm or self.pool),
            "hidden, norm and pool are plain's",
            name=self.name,
        )
        sizes = {"dims": self.dims, "depths": self.depths}
        require(
            not self.name.startswith("convnext")
            or all(len(size) in (0, CONVNEXT_STAGES) for size in sizes.values()),
            "dims and depths of a ConvNeXt are those of its four stages",
            **sizes,
        )
        require(
            self.weights != "pretrained" or not (self.dims or self.depths or self.patch_size),
            "pretrained weights need the model's own dims, depths and patch_size",
            **sizes,
            patch_size=self.patch_size,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """The shape of the cross-entropy."""

    label_smoothing: float = 0.0
    """Share of the target spread over all classes."""
    focal_gamma: float = 0.0
    """Focusing exponent of the focal loss; 0 = plain cross-entropy."""

    def __post_init__(self) -> None:
        below_one(self, "label_smoothing")
        at_least(self, 0, "focal_gamma")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageClassifierConfig:
    """Everything about an image classifier that can be searched or fixed."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        side, poolings = self.data.side, len(self.model.depths)
        require(
            self.model.name != PLAIN or side >= 2**poolings,
            "plain halves the side once for each of depths",
            side=side,
            depths=self.model.depths,
        )


def build_model(config: ModelConfig, *, classes: int, side: int) -> nn.Module:
    """The network of a config, with random or timm's own weights."""
    if config.name == PLAIN:
        return PlainNetwork(
            classes=classes,
            side=side,
            dims=config.dims,
            depths=config.depths,
            hidden=config.hidden,
            norm=config.norm,
            pool=config.pool,
            drop_rate=config.drop_rate,
        )
    return timm_model(
        config.name,
        classes=classes,
        side=side,
        pretrained=config.weights == "pretrained",
        drop_path_rate=config.drop_path_rate or None,
        drop_rate=config.drop_rate or None,
        dims=config.dims or None,
        depths=config.depths or None,
        patch_size=config.patch_size or None,
    )


def prepared_by(config: ImageClassifierConfig) -> Preparation:
    """How images are prepared: weights from a file are taken for those that timm knows."""
    pretrained = config.model.weights != "none"
    return preparation(config.model.name, pretrained=pretrained, fit=config.data.fit)


def logits(config: ImageClassifierConfig, model: nn.Module, batch: Batch) -> Tensor:
    """The scores of a batch's images, which are bytes [B, 3, H, W]: [B, C]."""
    how = prepared_by(config)
    logits_BC: Tensor = model(normalized(batch["images"], how.mean, how.std))
    return logits_BC


class ImageClassifier(Task[ImageClassifierConfig, ImageSplits]):
    """Images in classes, of which one may be looked for among the others.

    The objective is the average precision on the validation split, computed from the scores alone:
    how well the positives stand before the rest, whatever the threshold, however rare they are. No
    setting of the loss and no augmentation can move it.
    """

    Config = ImageClassifierConfig
    validation_settings = (
        "data.path",
        "data.embedded",
        "data.side",
        "data.fit",
        "data.positive",
        "data.group_pattern",
        "data.group_duplicates",
    )
    preparing_settings = ("model.name", "model.weights")
    objective = Objective(name="average_precision", direction="maximize")
    other_objectives = tuple(
        Objective(name=name, direction="maximize")
        for name in ("accuracy", "balanced_accuracy", "f1")
    )
    shown_metrics = ("accuracy", "f1")
    uses_all_parameters = True

    def data(self, config: ImageClassifierConfig, seed: int) -> ImageSplits:
        """The folder's images, or the embedded digits."""
        data = config.data
        if data.path:
            return folder_images(
                data.path,
                data.side,
                data.positive,
                seed,
                data.weighted_sampler,
                preparation=prepared_by(config),
                kept_side=None if data.crop_min_area == 1 else data.kept_side or 2 * data.side,
                grouping=Grouping(pattern=data.group_pattern, duplicates=data.group_duplicates),
            )
        embedded = one_against_rest if data.embedded == "one_against_rest" else plain_digits
        return embedded(data.side, seed, data.weighted_sampler)

    def model(self, config: ImageClassifierConfig, splits: ImageSplits) -> nn.Module:
        """The network, channels last in memory, with the weights it begins with."""
        classes = len(splits.classes)
        model = build_model(config.model, classes=classes, side=config.data.side)
        if config.model.weights_file:
            load_weights(model, config.model.weights_file)
        return model.to(memory_format=torch.channels_last)

    def head(self, model: nn.Module) -> list[nn.Parameter]:
        """The last layer."""
        return classifier_parameters(model)

    def layers(self, model: nn.Module) -> list[list[nn.Parameter]]:
        """The stem, each block, as timm groups them."""
        return layers_by_depth(model)

    def augment(self, config: ImageClassifierConfig, batch: Batch) -> Batch:
        """Whatever `data` asks for."""
        return augmented(config.data, batch, config.data.side)

    def loss(
        self, config: ImageClassifierConfig, model: nn.Module, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """The cross-entropy, and the logits [B, C]."""
        logits_BC, shape = logits(config, model, batch), config.loss
        more = {"gamma": shape.focal_gamma, "label_smoothing": shape.label_smoothing}
        if "mixing" not in batch:
            return focal_cross_entropy(logits_BC, batch["labels"], **more), logits_BC
        targets_BC = batch["mixing"] @ F.one_hot(batch["labels"], logits_BC.shape[1]).float()
        return soft_focal_cross_entropy(logits_BC, targets_BC, **more), logits_BC

    def tally(self, config: ImageClassifierConfig, splits: ImageSplits) -> RankingTally:
        """Average precision, F1, accuracies and the confusion matrix."""
        return RankingTally(len(splits.classes), splits.positive)

    def count(self, tally: RankingTally, outputs: Tensor, batch: Batch) -> None:
        """Count the scores of each image."""
        tally.update(outputs, batch["labels"])

    def pictures(
        self,
        config: ImageClassifierConfig,
        model: nn.Module,
        splits: ImageSplits,
        rows: Sequence[int],
    ) -> "dict[str, Figure]":
        """These images with true and predicted classes; the confusion matrix of all of them."""
        classes = splits.classes
        shown = {name: tensor[list(rows)] for name, tensor in splits.validation.tensors.items()}
        logits_BC = logits(config, model, to_device(shown, model)).cpu()
        _, details = evaluate(self, config, model, splits, splits.validation)
        return {
            "predictions": image_grid(shown, logits_BC.softmax(-1), classes),
            "confusion": confusion_picture(details["confusion"], classes),
        }
