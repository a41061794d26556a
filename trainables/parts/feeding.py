"""Batches on their way to the device that trains on them; the host never waits for it.

Shapes: B rows of a batch.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from math import prod

import torch
from torch import Tensor

from trainables.parts.data import Batch, TensorSplit

AHEAD = 2
"""How many batches are gathered before they are asked for."""
ALIGNMENT = 256
"""Bytes at whose multiples the tensors of a parcel begin, as those of CUDA's own allocations do."""


def batches_on(
    device: torch.device, split: TensorSplit, batch_rows: Sequence[Tensor]
) -> Iterator[Batch]:
    """The batches of a split that have these rows (on the CPU), on a device.

    Where the split lies on the device, the row numbers of all batches go there at once. A split of
    the CPU's memory, or mapped into it, is read ahead for a GPU by a thread.
    """
    if split.device.type == device.type:
        return indexed(split, batch_rows)
    return prefetched(device, split, batch_rows)


def indexed(split: TensorSplit, batch_rows: Sequence[Tensor]) -> Iterator[Batch]:
    """The batches of these rows, where the split lies."""
    if not batch_rows:
        return
    rows_there = torch.cat(list(batch_rows)).to(split.device)
    for rows_B, there_B in zip(batch_rows, rows_there.split([*map(len, batch_rows)]), strict=True):
        yield {name: tensor[there_B] for name, tensor in split.cut(rows_B).items()}


def prefetched(
    device: torch.device, split: TensorSplit, batch_rows: Sequence[Tensor]
) -> Iterator[Batch]:
    """The batches of these rows on a device, gathered by a thread while others are trained on."""
    rows, pinned = iter(batch_rows), device.type == "cuda"
    with ThreadPoolExecutor(1, "reader") as reader:

        def ahead(batches: int) -> list[Future[Parcel]]:
            return [reader.submit(Parcel, split, each, pinned) for each in islice(rows, batches)]

        waiting = deque(ahead(AHEAD))
        while waiting:
            parcel = waiting.popleft().result()
            waiting.extend(ahead(1))
            yield parcel.to(device)


class Parcel:
    """A batch of the CPU in one piece of memory: it travels by one transfer.

    Args:
        split: What the batch is of.
        rows: Which rows.
        pinned: Whether the memory is such that a GPU can fetch it while the host goes on.
    """

    def __init__(self, split: TensorSplit, rows: Tensor, pinned: bool):
        sources = split.cut(rows)
        self._layout: dict[str, tuple[int, torch.Size, torch.dtype]] = {}
        end = 0
        for name, source in sources.items():
            shape = torch.Size((len(rows), *source.shape[1:]))
            self._layout[name] = (end, shape, source.dtype)
            end += -(-prod(shape) * source.itemsize // ALIGNMENT) * ALIGNMENT
        self._bytes = torch.empty(end, dtype=torch.uint8, pin_memory=pinned)
        for name, place in self._opened(self._bytes).items():
            torch.index_select(sources[name], 0, rows, out=place)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return self._opened(self._bytes.to(device, non_blocking=True))

    def _opened(self, parcel: Tensor) -> Batch:
        return {
            name: parcel[start : start + prod(shape) * dtype.itemsize].view(dtype).view(shape)
            for name, (start, shape, dtype) in self._layout.items()
        }
