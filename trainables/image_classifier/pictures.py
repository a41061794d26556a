"""Pictures of an image classifier: images with what they were taken for, and a confusion matrix.

Shapes: B batch, C classes.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from trainables.data import Batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 8
MOST_NUMBERED_CLASSES = 20
CELL_INCHES = 1.6


def image_grid(batch: Batch, probabilities_BC: Tensor, classes: Sequence[str]) -> "Figure":
    """Each image under its true class, what it was taken for and how surely; wrong ones in red, with a frame.

    Args:
        batch: With `images` [B, 3, H, W] (bytes) and `labels` [B].
        probabilities_BC: Of each class.
        classes: Their names.
    """
    from matplotlib.figure import Figure

    rows = math.ceil(len(batch["labels"]) / COLUMNS)
    figure = Figure(figsize=(COLUMNS * CELL_INCHES, rows * CELL_INCHES * 1.25), layout="constrained")
    for place, (image, label, probabilities) in enumerate(
        zip(batch["images"].cpu(), batch["labels"].tolist(), probabilities_BC.tolist(), strict=True), start=1
    ):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.imshow(image.permute(1, 2, 0).numpy())
        score = max(probabilities)
        _caption(axes, classes[label], classes[probabilities.index(score)], score)
    return figure


def _caption(axes: "Axes", true: str, predicted: str, score: float) -> None:
    right = true == predicted
    axes.set_title(
        f"{true}\n{'✓' if right else '✗ ' + predicted} {score:.2f}", fontsize=8, color="black" if right else "firebrick"
    )
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(visible=not right, color="firebrick", linewidth=3)


def confusion_picture(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> "Figure":
    """Counts by true class (rows) and predicted class (columns); the shade is the share of the true class."""
    from matplotlib.figure import Figure

    size = len(classes)
    figure = Figure(figsize=(2.5 + 0.45 * min(size, 40), 2 + 0.45 * min(size, 40)), layout="constrained")
    axes = figure.add_subplot()
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(range(size), classes, rotation=90)
    axes.set_yticks(range(size), classes)
    if size <= MOST_NUMBERED_CLASSES:
        for i, row in enumerate(confusion):
            for j, count in enumerate(row):
                axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i][j] > 0.5 else "black")
    return figure
