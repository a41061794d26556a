"""Semantic segmentation: every pixel of an image gets a class.

Shapes: B batch, C classes, H height, W width.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.space import Objective
from trainables.parts.data import Batch
from trainables.parts.images import normalized
from trainables.parts.weights import read_weights
from trainables.segmentation.augment import augmented
from trainables.segmentation.classes import Classes
from trainables.segmentation.config import ModelConfig, SegmentationConfig
from trainables.segmentation.data import SegmentationSplits, recorded_sequences
from trainables.segmentation.losses import IGNORED, focal_map_loss, soft_dice_loss
from trainables.segmentation.models import (
    Segmenter,
    deeplabv3,
    fcn,
    mask2former,
    mask2former_config,
    unet,
)
from trainables.segmentation.scenes import digit_scenes
from trainables.segmentation.weights import (
    begin_from,
    mask2former_from,
    published_mask2former,
    torchvision_weights,
)
from trainables.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED_DROPOUT = {"deeplabv3": 0.5, "fcn": 0.1, "unet": 0.0, "mask2former": 0.0}


class SegmentationTally:
    """A confusion matrix of the pixels of a whole split, and the metrics that follow from it.

    Ignored pixels are not in it. A class that neither a label nor a prediction has in the whole
    split is left out of the means, as in torchmetrics' macro JaccardIndex.

    Args:
        classes: How many there are.
        own_size: Whether labels at their own size are counted too.

    Attributes:
        confusion_CC: Counts of pixels, rows = true class, columns = predicted class.
        own_size_CC: The same at the labels' own size; None where that isn't counted.
    """

    def __init__(self, classes: int, *, own_size: bool = False):
        self.confusion_CC = torch.zeros(classes, classes, dtype=torch.long)
        self.own_size_CC = self.confusion_CC.clone() if own_size else None

    def update(self, logits_BCHW: Tensor, labels_BHW: Tensor) -> None:
        """Count one batch."""
        self.confusion_CC += pixel_counts(logits_BCHW, labels_BHW)

    def update_own_size(self, logits_BCHW: Tensor, labels_BHW: Tensor) -> None:
        """Count one batch by logits that are enlarged to the labels' size, image by image."""
        assert self.own_size_CC is not None
        for logits_1CHW, label_1HW in zip(logits_BCHW.split(1), labels_BHW.split(1), strict=True):
            large_1CHW = F.interpolate(
                logits_1CHW.float(), size=label_1HW.shape[1:], mode="bilinear", align_corners=False
            )
            self.own_size_CC += pixel_counts(large_1CHW, label_1HW)

    def merge(self, other: Self) -> None:
        """Add another tally's counts to this one."""
        self.confusion_CC += other.confusion_CC
        if self.own_size_CC is not None and other.own_size_CC is not None:
            self.own_size_CC += other.own_size_CC

    def compute(self) -> dict[str, float]:
        """`miou`, `dice` (both means over the classes), `pixel_accuracy`, `own_size_miou`.

        NaN when no pixel is labelled. The last one is there if labels at their own size are
        counted.
        """
        hits_C, misses_C = _hits_and_misses(self.confusion_CC)
        own = {} if self.own_size_CC is None else {"own_size_miou": mean_iou(self.own_size_CC)}
        return {
            "miou": mean_iou(self.confusion_CC),
            "dice": _mean_of_present(2 * hits_C, 2 * hits_C + misses_C),
            "pixel_accuracy": float(hits_C.sum() / self.confusion_CC.sum()),
            **own,
        }

    def details(self) -> dict[str, Any]:
        """`per_class_iou` (None for a class that does not occur) and `confusion`, nested lists."""
        counts = _hits_and_misses(self.confusion_CC)
        pairs = zip(*(counts_C.tolist() for counts_C in counts), strict=True)
        per_class = [hits / (hits + misses) if hits + misses else None for hits, misses in pairs]
        return {"per_class_iou": per_class, "confusion": self.confusion_CC.tolist()}


