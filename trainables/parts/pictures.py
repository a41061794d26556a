"""Pictures that suit several tasks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERED_CLASSES = 20


def confusion_picture(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> "Figure":
    """Counts by true class (rows) and predicted class (columns).

    The shade is the share of the true class.
    """
    from matplotlib.figure import Figure

    size = len(classes)
    figure = Figure(
        figsize=(2.5 + 0.45 * min(size, 40), 2 + 0.45 * min(size, 40)), layout="constrained"
    )
    axes = figure.add_subplot()
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(range(size), classes, rotation=90, parse_math=False)
    axes.set_yticks(range(size), classes, parse_math=False)
    if size <= MOST_NUMBERED_CLASSES:
        for i, row in enumerate(confusion):
            for j, count in enumerate(row):
                axes.text(
                    j,
                    i,
                    str(count),
                    ha="center",
                    va="center",
                    color="white" if shares[i][j] > 0.5 else "black",
                )
    return figure
