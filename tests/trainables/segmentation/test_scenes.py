"""Proves that the embedded scenes are seeded, and no digit is in two splits.

pytest tests/trainables/segmentation/test_scenes.py

Shapes: N scenes, H height, W width.
"""

import pytest
import torch
from torch import Tensor

from trainables.segmentation.losses import IGNORED
from trainables.segmentation.scenes import GROUPS, digit_scenes


def test_scenes_show_strokes_of_all_groups_the_rarer_the_fewer_digits_a_group_has() -> None:
    splits = digit_scenes(300, 40, 48, 0)
    assert [len(s) for s in (splits.train, splits.validation, splits.test())] == [210, 60, 30]
    images, labels = splits.train.tensors["images"], splits.train.tensors["labels"]
    assert images.shape == (210, 3, 40, 48)
    assert labels.shape == (210, 40, 48)
    counts = labels.flatten().long().bincount(minlength=256)
    assert counts.nonzero().flatten().tolist() == [*range(len(GROUPS)), IGNORED]
    assert counts[0] > counts[1:5].sum()
    assert counts[4] < counts[1:4].min() / 1.5, "one digit of ten"
    assert splits.classes.names == tuple(GROUPS)


def test_scenes_follow_the_seed_and_each_digit_is_in_one_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[set[int]] = []

    def remember(
        rows: Tensor, height: int, width: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        drawn.append(set(rows.tolist()))
        return torch.zeros(3, 1, 1), torch.zeros(1, 1)

    one, again, other = (digit_scenes.__wrapped__(20, 16, 16, seed) for seed in (0, 0, 1))
    assert torch.equal(one.train.tensors["images"], again.train.tensors["images"])
    assert torch.equal(one.test().tensors["labels"], again.test().tensors["labels"])
    assert not torch.equal(one.train.tensors["images"], other.train.tensors["images"])
    monkeypatch.setattr("trainables.segmentation.scenes._scene", remember)
    digit_scenes.__wrapped__(20, 16, 16, 0).test()
    train, validation, test = (
        set(rows) for rows in sorted({frozenset(rows) for rows in drawn}, key=len, reverse=True)
    )
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert len(train | validation | test) == 1797
