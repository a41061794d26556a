"""Proves that the factorizer is what its formulas say and is judged exactly, beside SVD.

pytest tests/trainables/low_rank/test_task.py

Shapes: B batch, T tokens, W width of the features, R rank, D inner width.
"""

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.trainables.conformance import curve, shorter
from trainables.config import TaskError, build_config
from trainables.low_rank.factorizer import Factorizer
from trainables.low_rank.features import feature_splits, truncated_svd
from trainables.low_rank.task import (
    LowRank,
    LowRankConfig,
    ReconstructionTally,
    orthogonality_penalty,
    row_length_penalty,
)
from trainables.parts.data import Splits, TensorSplit
from trainables.training import evaluate

TOKENS, WIDTH, RANK = 16, 12, 3
OF_TOKENS = {"basis": "tokens", "coefficients": "projection", "orthogonalize": "qr"}


def config_of(model: dict[str, Any] | None = None, **values: Any) -> LowRankConfig:
    """A tiny config; `__` stands for the dot."""
    tiny = {
        "model.rank": RANK,
        "model.width": 8,
        "model.heads": 2,
        "model.layers": 1,
        "data.width": WIDTH,
    }
    chosen = {f"model.{name}": value for name, value in (model or {}).items()}
    return build_config(
        LowRankConfig, tiny | chosen | {name.replace("__", "."): v for name, v in values.items()}
    )


