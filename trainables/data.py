"""Splits held as tensors: seeded, stratified, on the device when they fit, batched by index."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

Batch = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class TensorSplit:
    """Samples as tensors that share their first dimension.

    Attributes:
        tensors: By name; all have N rows.
        lengths_N: For right-padded sequences: each row's real length (on the CPU). A batch is then cut to its longest.
        weights_N: For weighted sampling: how likely each row is drawn (on the CPU); None = each row once per epoch.
    """

    tensors: dict[str, Tensor]
    lengths_N: Tensor | None = None
    weights_N: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def to(self, device: torch.device) -> Self:
        """The same split with its tensors on `device`."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return type(self)(tensors=tensors, lengths_N=self.lengths_N, weights_N=self.weights_N)

    def batches(self, batch_size: int, *, shuffle: torch.Generator | None = None) -> Iterator[Batch]:
        """All rows in batches (the last may be smaller): in order, or shuffled by a generator of the CPU."""
        for rows in self.batch_rows(batch_size, shuffle=shuffle):
            yield self.take(rows)

    def batch_rows(self, batch_size: int, *, shuffle: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """The row numbers of those batches."""
        return self._order(shuffle).split(batch_size)

    def take(self, rows: Tensor) -> Batch:
        """The batch of these rows."""
        longest = None if self.lengths_N is None else int(self.lengths_N[rows].max())
        batch = {}
        for name, tensor in self.tensors.items():
            taken = tensor[rows.to(tensor.device)]
            batch[name] = taken[:, :longest] if longest is not None and taken.ndim > 1 else taken
        return batch

    def _order(self, shuffle: torch.Generator | None) -> Tensor:
        if shuffle is None:
            return torch.arange(len(self))
        if self.weights_N is not None:
            return torch.multinomial(self.weights_N, len(self), replacement=True, generator=shuffle)
        return torch.randperm(len(self), generator=shuffle)


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """A task's data. The test split is a function, so that it is read only by whoever means to open it."""

    train: TensorSplit
    validation: TensorSplit
    test: Callable[[], TensorSplit] = field(repr=False)

    def moved(self, device: torch.device) -> Self:
        """The same splits with training and validation data on `device`."""
        return replace(self, train=self.train.to(device), validation=self.validation.to(device))


def stratified_split(labels: list[int], seed: int) -> tuple[list[int], list[int], list[int]]:
    """Row numbers of train, validation and test (80 / 10 / 10), each with every class's share.

    Raises:
        ValueError: when a class has too few rows to be in all three.
    """
    from sklearn.model_selection import train_test_split  # It takes a second, and a launcher has no need of it.

    rows = list(range(len(labels)))
    try:
        train, held_out = train_test_split(rows, test_size=0.2, random_state=seed, stratify=labels)
        validation, test = train_test_split(
            held_out, test_size=0.5, random_state=seed, stratify=[labels[row] for row in held_out]
        )
    except ValueError as error:
        raise ValueError(f"every class needs rows enough for three splits (80/10/10): {error}") from error
    return sorted(train), sorted(validation), sorted(test)


def balanced_weights(labels_N: Tensor) -> Tensor:
    """Sampling weights under which every class is equally likely."""
    counts = labels_N.bincount().double()
    return (1 / counts)[labels_N]
