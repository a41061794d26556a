"""Tallies: summable counts from which metrics are computed, so ragged batches and several workers come out right."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass
class Mean:
    """A weighted mean.

    Attributes:
        total: Sum of value x weight; may stay on the device, so that adding to it never waits.
        weight: Sum of weights.
    """

    total: Tensor | float = 0.0
    weight: float = 0.0

    def add(self, value: Tensor | float, weight: float = 1.0) -> None:
        """Count `value` with `weight`."""
        self.total = self.total + (value.detach() if isinstance(value, Tensor) else value) * weight
        self.weight += weight

    def merge(self, other: Self) -> None:
        """Add another mean's counts to this one."""
        self.total = self.total + other.total
        self.weight += other.weight

    def __getstate__(self) -> dict[str, Any]:
        """For a journey to another process: nothing stays on a device."""
        return {"total": float(self.total), "weight": self.weight}

    def compute(self) -> float:
        """The mean; NaN when nothing was counted."""
        return float(self.total) / self.weight if self.weight else float("nan")


class ClassificationTally:
    """A confusion matrix over `classes` classes, and the accuracies that follow from it.

    Attributes:
        confusion_CC: Counts, rows = true class, columns = predicted class.
    """

    def __init__(self, classes: int):
        self.confusion_CC = torch.zeros(classes, classes, dtype=torch.long)

    def update(self, logits_BC: Tensor, labels_B: Tensor) -> None:
        """Count one batch."""
        classes = len(self.confusion_CC)
        pairs_B = labels_B * classes + logits_BC.argmax(-1)
        self.confusion_CC += pairs_B.bincount(minlength=classes**2).reshape(classes, classes).cpu()

    def merge(self, other: Self) -> None:
        """Add another tally's counts to this one."""
        self.confusion_CC += other.confusion_CC

    def compute(self) -> dict[str, float]:
        """`accuracy` and `balanced_accuracy` (mean of the accuracies of the classes that occur)."""
        per_class = [value for value in self._per_class() if value is not None]
        total = int(self.confusion_CC.sum())
        if not total:
            return {"accuracy": float("nan"), "balanced_accuracy": float("nan")}
        return {
            "accuracy": int(self.confusion_CC.trace()) / total,
            "balanced_accuracy": sum(per_class) / len(per_class),
        }

    def details(self) -> dict[str, Any]:
        """`per_class_accuracy` (None for a class that does not occur) and `confusion` as nested lists."""
        return {"per_class_accuracy": self._per_class(), "confusion": self.confusion_CC.tolist()}

    def _per_class(self) -> list[float | None]:
        counts = self.confusion_CC.sum(1).tolist()
        hits = self.confusion_CC.diagonal().tolist()
        return [hit / count if count else None for hit, count in zip(hits, counts, strict=True)]
