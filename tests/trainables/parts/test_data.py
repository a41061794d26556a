"""Proves that splits are stratified and batches hold each row once, cut to the longest.

pytest tests/trainables
"""

import hashlib
import json
from collections import Counter

import pytest
import torch
from sklearn.datasets import load_digits

from trainables.parts.data import (
    Splits,
    TensorSplit,
    balanced_weights,
    split_rows,
    split_tensors,
    stratified_split,
)

LABELS = [i % 7 % 3 for i in range(300)]


def split_of(rows: int = 10, *, weights_N: torch.Tensor | None = None) -> TensorSplit:
    """Row i is i + 1 times the number i, then zeros."""
    tokens = torch.zeros(rows, rows, dtype=torch.long)
    for i in range(rows):
        tokens[i, : i + 1] = i
    return TensorSplit(
        tensors={"tokens": tokens, "row": torch.arange(rows)},
        lengths_N=torch.arange(1, rows + 1),
        weights_N=weights_N,
    )


def order_of(split: TensorSplit, batch_size: int, seed: int | None) -> list[int]:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return [
        row
        for batch in split.batches(batch_size, shuffle=generator)
        for row in batch["row"].tolist()
    ]


def test_the_three_splits_are_disjoint_complete_and_stratified() -> None:
    splits = stratified_split(LABELS, 0)
    counts = {name: len(rows) for name, rows in splits.items()}
    assert counts == {"train": 240, "validation": 30, "test": 30}
    assert sorted(row for rows in splits.values() for row in rows) == list(range(300))
    share = {label: count / 300 for label, count in Counter(LABELS).items()}
    for rows in splits.values():
        for label, count in Counter(LABELS[row] for row in rows).items():
            assert count / len(rows) == pytest.approx(share[label], abs=1.01 / len(rows))


def test_the_seed_decides_the_split() -> None:
    assert stratified_split(LABELS, 1) == stratified_split(LABELS, 1) != stratified_split(LABELS, 2)


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        ([0] * 100 + [1], "1 of class 1"),
        ([5, 5, 0, 0, 0, 7], "2 of class 5, 1 of class 7"),
        ([], "no sample at all"),
    ],
)
def test_each_class_too_small_for_three_splits_is_named(labels: list[int], got: str) -> None:
    rule = "every class needs at least 3 samples, one for each of train, validation and test"
    with pytest.raises(ValueError, match=f"^{rule}, got {got}$"):
        stratified_split(labels, 0)


def test_a_class_that_is_too_small_is_told_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"got 2 of dog$"):
        stratified_split([0] * 9 + [1] * 2, 0, ("cat", "dog"))


ALONE_SMALL = [(100, n) for n in range(3, 40)]
ALL_SMALL = [(n, n, n) for n in range(3, 15)]


@pytest.mark.parametrize("counts", [*ALONE_SMALL, *ALL_SMALL, (3,) * 50])
@pytest.mark.parametrize("seed", [0, 1])
def test_from_three_samples_on_every_class_is_everywhere(
    counts: tuple[int, ...], seed: int
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    splits = stratified_split(labels, seed)
    assert sorted(row for rows in splits.values() for row in rows) == list(range(len(labels)))
    for rows in splits.values():
        assert {labels[row] for row in rows} == set(range(len(counts)))
    assert splits == stratified_split(labels, seed)


def test_where_shares_leave_a_class_out_each_class_is_cut_by_itself() -> None:
    labels = [0] * 100 + [1] * 4
    splits = stratified_split(labels, 0)
    counts = [Counter(labels[row] for row in rows) for rows in splits.values()]
    assert counts == [{0: 80, 1: 2}, {0: 10, 1: 1}, {0: 10, 1: 1}]


@pytest.mark.parametrize(
    ("seed", "digest"),
    [
        (0, "c595fff83911606598b325a5d7277012b8571f751161a434f8f45be4238f748c"),
        (1, "62b3e055d317f40bc82fc8b5e290ef6446061519e70f89b8304e949b47720713"),
        (7, "abdf8eb2ffbddd2a867bf7fbf9643ca858afd5603a40c1b35930ffd1d544ce2a"),
    ],
)
def test_the_digits_are_split_as_their_documented_results_have_it(seed: int, digest: str) -> None:
    splits = stratified_split(load_digits().target.tolist(), seed)
    assert hashlib.sha256(json.dumps(list(splits.values())).encode()).hexdigest() == digest


@pytest.mark.parametrize("stratify_by", [None, "labels"])
def test_tensors_are_split_alike_by_the_rows_that_the_seed_gives(stratify_by: str | None) -> None:
    tensors = {"labels": torch.tensor(LABELS), "row": torch.arange(300)}
    splits = split_tensors(tensors, 3, stratify_by=stratify_by)
    rows = stratified_split(LABELS, 3) if stratify_by else split_rows(300, 3)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test()}
    for name, part in parts.items():
        assert part.tensors["row"].tolist() == rows[name]
        assert part.tensors["labels"].tolist() == [LABELS[row] for row in rows[name]]


