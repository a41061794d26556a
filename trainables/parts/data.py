"""Splits held as tensors: seeded, stratified, on the device when they fit, batched by index."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from trainables.seeding import derive_seed

SPLIT_NAMES = ("train", "validation", "test")

Batch = dict[str, Tensor]
Rows = dict[str, list[int]]
"""The row numbers of each split, ascending."""


@dataclass(frozen=True, kw_only=True)
class TensorSplit:
    """Samples as tensors that share their first dimension.

    Attributes:
        tensors: By name; all have N rows.
        lengths_N: For right-padded sequences: each row's real length (on the CPU). A batch is then
            cut to its longest.
        weights_N: For weighted sampling: how likely each row is drawn (on the CPU); None = each row
            once per epoch.
    """

    tensors: dict[str, Tensor]
    lengths_N: Tensor | None = None
    weights_N: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return next(iter(self.tensors.values())).device

    @property
    def nbytes(self) -> int:
        """How much memory its tensors fill."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def to(self, device: torch.device) -> Self:
        """The same split with its tensors on `device`."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return type(self)(tensors=tensors, lengths_N=self.lengths_N, weights_N=self.weights_N)

    def batches(
        self, batch_size: int, *, shuffle: torch.Generator | None = None
    ) -> Iterator[Batch]:
        """All rows in batches (the last may be smaller): in order, or shuffled.

        By a generator of the CPU, wherever the tensors are.
        """
        for rows in self.batch_rows(batch_size, shuffle=shuffle):
            yield self.take(rows)

    def batch_rows(
        self, batch_size: int, *, shuffle: torch.Generator | None = None, least: int = 1
    ) -> tuple[Tensor, ...]:
        """The row numbers of those batches.

        Fewer rows than `least` that are left over at the end join the batch before them.
        """
        batches = self._order(shuffle).split(batch_size)
        if len(batches) > 1 and len(batches[-1]) < min(least, batch_size):
            return *batches[:-2], torch.cat(batches[-2:])
        return batches

    def take(self, rows: Tensor) -> Batch:
        """The batch of these rows."""
        return {name: tensor[rows.to(tensor.device)] for name, tensor in self.cut(rows).items()}

    def cut(self, rows: Tensor) -> Batch:
        """All tensors, as wide as a batch of these rows is."""
        if self.lengths_N is None:
            return self.tensors
        longest = int(self.lengths_N.numpy()[rows.numpy()].max())
        return {
            name: tensor[:, :longest] if tensor.ndim > 1 else tensor
            for name, tensor in self.tensors.items()
        }

    def _order(self, shuffle: torch.Generator | None) -> Tensor:
        if shuffle is None:
            return torch.arange(len(self))
        if self.weights_N is not None:
            return torch.multinomial(self.weights_N, len(self), replacement=True, generator=shuffle)
        return torch.randperm(len(self), generator=shuffle)


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """A task's data.

    Attributes:
        train: What models learn from.
        validation: What they are compared by.
        test: A function, so that this split is read only by whoever means to open it.
        warning: What the user should know of the data: a trial's first report carries it.
    """

    train: TensorSplit
    validation: TensorSplit
    test: Callable[[], TensorSplit] = field(repr=False)
    warning: str | None = None

    def moved(self, device: torch.device) -> Self:
        """The same splits with training and validation data on `device`."""
        return replace(self, train=self.train.to(device), validation=self.validation.to(device))


def stratified_split(labels: Sequence[int], seed: int, names: Sequence[str] | None = None) -> Rows:
    """Row numbers of train, validation and test (80 / 10 / 10), each with its share of every class.

    Every class is in all three. Where shares of the whole would leave one out of a split, as
    happens to small ones, each class is cut 80 / 10 / 10 by itself.

    Args:
        labels: Each row's class.
        seed: Decides which rows go where.
        names: Of the classes by number, for the message; default: the numbers.

    Raises:
        ValueError: names each class that has fewer than three rows.
    """
    counts = Counter(labels)
    small = [label for label in sorted(counts) if counts[label] < len(SPLIT_NAMES)]
    if small or not counts:
        names = names or [f"class {label}" for label in range(max(counts, default=0) + 1)]
        got = (f"{counts[label]} of {names[label]}" for label in small)
        raise ValueError(
            "every class needs at least 3 samples, one for each of train, validation and test, "
            f"got {', '.join(got) or 'no sample at all'}"
        )
    labels_N = np.array(labels)
    splits = _split_by_shares(labels_N, seed)
    if splits and all(len(np.unique(labels_N[rows])) == len(counts) for rows in splits.values()):
        return splits
    return _split_each_class(labels_N, seed)


def _split_by_shares(labels_N: np.ndarray, seed: int) -> Rows | None:
    """Shares of the whole as scikit-learn cuts them; None where it finds too few rows."""
    from sklearn.model_selection import train_test_split  # a second that a launcher has no need of

    rows = np.arange(len(labels_N))
    try:
        train, rest = train_test_split(rows, test_size=0.2, random_state=seed, stratify=labels_N)
        labels = labels_N[rest]
        validation, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=labels)
    except ValueError:
        return None
    return _in_order(train, validation, test)


def _split_each_class(labels_N: np.ndarray, seed: int) -> Rows:
    parts: dict[str, list[int]] = {name: [] for name in SPLIT_NAMES}
    for label in np.unique(labels_N):
        rows = np.flatnonzero(labels_N == label)
        for name, places in split_rows(len(rows), derive_seed(seed, "class", int(label))).items():
            parts[name] += rows[places].tolist()
    return {name: sorted(rows) for name, rows in parts.items()}


def split_rows(count: int, seed: int) -> Rows:
    """Row numbers of train, validation and test, about 80 / 10 / 10, at random.

    Raises:
        ValueError: when there are fewer than three rows.
    """
    if count < len(SPLIT_NAMES):
        raise ValueError(f"three splits need at least 3 samples, got {count}")
    rows = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    tenth = max(1, round(count / 10))
    validation, test, train = rows.split([tenth, tenth, count - 2 * tenth])
    return _in_order(train, validation, test)


def _in_order(*parts: np.ndarray | Tensor) -> Rows:
    return {name: sorted(rows.tolist()) for name, rows in zip(SPLIT_NAMES, parts, strict=True)}


def split_tensors(
    tensors: dict[str, Tensor], seed: int, *, stratify_by: str | None = None
) -> Splits:
    """Tensors of N rows each, cut about 80 / 10 / 10 at random, all at the same rows.

    Args:
        tensors: By name; all have N rows.
        seed: Decides which rows go where.
        stratify_by: The name of one that holds classes, of which each split gets its share.

    Raises:
        ValueError: when there are too few rows, or of a class.
    """
    if stratify_by is not None:
        rows = stratified_split(tensors[stratify_by].tolist(), seed)
    else:
        rows = split_rows(len(next(iter(tensors.values()))), seed)

    def part(name: str) -> TensorSplit:
        return TensorSplit(tensors={key: tensor[rows[name]] for key, tensor in tensors.items()})

    return Splits(train=part("train"), validation=part("validation"), test=lambda: part("test"))


def balanced_weights(labels_N: Tensor) -> Tensor:
    """Sampling weights under which every class is equally likely."""
    counts = labels_N.bincount().double()
    return (1 / counts)[labels_N]
