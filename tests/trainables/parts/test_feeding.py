"""Proves that batches arrive whole, in order and ahead of time: pytest tests/trainables.

Shapes: N rows, T tokens, C channels, H height, W width.
"""

import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from trainables.parts.data import Batch, TensorSplit
from trainables.parts.feeding import AHEAD, Parcel, batches_on, prefetched

CPU = torch.device("cpu")


def split_of(rows: int = 23) -> TensorSplit:
    """Tensors of several types, one of them padded."""
    lengths_N = torch.arange(rows) % 5 + 1
    tensors = {
        "images_NCHW": torch.randint(256, (rows, 3, 5, 7), dtype=torch.uint8),
        "tokens_NT": torch.arange(rows * 5).reshape(rows, 5),
        "halves_N": torch.randn(rows).bfloat16(),
        "flags_N": torch.arange(rows) % 2 == 0,
        "doubles_N": torch.randn(rows, dtype=torch.float64),
    }
    return TensorSplit(tensors=tensors, lengths_N=lengths_N)


def shuffled(split: TensorSplit, batch_size: int = 4) -> tuple[Tensor, ...]:
    return split.batch_rows(batch_size, shuffle=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("feed", [batches_on, prefetched])
def test_each_batch_has_its_rows_cut_to_its_longest(feed: Callable[..., Iterator[Batch]]) -> None:
    split = split_of()
    batch_rows = shuffled(split)
    batches = list(feed(CPU, split, batch_rows))
    assert len(batches) == len(batch_rows) == 6
    for rows, batch in zip(batch_rows, batches, strict=True):
        assert batch["tokens_NT"].shape[1] < 5 or 4 in rows % 5
        for name, tensor in split.tensors.items():
            expected = tensor[rows]
            if name == "tokens_NT":
                expected = expected[:, : batch[name].shape[1]]
            assert batch[name].dtype == tensor.dtype
            assert torch.equal(batch[name], expected)


def test_without_rows_there_is_no_batch() -> None:
    assert list(batches_on(CPU, split_of(), ())) == list(prefetched(CPU, split_of(), ())) == []


def test_a_parcel_is_one_piece_of_memory() -> None:
    batch = Parcel(split_of(), torch.tensor([3, 1]), pinned=False).to(CPU)
    assert len({tensor.untyped_storage().data_ptr() for tensor in batch.values()}) == 1
    assert all(tensor.data_ptr() % tensor.itemsize == 0 for tensor in batch.values())


class Watched(TensorSplit):
    """Notes which batches were read, and by whom."""

    read: list[str] = []  # noqa: RUF012  a frozen dataclass has no other place

    def cut(self, rows: Tensor) -> dict[str, Tensor]:
        self.read.append(threading.current_thread().name)
        if 22 in rows:
            raise OSError("the disk is gone")
        return super().cut(rows)


def test_a_thread_reads_ahead_but_not_far_and_its_errors_are_told() -> None:
    split = Watched(tensors=split_of().tensors)
    Watched.read.clear()
    batches = prefetched(CPU, split, split.batch_rows(2))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert 1 < len(Watched.read) <= 1 + AHEAD
    assert all(name.startswith("reader") for name in Watched.read)
    with pytest.raises(OSError, match="the disk is gone"):
        list(prefetched(CPU, split, split.batch_rows(2)))


def test_a_split_elsewhere_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr("trainables.parts.feeding.prefetched", lambda *args: told.append(args[0]))
    batches_on(torch.device("cuda"), split_of(), ())
    assert told == [torch.device("cuda")]
