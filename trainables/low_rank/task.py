"""Low-rank factorization of visual features by a network.

It is judged beside truncated SVD, the optimum of its rank.

Shapes: B batch, T tokens, W width of the features, R rank, K = min(T, W) ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.space import Objective
from trainables.config import TaskError, at_least, require, within
from trainables.low_rank.factorizer import (
    Basis,
    Coefficients,
    Factorizer,
    Factors,
    Mixing,
    Orthogonalization,
)
from trainables.low_rank.feature_maps import channel_maps, error_maps
from trainables.low_rank.features import (
    EMBEDDED_TOKENS,
    cached_features,
    embedded_features,
    truncated_svd,
)
from trainables.parts.data import Batch, Splits
from trainables.parts.optim import OptimConfig, SchedulerName
from trainables.parts.tally import Mean
from trainables.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Where the features come from, and how they are served."""

    path: Path | None = None
    """A folder of `features_<i>.pt`, or of folders train, val, test of such; or a list of them
    (.csv, .parquet); none = features of embedded images."""
    width: int = 256
    """Width of the embedded features; an even number."""
    batch_size: int = 8
    """Images in a batch."""

    def __post_init__(self) -> None:
        require(
            self.width >= 2 and self.width % 2 == 0,
            "width must be even and positive",
            width=self.width,
        )
        at_least(self, 1, "batch_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The rank, the network's size, and how it makes the two factors."""

    rank: int = 128
    """Rows of B and columns of A."""
    width: int = 512
    """Inner width of the network."""
    layers: int = 2
    """Blocks that the tokens pass."""
    heads: int = 8
    """Heads of every attention; must divide width."""
    mixing: Mixing = "attention"
    """What a block mixes tokens by: nothing, a 5 x 5 convolution of their map, attention."""
    query_layers: int = 1
    """Layers in which the learned queries, one for each row of B, attend to the tokens; 0 = alike
    for all images."""
    basis: Basis = "generated"
    """The rows of B are a linear function of the queries, or combinations of the image's own
    tokens."""
    coefficients: Coefficients = "network"
    """A comes from the network, is the projection X B^T, or is that with a learned correction."""
    orthogonalize: Orthogonalization = "penalty"
    """B's rows become orthonormal by the loss's penalty alone, by QR, or by Newton-Schulz steps."""
    power_steps: int = 0
    """Multiplications of B by X^T X, each orthogonalized, which bring it nearer to the SVD; at most
    2."""

    def __post_init__(self) -> None:
        at_least(self, 1, "rank", "width", "heads")
        at_least(self, 0, "layers", "query_layers")
        require(
            self.width % self.heads == 0,
            "heads must divide width",
            width=self.width,
            heads=self.heads,
        )
        within(self, 0, 2, "power_steps")
        require(
            self.power_steps == 0 or self.orthogonalize != "penalty",
            "power_steps need orthogonalize qr or newton_schulz",
            power_steps=self.power_steps,
            orthogonalize=self.orthogonalize,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """What is added to the mean squared error."""

    lambda_B: float = 1e-4
    """Of the mean squared length of B's rows."""
    lambda_ortho: float = 1e-3
    """Of the squared distance of B B^T from the identity, divided by the rank."""

    def __post_init__(self) -> None:
        at_least(self, 0, "lambda_B", "lambda_ortho")


@dataclass(frozen=True, kw_only=True, slots=True)
class LowRankOptimConfig(OptimConfig):
    """The optimizer's settings, with what people used here as defaults."""

    lr: float = 1e-3
    """Peak learning rate of the backbone."""
    weight_decay: float = 1e-5
    """AdamW's decoupled weight decay."""
    scheduler: SchedulerName = "plateau"
    """Shape of the learning rate over the run."""
    patience_epochs: int = 10
    """Training ends after so many epochs without a better objective; 0 = never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LowRankConfig:
    """Everything about a low-rank factorization that can be searched or fixed."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: LowRankOptimConfig = field(default_factory=LowRankOptimConfig)

    def __post_init__(self) -> None:
        most = min(EMBEDDED_TOKENS, self.data.width)
        require(
            self.data.path is not None or self.model.rank <= most,
            f"rank must be at most {most}, the embedded features' tokens and width",
            rank=self.model.rank,
        )


@dataclass(kw_only=True, slots=True)
class Outputs:
    """What `count` compares."""

    features_BTW: Tensor
    reconstruction_BTW: Tensor


def row_length_penalty(basis_BRW: Tensor) -> Tensor:
    """The regularizer of B: the mean squared length of its rows."""
    return basis_BRW.square().sum(-1).mean()


def orthogonality_penalty(basis_BRW: Tensor) -> Tensor:
    """|B B^T - I|^2 / rank, the mean over the batch; 0 for orthonormal rows."""
    gram_BRR = basis_BRW @ basis_BRW.mT
    return (
        (gram_BRR - torch.eye(gram_BRR.shape[-1], device=gram_BRR.device)).square().sum(-1).mean()
    )


class ReconstructionTally:
    """Cosines and squared errors of reconstructions, beside the truncated SVD's.

    Every image counts the same, by the mean over its tokens. As all have the same number of tokens,
    this is also the mean over all tokens; and images are what vary, so `details` has the standard
    deviation over images.

    Attributes:
        rank: Of the factorization; the same for all that is counted.
        cosine: Mean over an image's tokens of cos(x, its reconstruction).
        svd_cosine: The same of the truncated SVD of that rank.
        squared_cosine: Square of `cosine`, for its standard deviation.
        squared_error: Mean squared error of an image.
    """

    def __init__(self, rank: int):
        self.rank = rank
        self.cosine, self.svd_cosine, self.squared_cosine, self.squared_error = (
            Mean(),
            Mean(),
            Mean(),
            Mean(),
        )

    def update(
        self, features_BTW: Tensor, reconstruction_BTW: Tensor, svd_cosine_B: Tensor
    ) -> None:
        """Count one batch."""
        cosine_B = F.cosine_similarity(features_BTW, reconstruction_BTW, dim=-1).double().mean(1)
        images = len(cosine_B)
        self.cosine.add(cosine_B.mean(), images)
        self.squared_cosine.add(cosine_B.square().mean(), images)
        self.svd_cosine.add(svd_cosine_B.double().mean(), images)
        self.squared_error.add((features_BTW - reconstruction_BTW).double().square().mean(), images)

    def merge(self, other: Self) -> None:
        """Add another tally's counts to this one."""
        self.cosine.merge(other.cosine)
        self.svd_cosine.merge(other.svd_cosine)
        self.squared_cosine.merge(other.squared_cosine)
        self.squared_error.merge(other.squared_error)

    def compute(self) -> dict[str, float]:
        """`cosine`, `svd_cosine`, `gap` (their difference), `mse` and `rank`."""
        cosine, svd_cosine = self.cosine.compute(), self.svd_cosine.compute()
        return {
            "cosine": cosine,
            "svd_cosine": svd_cosine,
            "gap": svd_cosine - cosine,
            "mse": self.squared_error.compute(),
            "rank": float(self.rank),
        }

    def details(self) -> dict[str, Any]:
        """`cosine_deviation`: the standard deviation of the images' cosines."""
        variance = self.squared_cosine.compute() - self.cosine.compute() ** 2
        return {"cosine_deviation": max(0.0, variance) ** 0.5}


class LowRank(Task[LowRankConfig, Splits, Factorizer]):
    """Features X factorized as A B.

    The objective is the mean cosine similarity of validation tokens and their reconstructions: no
    loss weight that is searched can move it. What the truncated SVD of the same rank reaches, and
    the gap to it, stand beside.
    """

    Config = LowRankConfig
    validation_settings = ("data.path", "data.width")
    objective = Objective(name="cosine", direction="maximize")
    other_objectives = (
        Objective(name="gap", direction="minimize"),
        Objective(name="rank", direction="minimize"),
    )
    shown_metrics = ("svd_cosine", "gap")

    def data(self, config: LowRankConfig, seed: int) -> Splits:
        """The cache folder's features, or those of the embedded images."""
        data = config.data
        return (
            cached_features(data.path, seed) if data.path else embedded_features(data.width, seed)
        )

    def model(self, config: LowRankConfig, splits: Splits) -> Factorizer:
        """A factorizer of features as wide as the data's."""
        model = config.model
        _, tokens, width = splits.train.tensors["features"].shape
        if model.rank > min(tokens, width):
            raise TaskError(
                f"model.rank must be at most the features' tokens ({tokens}) and width ({width})"
            )
        return Factorizer(
            features_width=width,
            rank=model.rank,
            width=model.width,
            layers=model.layers,
            heads=model.heads,
            mixing=model.mixing,
            query_layers=model.query_layers,
            basis=model.basis,
            coefficients=model.coefficients,
            orthogonalize=model.orthogonalize,
            power_steps=model.power_steps,
        )

    def head(self, model: Factorizer) -> list[nn.Parameter]:
        """The queries, their layers, and what makes the factors."""
        return model.head_parameters()

    def layers(self, model: Factorizer) -> list[list[nn.Parameter]]:
        """The embedding, each block."""
        return model.layer_parameters()

    def loss(
        self, config: LowRankConfig, model: Factorizer, batch: Batch
    ) -> tuple[Tensor, Outputs]:
        """The mean squared error and the two penalties of B.

        Features and reconstructions [B, T, W].
        """
        features_BTW, weights = batch["features"].float(), config.loss
        factors: Factors = model(features_BTW)
        # The gap to the SVD is small: count it exactly.
        with torch.autocast(features_BTW.device.type, enabled=False):
            outputs = Outputs(
                features_BTW=features_BTW, reconstruction_BTW=factors.reconstruction()
            )
            loss = (
                F.mse_loss(outputs.reconstruction_BTW, features_BTW)
                + weights.lambda_B * row_length_penalty(factors.basis_BRW)
                + weights.lambda_ortho * orthogonality_penalty(factors.basis_BRW)
            )
        return loss, outputs

    def tally(self, config: LowRankConfig, splits: Splits) -> ReconstructionTally:
        """Cosines, squared error, and the SVD's cosine of the same rank."""
        return ReconstructionTally(config.model.rank)

    def count(self, tally: ReconstructionTally, outputs: Outputs, batch: Batch) -> None:
        """Count a batch's reconstructions."""
        tally.update(
            outputs.features_BTW,
            outputs.reconstruction_BTW,
            batch["svd_cosine_NK"][:, tally.rank - 1],
        )

    @torch.no_grad()
    def pictures(
        self, config: LowRankConfig, model: Factorizer, splits: Splits, rows: Sequence[int]
    ) -> dict[str, "Figure"]:
        """For each row the first channels as maps, and each token's error."""
        device, figures = next(model.parameters()).device, {}
        for row in rows:
            features_TW = splits.validation.tensors["features"][row].to(device).float()
            network_TW = model.eval()(features_TW[None]).reconstruction()[0]
            svd_TW = truncated_svd(features_TW, config.model.rank)
            versions = {
                "original": features_TW.cpu(),
                "SVD": svd_TW.cpu(),
                "network": network_TW.cpu(),
            }
            figures[f"channels_{row}"] = channel_maps(versions)
            figures[f"errors_{row}"] = error_maps(versions)
        return figures
