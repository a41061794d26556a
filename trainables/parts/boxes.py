"""Boxes around objects: lists and tensors, anchors, offsets, mean average precision.

A box is (left, top, right, bottom) in pixels. Intersection over union, suppression, pooling and the
like are in `torchvision.ops`; here is what it lacks.

Shapes: N images or boxes, K boxes of an image at most, A boxes, B boxes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import box_area

NO_BOX = -1
LARGEST_GROWTH = math.log(1000 / 16)  # torchvision's, so that no exponential overflows

Boxes = Mapping[str, Tensor]
"""Of one image: `boxes` [K, 4], `labels` [K], and if they are predicted, `scores` [K]."""


def pad_boxes(images: Sequence[Boxes]) -> dict[str, Tensor]:
    """Each image's boxes in one tensor, `boxes` [N, K, 4] and `labels` [N, K], to be sliced.

    Behind an image's own boxes the label is `NO_BOX`.
    """
    boxes_NK4 = pad_sequence([image["boxes"].reshape(-1, 4).float() for image in images], True)
    labels = [image["labels"].reshape(-1).long() for image in images]
    return {"boxes": boxes_NK4, "labels": pad_sequence(labels, True, NO_BOX)}


def unpad_boxes(boxes_NK4: Tensor, labels_NK: Tensor) -> list[Boxes]:
    """What `pad_boxes` was given, as torchvision's detectors and `BoxTally` take it."""
    there_NK = labels_NK != NO_BOX
    return [
        {"boxes": boxes[there], "labels": labels[there]}
        for boxes, labels, there in zip(boxes_NK4, labels_NK, there_NK, strict=True)
    ]


def grid_boxes(height: int, width: int, step: int) -> Tensor:
    """All boxes whose corners are on a grid with lines `step` pixels apart, [N, 4]."""
    lefts_rights, tops_bottoms = (
        torch.combinations(torch.arange(0, size + 1, step).float()) for size in (width, height)
    )
    both = torch.cartesian_prod(torch.arange(len(tops_bottoms)), torch.arange(len(lefts_rights)))
    (top, bottom), (left, right) = tops_bottoms[both[:, 0]].T, lefts_rights[both[:, 1]].T
    return torch.stack([left, top, right, bottom], dim=1)


def box_ioa(boxes_A4: Tensor, others_B4: Tensor) -> Tensor:
    """Intersection over area: which share of each box is inside each of the others, [A, B]."""
    left_top_AB2 = torch.maximum(boxes_A4[:, None, :2], others_B4[:, :2])
    right_bottom_AB2 = torch.minimum(boxes_A4[:, None, 2:], others_B4[:, 2:])
    common_AB = (right_bottom_AB2 - left_top_AB2).clamp(min=0).prod(-1)
    return common_AB / box_area(boxes_A4)[:, None]


def box_deltas(boxes_N4: Tensor, anchors_N4: Tensor) -> Tensor:
    """How to get from anchors to boxes, as R-CNN regresses it: [N, 4].

    The shift of the center in widths and heights of the anchor, and the logarithms of what width
    and height grow by (appendix C of https://arxiv.org/abs/1311.2524).
    """
    centers_N2, sizes_N2 = _centers_and_sizes(boxes_N4)
    anchor_centers_N2, anchor_sizes_N2 = _centers_and_sizes(anchors_N4)
    shifts_N2 = (centers_N2 - anchor_centers_N2) / anchor_sizes_N2
    return torch.cat([shifts_N2, (sizes_N2 / anchor_sizes_N2).log()], dim=-1)


def moved_boxes(deltas_N4: Tensor, anchors_N4: Tensor) -> Tensor:
    """The boxes that `box_deltas` tells of, [N, 4]."""
    centers_N2, sizes_N2 = _centers_and_sizes(anchors_N4)
    centers_N2 = centers_N2 + deltas_N4[..., :2] * sizes_N2
    halves_N2 = sizes_N2 * deltas_N4[..., 2:].clamp(max=LARGEST_GROWTH).exp() / 2
    return torch.cat([centers_N2 - halves_N2, centers_N2 + halves_N2], dim=-1)


def _centers_and_sizes(boxes_N4: Tensor) -> tuple[Tensor, Tensor]:
    left_top, right_bottom = boxes_N4[..., :2], boxes_N4[..., 2:]
    return (left_top + right_bottom) / 2, right_bottom - left_top


class BoxTally:
    """Predicted and true boxes of images: mean average precision as COCO defines it.

    torchmetrics computes it, by the COCO authors' own code.

    Attributes:
        predicted: Each image's predictions, on the CPU.
        true: Its true boxes.
    """

    def __init__(self) -> None:
        self.predicted: list[Boxes] = []
        self.true: list[Boxes] = []

    def update(self, predicted: Sequence[Boxes], true: Sequence[Boxes]) -> None:
        """Count images: of each its predictions, with scores, and its true boxes."""
        for kept, images in ((self.predicted, predicted), (self.true, true)):
            kept += [{name: tensor.cpu() for name, tensor in image.items()} for image in images]

    def merge(self, other: Self) -> None:
        """Add another tally's images to this one."""
        self.predicted += other.predicted
        self.true += other.true

    def compute(self) -> dict[str, float]:
        """`map`, the mean over IoU thresholds 0.5 to 0.95 and classes, and `map_50`, at 0.5 alone.

        NaN where there is no true box.
        """
        found = self._computed(class_metrics=False)
        return {name: _known(found.get(name)) for name in ("map", "map_50")}

    def details(self) -> dict[str, Any]:
        """`map_per_class`: by number of the class, as text."""
        found = self._computed(class_metrics=True)
        if not found:
            return {"map_per_class": {}}
        classes, values = found["classes"].reshape(-1), found["map_per_class"].reshape(-1)
        pairs = zip(classes.tolist(), values.tolist(), strict=True)
        return {"map_per_class": {str(label): value for label, value in pairs if value >= 0}}

    def _computed(self, *, class_metrics: bool) -> dict[str, Tensor]:
        from torchmetrics.detection import MeanAveragePrecision  # a second that few tasks need

        if not self.true:
            return {}
        metric = MeanAveragePrecision(class_metrics=class_metrics)
        metric.warn_on_many_detections = False  # as COCO does, the best hundred count
        metric.update(self.predicted, self.true)
        found: dict[str, Tensor] = metric.compute()
        return found


def _known(value: Tensor | None) -> float:
    """COCO's code gives -1 for what there is not."""
    return math.nan if value is None or value < 0 else float(value)