def features_of(count: int, *, seed: int = 0) -> Tensor:
    """Random features [B, T, W] each of whose singular values is half of the one before."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(count, TOKENS, WIDTH, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(count, WIDTH, WIDTH, generator=generator)).Q
    return left * (20 * 0.5 ** torch.arange(WIDTH)) @ right


def splits_of(features_BTW: Tensor) -> Splits:
    return feature_splits(lambda _: features_BTW)


def model_of(model: dict[str, Any] | None = None) -> Factorizer:
    torch.manual_seed(0)
    return LowRank().model(config_of(model), splits_of(features_of(1)))


def svd_of_rank(features_BTW: Tensor, rank: int) -> Tensor:
    left, singular, right = torch.linalg.svd(features_BTW, full_matrices=False)
    return left[..., :rank] @ singular[..., :rank].diag_embed() @ right[..., :rank, :]


# Loss ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_penalties_equal_loops() -> None:
    torch.manual_seed(0)
    basis_BRW = torch.randn(4, RANK, WIDTH)
    lengths = [sum(float(entry) ** 2 for entry in row) for rows in basis_BRW for row in rows]
    distances = [
        sum((float(rows[i] @ rows[j]) - (i == j)) ** 2 for i in range(RANK) for j in range(RANK))
        / RANK
        for rows in basis_BRW
    ]
    assert float(row_length_penalty(basis_BRW)) == pytest.approx(np.mean(lengths), rel=1e-5)
    assert float(orthogonality_penalty(basis_BRW)) == pytest.approx(np.mean(distances), rel=1e-5)
    assert float(orthogonality_penalty(torch.eye(RANK, WIDTH).expand(4, -1, -1))) == 0


@torch.no_grad()
@pytest.mark.parametrize(
    ("lambda_B", "lambda_ortho"), [(0.3, 0.7), (0.0, 0.7), (0.3, 0.0), (0.0, 0.0)]
)
def test_the_loss_is_the_squared_error_and_the_weighted_penalties(
    lambda_B: float, lambda_ortho: float
) -> None:
    config = config_of(loss__lambda_B=lambda_B, loss__lambda_ortho=lambda_ortho)
    model, features_BTW = model_of(), features_of(4)
    factors = model(features_BTW)
    expected = (
        F.mse_loss(factors.coefficients_BTR @ factors.basis_BRW, features_BTW)
        + lambda_B * row_length_penalty(factors.basis_BRW)
        + lambda_ortho * orthogonality_penalty(factors.basis_BRW)
    )
    loss, _ = LowRank().loss(config, model, {"features": features_BTW})
    torch.testing.assert_close(loss, expected)


@torch.no_grad()
def test_features_in_half_precision_and_autocast_are_judged_in_float32() -> None:
    model = model_of(OF_TOKENS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        factors = model(features_of(4).bfloat16().float())
        loss, outputs = LowRank().loss(
            config_of(OF_TOKENS), model, {"features": features_of(4).bfloat16()}
        )
    expected = factors.coefficients_BTR @ factors.basis_BRW
    assert outputs.features_BTW.dtype == loss.dtype == torch.float32
    torch.testing.assert_close(outputs.reconstruction_BTW, expected, atol=1e-5, rtol=1e-5)


# Metrics ------------------------------------------------------------------------------------------


def cosine(x_W: Tensor, y_W: Tensor) -> float:
    return float(x_W @ y_W) / math.sqrt(float(x_W @ x_W) * float(y_W @ y_W))


@torch.no_grad()
@pytest.mark.parametrize("batch_size", [3, 7])
def test_the_metrics_equal_a_loop_over_tokens(batch_size: int) -> None:
    features_BTW, config, task = features_of(7), config_of(data__batch_size=batch_size), LowRank()
    splits, model = splits_of(features_BTW), model_of()
    metrics, details = evaluate(task, config, model, splits, splits.validation)
    reconstructions = model(features_BTW).reconstruction()
    svds = svd_of_rank(features_BTW, RANK)
    ours = [
        [cosine(x, y) for x, y in zip(*pair, strict=True)]
        for pair in zip(features_BTW, reconstructions, strict=True)
    ]
    best = [
        [cosine(x, y) for x, y in zip(*pair, strict=True)]
        for pair in zip(features_BTW, svds, strict=True)
    ]
    assert metrics["cosine"] == pytest.approx(np.mean(ours), abs=1e-5)
    assert metrics["svd_cosine"] == pytest.approx(np.mean(best), abs=1e-5)
    assert metrics["gap"] == pytest.approx(np.mean(best) - np.mean(ours), abs=1e-5)
    assert metrics["mse"] == pytest.approx(
        float(F.mse_loss(reconstructions, features_BTW)), rel=1e-5
    )
    assert metrics["rank"] == RANK
    assert details["cosine_deviation"] == pytest.approx(np.std(np.mean(ours, axis=1)), rel=1e-3)


def test_a_tally_of_nothing_has_no_value() -> None:
    assert math.isnan(ReconstructionTally(RANK).compute()["cosine"])


def test_every_metric_that_is_compared_or_shown_is_reported() -> None:
    task, config = LowRank(), config_of(OF_TOKENS)
    splits = splits_of(features_of(3))
    metrics, _ = evaluate(task, config, model_of(OF_TOKENS), splits, splits.validation)
    names = [objective.name for objective in (task.objective, *task.other_objectives)]
    assert {*names, *task.shown_metrics, "mse"} <= metrics.keys()
    assert {objective.name: objective.direction for objective in task.other_objectives} == {
        "rank": "minimize",
        "gap": "minimize",
    }


# Settings -----------------------------------------------------------------------------------------


def test_the_defaults_are_the_settings_found_by_hand() -> None:
    config = build_config(LowRankConfig, {})
    assert config == LowRankConfig()
    assert (config.data.batch_size, config.model.rank) == (8, 128)
    assert (config.optim.lr, config.optim.weight_decay) == (1e-3, 1e-5)
    assert (config.optim.scheduler, config.optim.patience_epochs) == ("plateau", 10)
    assert (config.loss.lambda_B, config.loss.lambda_ortho) == (1e-4, 1e-3)
    assert (config.model.orthogonalize, config.model.coefficients) == ("penalty", "network")


def test_mistaken_settings_are_told_as_rules() -> None:
    for values, rule in (
        ({"model__rank": 0}, "rank must be at least 1, got rank=0"),
        (
            {"model__rank": 13},
            "rank must be at most 12, the embedded features' tokens and width, got rank=13",
        ),
        ({"model__rank": 257, "data__width": 512}, "rank must be at most 256"),
        ({"model__layers": -1}, "layers must not be negative, got layers=-1"),
        ({"model__heads": 3}, "heads must divide width, got width=8, heads=3"),
        (
            {"model__power_steps": 3, "model__orthogonalize": "qr"},
            r"power_steps must be in \[0, 2\]",
        ),
        ({"model__power_steps": 1}, "power_steps need orthogonalize qr or newton_schulz"),
        ({"loss__lambda_ortho": -1.0}, "lambda_ortho must not be negative"),
        ({"data__width": 7}, "width must be even and positive, got width=7"),
        ({"data__batch_size": 0}, "batch_size must be at least 1"),
    ):
        with pytest.raises(TaskError, match=rule):
            config_of(**values)


def test_a_rank_beyond_the_files_features_is_refused() -> None:
    config = config_of(data__path="features", model__rank=13)
    with pytest.raises(
        TaskError, match=r"rank must be at most the features' tokens \(16\) and width \(12\)"
    ):
        LowRank().model(config, splits_of(features_of(1)))


@pytest.mark.parametrize("model", [{}, OF_TOKENS])
def test_head_and_layers_are_all_parameters(model: dict[str, Any]) -> None:
    task, factorizer = LowRank(), model_of(model)
    parts = [*task.layers(factorizer), task.head(factorizer)]
    ids = [id(parameter) for part in parts for parameter in part]
    assert sorted(ids) == sorted(id(parameter) for parameter in factorizer.parameters())
    assert id(factorizer.queries_RD) in {id(parameter) for parameter in task.head(factorizer)}


def test_full_size_has_the_parameters_of_the_formula() -> None:
    width, features_width, rank, layers = 512, 2048, 128, 2
    block = 12 * width**2 + 13 * width  # attention 4 D^2 + 4 D, MLP 8 D^2 + 5 D, two norms 4 D
    query_layer = 16 * width**2 + 19 * width  # two attentions, MLP, three norms
    factors = (width + 1) * (features_width + rank)  # what generates B, what gives A
    expected = (features_width + 1) * width + layers * block + rank * width + query_layer + factors
    features = torch.empty(1, 256, features_width, device="meta")
    splits = Splits(
        train=TensorSplit(tensors={"features": features}),
        validation=TensorSplit(tensors={"features": features}),
        test=lambda: TensorSplit(tensors={"features": features}),
    )
    with torch.device("meta"):
        model = LowRank().model(LowRankConfig(), splits)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == 12_739_712


# Training and pictures
# ----------------------------------------------------------------------------------------------


def test_training_brings_the_basis_nearer_to_the_svd(monkeypatch: pytest.MonkeyPatch) -> None:
    task, config = LowRank(), config_of(OF_TOKENS, data__width=32, optim__lr=1e-2)
    splits = shorter(task.data(config, 0), 96)
    monkeypatch.setattr(LowRank, "data", lambda *_: splits)
    torch.manual_seed(0)
    untrained, _ = evaluate(task, config, task.model(config, splits), splits, splits.validation)
    trained = curve(task, config, epochs=4)[-1].metrics
    assert trained["svd_cosine"] == untrained["svd_cosine"]
    assert 0 < trained["gap"] < untrained["gap"] / 2


def shown(figure: Any) -> list[Any]:
    """The images on a figure's axes, as arrays."""
    return [np.asarray(image.get_array()) for axis in figure.axes for image in axis.get_images()]


