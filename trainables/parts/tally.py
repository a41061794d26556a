"""Tallies: summable counts, from which metrics come out right for any batches and workers."""

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
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


class LossTally:
    """A mean loss in nats, as cross-entropies are, and in bits."""

    def __init__(self) -> None:
        self.mean = Mean()

    def update(self, loss: Tensor | float, count: int) -> None:
        """Count a mean over `count` predictions."""
        self.mean.add(loss, count)

    def merge(self, other: Self) -> None:
        """Add another tally's counts to this one."""
        self.mean.merge(other.mean)

    def compute(self) -> dict[str, float]:
        """`loss`, and `bits`, which is loss / log 2: for characters, bits per character."""
        loss = self.mean.compute()
        return {"loss": loss, "bits": loss / math.log(2)}

    def details(self) -> dict[str, Any]:
        """Nothing more."""
        return {}


class TokenTally:
    """The mean cross-entropy of predicted tokens, and how many are right.

    Args:
        ignored: A prediction whose target is this is not counted.
    """

    def __init__(self, ignored: int = -100):
        self.ignored, self.loss, self.hits = ignored, LossTally(), Mean()

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Count logits [..., V] of tokens [...]."""
        counted = targets != self.ignored
        logits_NV, targets_N = logits[counted].float(), targets[counted]
        if len(targets_N):
            self.loss.update(F.cross_entropy(logits_NV, targets_N), len(targets_N))
            self.hits.add((logits_NV.argmax(-1) == targets_N).float().mean(), len(targets_N))

    def merge(self, other: Self) -> None:
        """Add another tally's counts to this one."""
        self.loss.merge(other.loss)
        self.hits.merge(other.hits)

    def compute(self) -> dict[str, float]:
        """`loss`, `bits`, and `accuracy`."""
        return {**self.loss.compute(), "accuracy": self.hits.compute()}

    def details(self) -> dict[str, Any]:
        """Nothing more."""
        return {}


class RegressionTally:
    """Errors of predicted numbers.

    Attributes:
        squares: The squared errors' mean.
        distances: The errors' mean size.
        targets: The targets' count, mean, and sum of squared deviations from it, in double
            precision; plain sums of squares would lose small deviations from a large mean.
    """

    def __init__(self) -> None:
        self.squares, self.distances = Mean(), Mean()
        self.targets = (0, 0.0, 0.0)

    def update(self, predicted: Tensor, targets: Tensor) -> None:
        """Count numbers of any shape, the same for both; of several outputs all count alike.

        Raises:
            ValueError: when the shapes differ: [N] and [N, 1] would give N x N errors.
        """
        if predicted.shape != targets.shape:
            got = f"{list(predicted.shape)} and {list(targets.shape)}"
            raise ValueError(f"predictions and targets must have one shape, got {got}")
        if not targets.numel():
            return
        values = targets.detach().cpu().double()
        errors = predicted.detach().cpu().double() - values
        self.squares.add(errors.square().mean(), values.numel())
        self.distances.add(errors.abs().mean(), values.numel())
        mean = values.mean()
        self._add(values.numel(), float(mean), float((values - mean).square().sum()))

    def _add(self, count: int, mean: float, deviation: float) -> None:
        """Chan, Golub and LeVeque's merge of two sums of squared deviations.

        http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf
        """
        own_count, own_mean, own_deviation = self.targets
        total = own_count + count
        if total:
            apart = mean - own_mean
            self.targets = (
                total,
                own_mean + apart * count / total,
                own_deviation + deviation + apart**2 * own_count * count / total,
            )

    def merge(self, other: Self) -> None:
        """Add another tally's counts to this one."""
        self.squares.merge(other.squares)
        self.distances.merge(other.distances)
        self._add(*other.targets)

    def compute(self) -> dict[str, float]:
        """`mse`, `mae`, and `r2`: the share of the targets' variance that is predicted.

        `r2` is NaN where the targets don't vary.
        """
        count, _, deviation = self.targets
        mse = self.squares.compute()
        r2 = 1 - mse * count / deviation if deviation else math.nan
        return {"mse": mse, "mae": self.distances.compute(), "r2": r2}

    def details(self) -> dict[str, Any]:
        """Nothing more."""
        return {}


class ExactMatchTally:
    """How many sequences, and how many of their tokens, are just as they should be.

    Args:
        pad: Where the target is this, nothing is compared.
    """

    def __init__(self, pad: int = 0):
        self.pad, self.rows, self.tokens = pad, Mean(), Mean()

    def update(self, predicted_BT: Tensor, targets_BT: Tensor) -> None:
        """Count rows of tokens; where a prediction is shorter than its target, the rest is wrong.

        Targets should have their end token: else a longer prediction is as good.
        """
        length = targets_BT.shape[1]
        missing = max(0, length - predicted_BT.shape[1])
        predicted_BT = F.pad(predicted_BT, (0, missing), value=self.pad)[:, :length]
        counted_BT = targets_BT != self.pad
        wrong_BT = counted_BT & (predicted_BT != targets_BT)
        if counted := int(counted_BT.sum()):
            self.tokens.add(1 - int(wrong_BT.sum()) / counted, counted)
        if len(targets_BT):
            self.rows.add(1 - int(wrong_BT.any(1).sum()) / len(targets_BT), len(targets_BT))

    def merge(self, other: Self) -> None:
        """Add another tally's counts to this one."""
        self.rows.merge(other.rows)
        self.tokens.merge(other.tokens)

    def compute(self) -> dict[str, float]:
        """`exact_match` of whole sequences, and `token_accuracy`."""
        return {"exact_match": self.rows.compute(), "token_accuracy": self.tokens.compute()}

    def details(self) -> dict[str, Any]:
        """Nothing more."""
        return {}


