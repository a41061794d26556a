"""A picture of an image classifier: images with what they were taken for.

Shapes: B batch, C classes.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from trainables.parts.data import Batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 8
CELL_INCHES = 1.6


def image_grid(batch: Batch, probabilities_BC: Tensor, classes: Sequence[str]) -> "Figure":
    """Each image under its true class, what it was taken for and how surely.

    Wrong ones in red, with a frame.

    Args:
        batch: With `images` [B, 3, H, W] (bytes) and `labels` [B].
        probabilities_BC: Of each class.
        classes: Their names.
    """
    from matplotlib.figure import Figure

    rows = math.ceil(len(batch["labels"]) / COLUMNS)
    figure = Figure(
        figsize=(COLUMNS * CELL_INCHES, rows * CELL_INCHES * 1.25), layout="constrained"
    )
    for place, (image, label, probabilities) in enumerate(
        zip(
            batch["images"].cpu(), batch["labels"].tolist(), probabilities_BC.tolist(), strict=True
        ),
        start=1,
    ):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.imshow(image.permute(1, 2, 0).numpy())
        score = max(probabilities)
        _caption(axes, classes[label], classes[probabilities.index(score)], score)
    return figure


def _caption(axes: "Axes", true: str, predicted: str, score: float) -> None:
    right = true == predicted
    axes.set_title(
        f"{true}\n{'✓' if right else '✗ ' + predicted} {score:.2f}",
        fontsize=8,
        color="black" if right else "firebrick",
        parse_math=False,
    )
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(visible=not right, color="firebrick", linewidth=3)
