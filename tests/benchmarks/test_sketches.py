"""Proves that sketches are randomized SVD, and that their directions learn.

pytest tests/benchmarks/test_sketches.py

Shapes: B batch, T tokens, W width, R rank.
"""

import pytest
import torch

from benchmarks.sketches import LearnedSketch, OneBasis, Sketch, principal_directions
from tests.trainables.low_rank.test_task import (
    RANK,
    WIDTH,
    config_of,
    features_of,
    splits_of,
    svd_of_rank,
)
from trainables.training import evaluate, train


def errors(power_steps: int, directions: int) -> float:
    """Of the images, beside the truncated SVD."""
    torch.manual_seed(0)
    sketch = Sketch(torch.randn(WIDTH, directions), rank=RANK, power_steps=power_steps)
    reconstruction = sketch(features_of(8)).reconstruction()
    return float((reconstruction - svd_of_rank(features_of(8), RANK)).square().mean())


@torch.no_grad()
def test_all_directions_cut_to_the_rank_give_the_truncated_svd() -> None:
    features_BTW = features_of(4)
    factors = Sketch(torch.eye(WIDTH), rank=RANK, power_steps=0)(features_BTW)
    assert factors.coefficients_BTR.shape[-1] == factors.basis_BRW.shape[-2] == RANK
    expected = svd_of_rank(features_BTW, RANK)
    torch.testing.assert_close(factors.reconstruction(), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_power_steps_and_more_directions_bring_it_nearer_to_the_svd() -> None:
    assert errors(0, RANK) > errors(1, RANK) > errors(2, RANK) > errors(10, RANK)
    assert errors(10, RANK) < 1e-6
    assert errors(0, RANK + 2) < errors(0, RANK)


@torch.no_grad()
def test_it_keeps_of_an_image_what_lies_in_the_range_of_its_sketch() -> None:
    directions_WK, features_BTW = torch.randn(WIDTH, RANK), features_of(4)
    found = Sketch(directions_WK, rank=RANK, power_steps=0)(features_BTW).reconstruction()
    least_squares = features_BTW @ directions_WK  # Its columns span that range.
    expected = least_squares @ torch.linalg.lstsq(least_squares, features_BTW).solution
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_one_basis_is_the_best_single_one() -> None:
    splits = splits_of(features_of(6))
    features_NTW = splits.train.tensors["features"]
    found = OneBasis(principal_directions(splits, RANK))(features_NTW).reconstruction()
    stacked = features_NTW.flatten(0, 1)
    torch.testing.assert_close(
        found.flatten(0, 1), svd_of_rank(stacked, RANK), atol=1e-3, rtol=1e-3
    )


def test_directions_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    splits, task = splits_of(features_of(16)), LearnedSketch(power_steps=0)
    config = config_of(
        optim__lr=0.01, data__batch_size=8, loss__lambda_B=0.0, loss__lambda_ortho=0.0
    )
    monkeypatch.setattr(task, "data", lambda *_: splits)
    before = evaluate(task, config, task.model(config, splits), splits, splits.validation)[0]
    *_, last = train(task, config, seed=0, max_epochs=20)
    assert last.metrics["gap"] < 0.8 * before["gap"]