def pair_counts(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """How many labels of each class (rows) were predicted as each (columns), [C, C].

    Counted where they are: unlike `bincount`, which has to know its size, it waits for no GPU.
    """
    pairs_N = (labels.long() * classes + predicted).flatten()
    counts = torch.zeros(classes**2, dtype=torch.long, device=pairs_N.device)
    return counts.scatter_add_(0, pairs_N, torch.ones_like(pairs_N)).reshape(classes, classes)


class ClassificationTally:
    """A confusion matrix over `classes` classes, and the accuracies that follow from it.

    Attributes:
        confusion_CC: Counts, rows = true class, columns = predicted class; on the device, until
            metrics are asked for.
    """

    def __init__(self, classes: int):
        self.confusion_CC = torch.zeros(classes, classes, dtype=torch.long)

    def update(self, logits_BC: Tensor, labels_B: Tensor) -> None:
        """Count one batch."""
        counts_CC = pair_counts(labels_B, logits_BC.argmax(-1), len(self.confusion_CC))
        self.confusion_CC = self.confusion_CC.to(counts_CC.device) + counts_CC

    def merge(self, other: Self) -> None:
        """Add another tally's counts to this one."""
        self.confusion_CC = self.confusion_CC.cpu() + other.confusion_CC.cpu()

    def __getstate__(self) -> dict[str, Any]:
        """For a journey to another process: nothing stays on a device."""
        return {**vars(self), "confusion_CC": self.confusion_CC.cpu()}

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
        """`per_class_accuracy` (None for a class that does not occur) and `confusion`, as lists."""
        return {"per_class_accuracy": self._per_class(), "confusion": self.confusion_CC.tolist()}

    def _per_class(self) -> list[float | None]:
        counts = self.confusion_CC.sum(1).tolist()
        hits = self.confusion_CC.diagonal().tolist()
        return [hit / count if count else None for hit, count in zip(hits, counts, strict=True)]


class RankingTally(ClassificationTally):
    """A confusion matrix and every row's scores: adds average precision and F1 to the accuracies.

    Attributes:
        positive: The class that both are of; None = their macro mean over the classes that occur,
            each against the rest.
        scores: Each batch's class probabilities [B, C].
        labels: Each batch's true classes [B].
    """

    def __init__(self, classes: int, positive: int | None = None):
        super().__init__(classes)
        self.positive = positive
        self.scores: list[Tensor] = []
        self.labels: list[Tensor] = []

    def update(self, logits_BC: Tensor, labels_B: Tensor) -> None:
        """Count one batch."""
        super().update(logits_BC, labels_B)
        # In 32 bits, all that is certain would be tied.
        self.scores.append(logits_BC.detach().double().softmax(-1))
        self.labels.append(labels_B)

    def merge(self, other: Self) -> None:
        """Add another tally's rows to this one."""
        super().merge(other)
        self.scores = _on_cpu([*self.scores, *other.scores])
        self.labels = _on_cpu([*self.labels, *other.labels])

    def __getstate__(self) -> dict[str, Any]:
        """For a journey to another process: nothing stays on a device."""
        rows = {"scores": _on_cpu(self.scores), "labels": _on_cpu(self.labels)}
        return {**super().__getstate__(), **rows}

    def compute(self) -> dict[str, float]:
        """`average_precision`, `f1`, and the accuracies.

        Average precision is the area under precision by recall, as a step function. NaN where the
        positive class does not occur, and for scores that are not finite.
        """
        occurring = self.confusion_CC.sum(1).nonzero()[:, 0].tolist()
        judged = [label for label in occurring if self.positive in (None, label)]
        count = len(judged) or float("nan")
        return {
            "average_precision": sum(self._average_precision(label) for label in judged) / count,
            "f1": sum(self._f1(label) for label in judged) / count,
            **super().compute(),
        }

    def _average_precision(self, label: int) -> float:
        from sklearn.metrics import average_precision_score

        scores_NC, labels_N = (torch.cat(_on_cpu(each)) for each in (self.scores, self.labels))
        scores_N = scores_NC[:, label]
        if not scores_N.isfinite().all():
            return float("nan")
        return float(average_precision_score(labels_N == label, scores_N))

    def _f1(self, label: int) -> float:
        hits = int(self.confusion_CC[label, label])
        return 2 * hits / int(self.confusion_CC[label].sum() + self.confusion_CC[:, label].sum())


def _on_cpu(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.cpu() for tensor in tensors]
