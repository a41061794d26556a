"""Proves that no group is torn apart, and what is taken for one.

pytest tests/trainables/parts/test_grouping.py
"""

import io
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from trainables.config import TaskError
from trainables.parts.data import Rows, stratified_split
from trainables.parts.grouping import (
    difference_hash,
    grouped_split,
    joined,
    named_groups,
    near_duplicates,
    same,
    shared_out,
    torn_apart,
)


def groups_of(rows: Rows, groups: list[int]) -> list[set[int]]:
    return [{groups[row] for row in part} for part in rows.values()]


def test_each_group_is_in_one_split_and_each_class_in_all_with_its_share() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 120, 600).tolist()
    labels = [group % 3 if group % 3 else int(rng.integers(0, 3)) for group in groups]
    rows = grouped_split(labels, groups, 0)
    train, validation, test = groups_of(rows, groups)
    assert not train & validation and not train & test and not validation & test
    assert sorted(chain(*rows.values())) == list(range(600))
    for part, share in {"train": 0.8, "validation": 0.1, "test": 0.1}.items():
        counts = np.bincount([labels[row] for row in rows[part]], minlength=3)
        assert counts == pytest.approx(share * np.bincount(labels), rel=0.3)
    assert grouped_split(labels, groups, 1) != rows


def test_three_groups_of_a_class_are_enough_and_two_are_told() -> None:
    labels, groups = [0] * 40 + [1] * 6, [*range(40), 40, 40, 41, 41, 42, 42]
    parts = grouped_split(labels, groups, 0).values()
    assert [len({groups[row] for row in part} & {40, 41, 42}) for part in parts] == [1, 1, 1]
    told = "samples in at least 3 groups, .* got 2 of dog, 40 of cat"
    with pytest.raises(ValueError, match=told):
        grouped_split(labels, [*groups[:-2], 41, 41], 0, ("cat", "dog"))


def test_without_groups_it_is_a_stratified_split() -> None:
    labels = [0, 1] * 30
    assert grouped_split(labels, None, 3) == stratified_split(labels, 3)


def test_rows_that_a_chain_connects_are_one_group() -> None:
    groups = joined(7, same(["a", None, "a", "b", None, "b", None]), [(2, 3), (6, 1)])
    assert [groups[row] for row in (0, 2, 3, 5)] == [groups[0]] * 4
    assert groups[1] == groups[6]
    assert len(set(groups)) == 3


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [(r"^(\w+)_", ["s1", "s1", "s2", None]), (r"s\d", ["s1", "s1", "s2", None])],
)
def test_names_tell_groups(pattern: str, groups: list[str | None]) -> None:
    assert named_groups(["s1_a.png", "s1_b.png", "s2_a.png", "x.png"], pattern) == groups


def test_a_pattern_that_is_in_no_name_is_told() -> None:
    with pytest.raises(TaskError, match=r"group_pattern 'scene' is in none .* such as 'a\.png'"):
        named_groups(["a.png"], "scene")


def picture(seed: int) -> Image.Image:
    """Smooth, like a photograph."""
    coarse_HW3 = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse_HW3).resize((80, 60), Image.Resampling.BICUBIC)


def saved_again(image: Image.Image) -> Image.Image:
    """By a JPEG file of low quality."""
    file = io.BytesIO()
    image.save(file, "jpeg", quality=30)
    return Image.open(file)


def test_copies_that_were_saved_otherwise_are_near_duplicates_and_others_are_not() -> None:
    originals = [picture(seed) for seed in range(30)]
    copies = [
        originals[0].resize((200, 120)),
        originals[1].point(lambda value: value * 0.8 + 10),
        saved_again(originals[2]),
        originals[3],
    ]
    hashes = np.array([difference_hash(image) for image in [*originals, *copies]])
    assert hashes.shape == (34, 8)
    groups = joined(34, near_duplicates(hashes))
    assert [groups[30 + i] == groups[i] for i in range(4)] == [True] * 4
    assert len(set(groups)) == 30


def test_hashes_are_near_up_to_five_bits() -> None:
    bits = np.zeros((3, 64), np.uint8)
    bits[1, :5], bits[2, 58:] = 1, 1
    assert near_duplicates(np.packbits(bits, axis=1)) == [(0, 1)]


def test_what_has_files_of_its_own_leaves_its_part_to_training() -> None:
    cut = {"train": [0, 1], "validation": [2], "test": [3, 4]}
    assert shared_out(5, cut, ["validation"]) == {"train": [0, 1, 2], "test": [3, 4]}
    assert shared_out(5, cut, []) == cut
    assert shared_out(3, None, ["validation", "test"]) == {"train": [0, 1, 2]}


def test_groups_that_are_torn_apart_are_told() -> None:
    assert torn_apart({"train": {1, 2}, "validation": {3}}) is None
    told = torn_apart({"train": {1, 2, 3}, "validation": {2, 3}, "test": {3}})
    assert told and told.endswith(
        "2 in train and validation, 1 in train and test, 1 in validation and test"
    )