def test_fewer_rows_than_splits_are_refused() -> None:
    assert sorted(map(tuple, split_rows(3, 0).values())) == [(0,), (1,), (2,)]
    with pytest.raises(ValueError, match="three splits need at least 3 samples, got 2"):
        split_tensors({"x": torch.zeros(2)}, 0)


def test_too_few_rows_that_are_left_over_join_the_batch_before_them() -> None:
    def sizes(rows: int, batch_size: int, least: int = 2) -> list[int]:
        return [len(batch) for batch in split_of(rows).batch_rows(batch_size, least=least)]

    assert (sizes(10, 3), sizes(10, 3, least=1)) == ([3, 3, 4], [3, 3, 3, 1])
    assert sizes(11, 3) == [3, 3, 3, 2]
    assert sizes(4, 3) == [4]
    assert (sizes(1, 3), sizes(3, 1)) == ([1], [1, 1, 1])


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_batches_hold_every_row_once(batch_size: int) -> None:
    assert order_of(split_of(), batch_size, None) == list(range(10))
    shuffled = order_of(split_of(), batch_size, 0)
    assert sorted(shuffled) == list(range(10))
    assert shuffled == order_of(split_of(), batch_size, 0) != order_of(split_of(), batch_size, 1)
    assert shuffled == order_of(split_of(), 1, 0), "the batch size doesn't change the order"


def test_batches_are_cut_to_their_longest_row() -> None:
    split = split_of()
    for batch in split.batches(3, shuffle=torch.Generator().manual_seed(0)):
        assert batch["tokens"].shape == (len(batch["row"]), int(batch["row"].max()) + 1)
        assert torch.equal(
            batch["tokens"], split.tensors["tokens"][batch["row"], : batch["tokens"].shape[1]]
        )


def test_without_lengths_nothing_is_cut() -> None:
    split = TensorSplit(tensors={"images": torch.zeros(5, 3, 4, 4)})
    assert [tuple(batch["images"].shape) for batch in split.batches(3)] == [
        (3, 3, 4, 4),
        (2, 3, 4, 4),
    ]


def test_weighted_sampling_draws_the_classes_equally() -> None:
    labels_N = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    split = TensorSplit(tensors={"labels": labels_N}, weights_N=balanced_weights(labels_N))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat(
        [b["labels"] for _ in range(10) for b in split.batches(64, shuffle=generator)]
    )
    assert len(drawn) == 10_000
    for share in (drawn.bincount() / len(drawn)).tolist():
        assert share == pytest.approx(1 / 3, abs=0.02)  # 4 standard deviations
    in_order = torch.cat([batch["labels"] for batch in split.batches(64)])
    assert torch.equal(in_order, labels_N), "without a generator there is no sampling"


def test_moving_splits_leaves_the_test_split_unopened() -> None:
    def refuse() -> TensorSplit:
        raise AssertionError("the test split was opened")

    splits = Splits(train=split_of(), validation=split_of(4), test=refuse)
    moved = splits.moved(torch.device("meta"))
    assert moved.train.tensors["tokens"].device.type == "meta"
    assert moved.train.lengths_N is not None
    assert moved.train.lengths_N.device.type == "cpu"
    assert "test" not in repr(splits)