@torch.no_grad()
def test_pictures_show_maps_and_errors_with_their_cosines() -> None:
    features_BTW, config = features_of(3), config_of(OF_TOKENS)
    model = model_of(OF_TOKENS)
    figures = LowRank().pictures(config, model, splits_of(features_BTW), [2, 0])
    assert list(figures) == ["channels_2", "errors_2", "channels_0", "errors_0"]
    for row in (2, 0):
        original_TW = features_BTW[row]
        network_TW = model(features_BTW[row : row + 1]).reconstruction()[0]
        svd_TW = svd_of_rank(original_TW, RANK)
        maps = shown(figures[f"channels_{row}"])
        versions = (original_TW, svd_TW, network_TW)
        expected = [
            version[:, channel].reshape(4, 4) for version in versions for channel in range(8)
        ]
        np.testing.assert_allclose(np.stack(maps), torch.stack(expected), atol=1e-4)
        errors = [
            (version - original_TW).square().mean(-1).sqrt().reshape(4, 4)
            for version in versions[1:]
        ]
        np.testing.assert_allclose(
            np.stack(shown(figures[f"errors_{row}"])[:2]), torch.stack(errors), atol=1e-4
        )
        titles = [axis.get_title() for axis in figures[f"errors_{row}"].axes]
        for title, version in zip(titles, versions[1:], strict=False):
            reached = float(F.cosine_similarity(version, original_TW, dim=-1).mean())
            assert f"cosine {reached:.4f}" in title
            assert (
                f"cosine {reached:.4f}"
                in cast(Any, figures[f"channels_{row}"])._suptitle.get_text()
            )


def test_truncated_svd_is_torchs() -> None:
    (features_TW,) = features_of(1)
    torch.testing.assert_close(truncated_svd(features_TW, RANK), svd_of_rank(features_TW, RANK))
