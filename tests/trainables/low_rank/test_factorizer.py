"""Proves that the factorizer computes what its formulas say, and leads to the SVD.

pytest tests/trainables/low_rank/test_factorizer.py

Shapes: B batch, T tokens, W width of the features, R rank, D inner width, S side of the map.
"""

from typing import Any

import pytest
import torch

from tests.trainables.low_rank.test_task import (
    OF_TOKENS,
    RANK,
    TOKENS,
    features_of,
    model_of,
    svd_of_rank,
)
from trainables.low_rank.factorizer import Block, Factorizer, newton_schulz, orthogonalized


@torch.no_grad()
@pytest.mark.parametrize("how", ["qr", "newton_schulz"])
def test_orthogonalized_rows_are_orthonormal_and_span_the_same(how: Any) -> None:
    torch.manual_seed(0)
    rows_BRW = torch.randn(5, 4, 9) * torch.logspace(0, -2, 4)[:, None]
    basis_BRW = orthogonalized(rows_BRW, how)
    torch.testing.assert_close(
        basis_BRW @ basis_BRW.mT, torch.eye(4).expand(5, 4, 4), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(rows_BRW @ basis_BRW.mT @ basis_BRW, rows_BRW, atol=1e-5, rtol=1e-3)


@torch.no_grad()
def test_newton_schulz_gives_the_polar_factor() -> None:
    torch.manual_seed(0)
    rows_BRW = 50 * torch.randn(5, 4, 9)
    left, _, right = torch.linalg.svd(rows_BRW, full_matrices=False)
    torch.testing.assert_close(newton_schulz(rows_BRW), left @ right, atol=1e-4, rtol=0)


def test_penalty_leaves_the_rows_alone() -> None:
    rows_BRW = torch.randn(2, 3, 5)
    assert orthogonalized(rows_BRW, "penalty") is rows_BRW


@torch.no_grad()
def test_a_basis_of_singular_vectors_gives_the_truncated_svd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features_BTW, model = features_of(4), model_of(OF_TOKENS)
    basis_BRW = torch.linalg.svd(features_BTW, full_matrices=False).Vh[:, :RANK]
    mixed_BRW = torch.randn(RANK, RANK) @ basis_BRW  # another basis of the same space
    monkeypatch.setattr(model, "raw_basis", lambda *_: mixed_BRW)
    expected = svd_of_rank(features_BTW, RANK)
    torch.testing.assert_close(model(features_BTW).reconstruction(), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("how", ["qr", "newton_schulz"])
@pytest.mark.parametrize("basis", ["tokens", "generated"])
def test_power_steps_lead_to_the_truncated_svd(how: str, basis: str) -> None:
    features_BTW, model = (
        features_of(4),
        model_of(OF_TOKENS | {"basis": basis, "orthogonalize": how}),
    )
    expected, errors = svd_of_rank(features_BTW, RANK), []
    for model.power_steps in (0, 1, 2, 20):
        errors.append(float((model(features_BTW).reconstruction() - expected).square().mean()))
    assert errors[0] > errors[1] > errors[2] > errors[3]
    torch.testing.assert_close(model(features_BTW).reconstruction(), expected, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_no_factorization_is_better_than_the_truncated_svd() -> None:
    features_BTW = features_of(4)
    best = (svd_of_rank(features_BTW, RANK) - features_BTW).square().mean()
    for model in (model_of(), model_of(OF_TOKENS), model_of(OF_TOKENS | {"power_steps": 2})):
        assert (model(features_BTW).reconstruction() - features_BTW).square().mean() >= best


@torch.no_grad()
def test_weights_over_linear_keys_are_a_step_of_subspace_iteration() -> None:
    model, features_BTW = model_of(OF_TOKENS | {"layers": 0, "query_layers": 0}), features_of(4)
    assert model.key is not None
    model.embed.bias.zero_()
    learned_RW = model.queries_RD @ model.key.weight @ model.embed.weight
    rows_BRW = learned_RW @ features_BTW.mT @ features_BTW
    basis_BRW = torch.linalg.qr(rows_BRW.mT).Q.mT
    expected = features_BTW @ basis_BRW.mT @ basis_BRW
    torch.testing.assert_close(model(features_BTW).reconstruction(), expected, atol=1e-3, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("width", "features_width"), [(16, 300), (256, 2048)])
def test_generated_rows_begin_with_about_unit_length(width: int, features_width: int) -> None:
    torch.manual_seed(0)
    model = Factorizer(
        features_width=features_width,
        rank=32,
        width=width,
        layers=1,
        heads=4,
        mixing="attention",
        query_layers=1,
        basis="generated",
        coefficients="network",
        orthogonalize="penalty",
        power_steps=0,
    )
    lengths_BR = model(torch.randn(2, 16, features_width)).basis_BRW.norm(dim=-1)
    assert 0.7 < lengths_BR.mean() < 1.4


@torch.no_grad()
@pytest.mark.parametrize("coefficients", ["network", "projection", "corrected"])
def test_coefficients_come_from_where_the_setting_says(coefficients: str) -> None:
    model, features_BTW = model_of({"coefficients": coefficients, "layers": 0}), features_of(4)
    factors = model(features_BTW)
    projection_BTR = features_BTW @ factors.basis_BRW.mT
    if coefficients != "network":  # the correction begins with zero
        torch.testing.assert_close(factors.coefficients_BTR, projection_BTR)
    if coefficients == "projection":
        return
    assert model.coefficient is not None
    model.coefficient.weight.normal_()
    scale_B11 = features_BTW.square().mean((1, 2), keepdim=True).sqrt()
    network_BTR = scale_B11 * model.coefficient(model.embed(features_BTW / scale_B11))
    expected = network_BTR if coefficients == "network" else projection_BTR + network_BTR
    torch.testing.assert_close(model(features_BTW).coefficients_BTR, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("model", [{}, OF_TOKENS])
def test_factors_follow_the_features_unit(model: dict[str, Any]) -> None:
    factorizer, features_BTW = model_of(model), features_of(4)
    once, larger = (
        factorizer(features_BTW),
        factorizer(1024 * features_BTW),
    )  # a power of two rounds nothing
    torch.testing.assert_close(larger.basis_BRW, once.basis_BRW)
    torch.testing.assert_close(larger.coefficients_BTR, 1024 * once.coefficients_BTR)


@torch.no_grad()
@pytest.mark.parametrize("mixing", ["none", "attention", "conv"])
def test_only_conv_knows_where_a_token_stands(mixing: str) -> None:
    model, features_BTW = model_of({"mixing": mixing}), features_of(4)
    order_T = torch.randperm(TOKENS, generator=torch.Generator().manual_seed(1))
    ordered = model(features_BTW[:, order_T]).reconstruction()
    same = torch.allclose(ordered, model(features_BTW).reconstruction()[:, order_T], atol=1e-4)
    assert same == (mixing != "conv")


@torch.no_grad()
@pytest.mark.parametrize(("mixing", "reach"), [("none", 0), ("conv", 2), ("attention", 6)])
def test_a_block_reaches_as_far_as_its_mixing(mixing: Any, reach: int) -> None:
    torch.manual_seed(0)
    block, side, changed = Block(8, 2, mixing), 7, (1, 4)
    states_BTD = torch.randn(1, side**2, 8)
    other_BTD = states_BTD.clone()
    other_BTD[0, changed[0] * side + changed[1]] = torch.randn(8)
    differs_SS = (block(other_BTD) != block(states_BTD)).any(-1).reshape(side, side)
    for row in range(side):
        for column in range(side):
            distance = max(abs(row - changed[0]), abs(column - changed[1]))
            assert differs_SS[row, column] == (distance <= reach)


@torch.no_grad()
def test_query_layers_make_the_basis_depend_on_the_image() -> None:
    features_BTW = features_of(2)
    for layers in (0, 1):
        first_RW, second_RW = model_of({"query_layers": layers})(features_BTW).basis_BRW
        assert torch.equal(first_RW, second_RW) == (layers == 0)


@torch.no_grad()
def test_autocast_does_not_reach_the_linear_algebra() -> None:
    model, features_BTW = model_of(OF_TOKENS | {"power_steps": 2}), features_of(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        factors = model(features_BTW)
    eye_BRR = torch.eye(RANK).expand(4, -1, -1)
    torch.testing.assert_close(factors.basis_BRW @ factors.basis_BRW.mT, eye_BRR, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        factors.coefficients_BTR, features_BTW @ factors.basis_BRW.mT, atol=1e-4, rtol=1e-4
    )