def pixel_counts(logits_BCHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """How many pixels of each class (rows) are predicted as each class, ignored ones left out."""
    classes = logits_BCHW.shape[1]
    pairs_BHW = labels_BHW.long() * classes + logits_BCHW.argmax(1)
    counts = pairs_BHW[labels_BHW != IGNORED].bincount(minlength=classes**2)
    return counts.reshape(classes, classes).cpu()


def mean_iou(confusion_CC: Tensor) -> float:
    """Mean intersection over union of the classes that occur; NaN when no pixel is labelled."""
    hits_C, misses_C = _hits_and_misses(confusion_CC)
    return _mean_of_present(hits_C, hits_C + misses_C)


def _hits_and_misses(confusion_CC: Tensor) -> tuple[Tensor, Tensor]:
    """Each class's pixels in both label and prediction, and in just one of them."""
    hits_C = confusion_CC.diagonal().double()
    return hits_C, confusion_CC.sum(0) + confusion_CC.sum(1) - 2 * hits_C


def _mean_of_present(parts_C: Tensor, wholes_C: Tensor) -> float:
    """The mean share, over the classes of which there is something."""
    return float((parts_C / wholes_C)[wholes_C > 0].mean())


def build_segmenter(model: ModelConfig, classes: int) -> Segmenter:
    """The network that a config describes, with the weights that it begins with.

    Nothing is frozen yet.

    Raises:
        TaskError: when those weights can't be had, or don't fit.
    """
    if model.architecture == "mask2former" and (folder := mask2former_folder(model)):
        return mask2former(mask2former_from(folder, mask2former_settings(model, classes)), classes)
    segmenter = new_segmenter(model, classes)
    if model.weights == "pretrained":
        state, source = torchvision_weights(model.architecture, model.backbone)
    elif model.weights_path:
        state, source = read_weights(model.weights_path), str(model.weights_path)
    else:
        return segmenter
    begin_from(segmenter, state, architecture=model.architecture, source=source)
    return segmenter


def new_segmenter(model: ModelConfig, classes: int) -> Segmenter:
    """The network that a config describes, with random weights."""
    dropout = PUBLISHED_DROPOUT[model.architecture] if model.dropout is None else model.dropout
    match model.architecture:
        case "deeplabv3":
            return deeplabv3(
                model.backbone,
                classes,
                width=model.width,
                output_stride=model.output_stride,
                atrous_rates=model.atrous_rates,
                head_width=model.head_width,
                dropout=dropout,
            )
        case "fcn":
            return fcn(
                model.backbone,
                classes,
                width=model.width,
                output_stride=model.output_stride,
                dropout=dropout,
            )
        case "unet":
            return unet(classes, width=model.width, levels=model.unet_levels, dropout=dropout)
        case "mask2former":
            from transformers import Mask2FormerForUniversalSegmentation

            return mask2former(
                Mask2FormerForUniversalSegmentation(mask2former_settings(model, classes)), classes
            )


def mask2former_settings(model: ModelConfig, classes: int) -> Any:
    """The configuration of transformers for a config's Mask2Former."""
    return mask2former_config(
        classes,
        swin_width=model.swin_width,
        swin_depths=model.swin_depths,
        swin_heads=model.swin_heads,
        window=model.window,
        drop_path=model.drop_path,
        queries=model.queries,
        hidden_width=model.hidden_width,
        pixel_layers=model.pixel_layers,
        decoder_layers=model.decoder_layers,
        dropout=PUBLISHED_DROPOUT["mask2former"] if model.dropout is None else model.dropout,
    )


def mask2former_folder(model: ModelConfig) -> Any:
    """The folder that a config's Mask2Former is read from.

    None if it begins with random weights or a file.
    """
    if model.weights == "pretrained":
        return published_mask2former()
    return model.weights_path if model.weights_path and model.weights_path.is_dir() else None


class Segmentation(Task[SegmentationConfig, SegmentationSplits, Segmenter]):
    """Images whose every pixel gets a class.

    The objective is the mean intersection over union on the validation split, from the predicted
    classes alone: no loss weight and no augmentation that is searched can move it.
    """

    Config = SegmentationConfig
    validation_settings = (
        *("data.path", "data.image_folder", "data.label_folder", "data.classes", "data.lists"),
        *("data.side", "data.width", "data.scenes", "data.own_size"),
    )
    objective = Objective(name="miou", direction="maximize")
    other_objectives = (
        Objective(name="pixel_accuracy", direction="maximize"),
        Objective(name="dice", direction="maximize"),
    )
    shown_metrics = ("pixel_accuracy", "dice")
    uses_all_parameters = True

    def data(self, config: SegmentationConfig, seed: int) -> SegmentationSplits:
        """Recorded sequences, whatever the seed; or embedded scenes."""
        if layout := config.data.layout:
            return recorded_sequences(layout, *config.data.size, own_size=config.data.own_size)
        return digit_scenes(config.data.scenes, *config.data.size, seed)

    def model(self, config: SegmentationConfig, splits: SegmentationSplits) -> Segmenter:
        """The network, channels last in memory, with what isn't trained frozen."""
        segmenter = build_segmenter(config.model, len(splits.classes.names))
        segmenter.freeze_below(config.model.trained)
        return segmenter.to(memory_format=torch.channels_last)

    def head(self, model: Segmenter) -> list[nn.Parameter]:
        """What no pretrained weights have: the last layers, down to the decoder."""
        return model.head_parameters()

    def layers(self, model: Segmenter) -> list[list[nn.Parameter]]:
        """The stem, each stage of the backbone, the decoders."""
        return model.layer_parameters()

    def augment(self, config: SegmentationConfig, batch: Batch) -> Batch:
        """Each image varied together with its label."""
        images, labels = augmented(config.augment, batch["images"], batch["labels"])
        return {**batch, "images": images, "labels": labels}

    def loss(
        self, config: SegmentationConfig, model: Segmenter, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """The weighted sum of focal and Dice loss, and the logits [B, C, H, W]."""
        focal_weight, dice_weight = config.loss.weights
        logits_BCHW = model(normalized(batch["images"]))
        loss = focal_weight * focal_map_loss(
            logits_BCHW, batch["labels"], gamma=config.loss.focal_gamma
        )
        if dice_weight > 0:
            loss = loss + dice_weight * soft_dice_loss(logits_BCHW, batch["labels"])
        return loss, logits_BCHW

    def tally(self, config: SegmentationConfig, splits: SegmentationSplits) -> SegmentationTally:
        """Mean IoU, mean Dice, pixel accuracy, IoU of each class, confusion matrix."""
        own_size = "own_labels" in splits.validation.tensors
        return SegmentationTally(len(splits.classes.names), own_size=own_size)

    def count(self, tally: SegmentationTally, outputs: Tensor, batch: Batch) -> None:
        """Count the most likely class of each pixel."""
        tally.update(outputs, batch["labels"])
        if "own_labels" in batch:
            tally.update_own_size(outputs, batch["own_labels"])

    @torch.no_grad()
    def pictures(
        self,
        config: SegmentationConfig,
        model: Segmenter,
        splits: SegmentationSplits,
        rows: Sequence[int],
    ) -> dict[str, "Figure"]:
        """For each row: image, label and prediction side by side, in the classes' colors."""
        classes, device = splits.classes, next(model.parameters()).device
        model.eval()
        figures = {}
        for row in rows:
            images_13HW, labels_1HW = (
                splits.validation.tensors[name][row : row + 1] for name in ("images", "labels")
            )
            predicted_1HW = model(normalized(images_13HW.to(device))).argmax(1)
            maps = {"label": labels_1HW[0].cpu(), "prediction": predicted_1HW[0].cpu()}
            figures[f"validation_{row}"] = segmentation_figure(images_13HW[0].cpu(), maps, classes)
        return figures


def segmentation_figure(image_3HW: Tensor, maps: dict[str, Tensor], classes: Classes) -> "Figure":
    """An image beside maps of train ids [H, W] in the classes' colors; ignored pixels are white."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colors = torch.full((IGNORED + 1, 3), 255, dtype=torch.uint8)
    colors[: len(classes.colors)] = torch.tensor(classes.colors, dtype=torch.uint8)
    panels = {"image": image_3HW.movedim(0, -1)} | {
        name: colors[map_HW.long()] for name, map_HW in maps.items()
    }
    figure = Figure(figsize=(3 * len(panels), 3.6), layout="constrained")
    for axes, (name, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axes.imshow(panel.numpy())
        axes.set_title(name)
        axes.set_axis_off()
    named = zip(classes.names, classes.colors, strict=True)
    patches = [
        Patch(color=(red / 255, green / 255, blue / 255), label=name)
        for name, (red, green, blue) in named
    ]
    if any((map_HW == IGNORED).any() for map_HW in maps.values()):
        patches.append(Patch(facecolor="white", edgecolor="gray", label="ignored"))
    legend = figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(patches)))
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure
