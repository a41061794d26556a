"""Factorizers that are a few matrix products: randomized SVD, and the same with learned directions.

They are used like the networks of the task `low_rank`.

Shapes: B batch, N images, T tokens, W width, R rank, K directions.
"""

from typing import Any

import torch
from torch import Tensor, nn

from trainables.low_rank.factorizer import Factors
from trainables.low_rank.task import LowRank, LowRankConfig
from trainables.parts.data import Splits

NO_PENALTY = {"loss.lambda_B": 0.0, "loss.lambda_ortho": 0.0}
"""A sketch's second factor is as long as the image's energy, so it can't be asked to be short."""


class Sketch(nn.Module):
    """X ~ Q (Q^T X) with an orthonormal basis Q of the range of X D, for given directions D.

    With random directions it is randomized SVD (Halko, Martinsson and Tropp 2011,
    https://arxiv.org/abs/0909.4061, algorithms 4.1 and 4.4); with more directions than ranks, what
    is too much is cut off by their algorithm 5.1. Learned directions (Indyk, Vakilian and Yuan
    2019, https://arxiv.org/abs/1910.13984) take exactly as long.

    Args:
        directions_WK: D.
        rank: R, at most K.
        power_steps: Multiplications by X X^T; the basis is made orthonormal after each.
    """

    def __init__(self, directions_WK: Tensor, *, rank: int, power_steps: int):
        super().__init__()
        self.directions_WK = nn.Parameter(directions_WK)
        self.rank, self.power_steps = rank, power_steps

    def forward(self, features_BTW: Tensor) -> Factors:
        """Factorize a batch of features."""
        range_BTK = torch.linalg.qr(features_BTW @ self.directions_WK).Q
        for _ in range(self.power_steps):
            range_BTK = torch.linalg.qr(features_BTW @ (features_BTW.mT @ range_BTK)).Q
        rest_BKW = range_BTK.mT @ features_BTW
        if rest_BKW.shape[1] == self.rank:
            return Factors(coefficients_BTR=range_BTK, basis_BRW=rest_BKW)
        # The left singular vectors of what is left: eigenvectors of a small square.
        left_BKR = torch.linalg.eigh(rest_BKW @ rest_BKW.mT).eigenvectors[..., -self.rank :]
        return Factors(coefficients_BTR=range_BTK @ left_BKR, basis_BRW=left_BKR.mT @ rest_BKW)


class OneBasis(nn.Module):
    """X ~ (X D) D^T with the same orthonormal directions D for all images."""

    def __init__(self, directions_WR: Tensor):
        super().__init__()
        self.directions_WR = nn.Parameter(directions_WR)

    def forward(self, features_BTW: Tensor) -> Factors:
        """Factorize a batch of features."""
        return Factors(
            coefficients_BTR=features_BTW @ self.directions_WR,
            basis_BRW=self.directions_WR.T.expand(len(features_BTW), -1, -1),
        )


class LearnedSketch(LowRank):
    """The task with a sketch in place of the network; it begins with the principal directions."""

    def __init__(self, power_steps: int):
        self.power_steps = power_steps

    def model(self, config: LowRankConfig, splits: Splits) -> Any:
        """A sketch for features as wide as the data's."""
        rank = config.model.rank
        directions_WR = principal_directions(splits, rank)
        return Sketch(directions_WR, rank=rank, power_steps=self.power_steps)

    def head(self, model: Any) -> list[nn.Parameter]:
        """None: all is trained at one rate."""
        return []

    def layers(self, model: Any) -> list[list[nn.Parameter]]:
        """None: all is trained at one rate."""
        return []


def principal_directions(splits: Splits, rank: int) -> Tensor:
    """Orthonormal directions that hold most of the training images' energy, [W, R]."""
    features_NTW = splits.train.tensors["features"].float()
    gram_WW = torch.einsum("ntw,ntv->wv", features_NTW, features_NTW)
    return torch.linalg.eigh(gram_WW).eigenvectors[:, -rank:].contiguous()
