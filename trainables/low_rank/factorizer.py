"""A network that factorizes features: X [tokens, width] ~ A [tokens, rank] B [rank, width].

Shapes: B batch, T tokens (a square map), W width of the features, R rank, D inner width, S side of
the map.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Mixing = Literal["none", "conv", "attention"]
Basis = Literal["generated", "tokens"]
Coefficients = Literal["network", "projection", "corrected"]
Orthogonalization = Literal["penalty", "qr", "newton_schulz"]

MLP_RATIO = 4
CONV_SIDE = 5
NEWTON_SCHULZ_STEPS = [(3.4445, -4.7750, 2.0315)] * 8 + [(1.5, -0.5, 0.0)] * 5


@dataclass(kw_only=True, slots=True)
class Factors:
    """The two factors of a batch; their product is the reconstruction."""

    coefficients_BTR: Tensor
    basis_BRW: Tensor

    def reconstruction(self) -> Tensor:
        """A B, [B, T, W]."""
        return self.coefficients_BTR @ self.basis_BRW


class Factorizer(nn.Module):
    """Tokens are embedded and mixed; learned queries, one for each row of B, attend to them.

    B's rows follow.

    The basis is `generated` by a linear layer from the queries, or its rows are combinations of the
    image's own `tokens`, weighted by the products of queries and keys. Such weights may be negative
    and, where the keys are linear in the tokens, Q K^T X = M X^T X with a learned M: one step of
    subspace iteration from learned directions.

    A power step multiplies the basis by X^T X (Halko, Martinsson and Tropp 2011,
    https://arxiv.org/abs/0909.4061, algorithm 4.4). With orthonormal rows the best coefficients are
    the projection X B^T. Every image is scaled to unit mean square first and its coefficients are
    scaled back, so the factors follow the features' unit. Tokens have no position of their own:
    only `conv` sees who is whose neighbour.

    Args:
        features_width: W of the features.
        rank: R.
        width: D.
        layers: Blocks that the tokens pass.
        heads: Of every attention.
        mixing: What a block mixes tokens by.
        query_layers: Layers in which the queries attend to the tokens; 0 = the same queries for
            every image.
        basis: Where the rows of B come from.
        coefficients: Where A comes from: the network, the projection X B^T, or that with a learned
            correction.
        orthogonalize: How rows become orthonormal; "penalty" leaves that to the loss.
        power_steps: Multiplications by X^T X, each orthogonalized.
    """

    def __init__(
        self,
        *,
        features_width: int,
        rank: int,
        width: int,
        layers: int,
        heads: int,
        mixing: Mixing,
        query_layers: int,
        basis: Basis,
        coefficients: Coefficients,
        orthogonalize: Orthogonalization,
        power_steps: int,
    ):
        super().__init__()
        self.coefficients, self.orthogonalize, self.power_steps = (
            coefficients,
            orthogonalize,
            power_steps,
        )
        self.embed = nn.Linear(features_width, width)
        self.blocks = nn.ModuleList([Block(width, heads, mixing) for _ in range(layers)])
        self.queries_RD = nn.Parameter(torch.randn(rank, width))
        self.query_layers = nn.ModuleList([query_layer(width, heads) for _ in range(query_layers)])
        self.key = nn.Linear(width, width, bias=False) if basis == "tokens" else None
        self.generate = nn.Linear(width, features_width) if basis == "generated" else None
        if (
            self.generate is not None
        ):  # rows begin with about unit length, whatever the sizes: the penalty asks for it
            nn.init.normal_(self.generate.weight, std=(width * features_width) ** -0.5)
            nn.init.zeros_(self.generate.bias)
        self.coefficient = nn.Linear(width, rank) if coefficients != "projection" else None
        if coefficients == "corrected" and self.coefficient is not None:
            nn.init.zeros_(self.coefficient.weight)
            nn.init.zeros_(self.coefficient.bias)

    def forward(self, features_BTW: Tensor) -> Factors:
        """Factorize a batch of features in float32."""
        scale_B11 = features_BTW.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-12)
        unit_BTW = features_BTW / scale_B11
        states_BTD = self.embed(unit_BTW)
        for block in self.blocks:
            states_BTD = block(states_BTD)
        queries_BRD = self.queries_RD.expand(len(unit_BTW), -1, -1)
        for layer in self.query_layers:
            queries_BRD = layer(queries_BRD, states_BTD)
        with torch.autocast(
            features_BTW.device.type, enabled=False
        ):  # bfloat16 is too coarse to orthogonalize in
            states_BTD, queries_BRD = states_BTD.float(), queries_BRD.float()
            basis_BRW = self.power_iterated(
                self.raw_basis(queries_BRD, states_BTD, unit_BTW), unit_BTW
            )
            coefficients_BTR = self.coefficients_of(basis_BRW, states_BTD, unit_BTW)
        return Factors(coefficients_BTR=coefficients_BTR * scale_B11, basis_BRW=basis_BRW)

    def raw_basis(self, queries_BRD: Tensor, states_BTD: Tensor, unit_BTW: Tensor) -> Tensor:
        """The rows of B as the network gives them, [B, R, W]."""
        if self.generate is not None:
            return self.generate(queries_BRD)
        assert self.key is not None
        weights_BRT = queries_BRD @ self.key(states_BTD).mT / math.sqrt(queries_BRD.shape[-1])
        return weights_BRT @ unit_BTW / unit_BTW.shape[1]

    def power_iterated(self, basis_BRW: Tensor, unit_BTW: Tensor) -> Tensor:
        """The basis, orthogonalized, after the power steps."""
        basis_BRW = orthogonalized(basis_BRW, self.orthogonalize)
        for _ in range(self.power_steps):
            basis_BRW = orthogonalized((unit_BTW @ basis_BRW.mT).mT @ unit_BTW, self.orthogonalize)
        return basis_BRW

    def coefficients_of(self, basis_BRW: Tensor, states_BTD: Tensor, unit_BTW: Tensor) -> Tensor:
        """A of unit features, [B, T, R]."""
        if self.coefficient is None:
            return unit_BTW @ basis_BRW.mT
        if self.coefficients == "network":
            return self.coefficient(states_BTD)
        return unit_BTW @ basis_BRW.mT + self.coefficient(states_BTD)

    def head_parameters(self) -> list[nn.Parameter]:
        """The queries and all that turns states into factors."""
        own = {id(parameter) for layer in self.layer_parameters() for parameter in layer}
        return [parameter for parameter in self.parameters() if id(parameter) not in own]

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The embedding of tokens, then each block."""
        return [list(part.parameters()) for part in (self.embed, *self.blocks)]


class Block(nn.Module):
    """Tokens are mixed, then each passes an MLP; both on the residual stream, normalized before."""

    def __init__(self, width: int, heads: int, mixing: Mixing):
        super().__init__()
        self.mixing = MIXINGS[mixing](width, heads) if mixing != "none" else None
        self.mixing_norm = nn.LayerNorm(width) if mixing != "none" else None
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(),
            nn.Linear(MLP_RATIO * width, width),
        )

    def forward(self, states_BTD: Tensor) -> Tensor:
        """The states after the block, [B, T, D]."""
        if self.mixing is not None and self.mixing_norm is not None:
            states_BTD = states_BTD + self.mixing(self.mixing_norm(states_BTD))
        return states_BTD + self.mlp(states_BTD)


class SelfAttention(nn.Module):
    """Every token attends to all."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, states_BTD: Tensor) -> Tensor:
        """What the tokens gather, [B, T, D]."""
        return self.attention(states_BTD, states_BTD, states_BTD, need_weights=False)[0]


class MapConvolution(nn.Module):
    """Every token gathers from its 5 x 5 neighbours on the map, channel by channel.

    Then channels are mixed.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, CONV_SIDE, padding=CONV_SIDE // 2, groups=width)
        self.pointwise = nn.Linear(width, width)

    def forward(self, states_BTD: Tensor) -> Tensor:
        """What the tokens gather, [B, T, D]."""
        side = math.isqrt(states_BTD.shape[1])
        gathered_BDSS = self.depthwise(states_BTD.mT.unflatten(-1, (side, side)))
        return self.pointwise(F.gelu(gathered_BDSS.flatten(2).mT))


MIXINGS: dict[str, type[SelfAttention] | type[MapConvolution]] = {
    "attention": SelfAttention,
    "conv": MapConvolution,
}


def query_layer(width: int, heads: int) -> nn.Module:
    """Queries attend to each other, then to the tokens, then pass an MLP."""
    return nn.TransformerDecoderLayer(
        width,
        heads,
        MLP_RATIO * width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )


def orthogonalized(rows_BRW: Tensor, how: Orthogonalization) -> Tensor:
    """Orthonormal rows that span the same space; the rows as they are for "penalty"."""
    if how == "penalty":
        return rows_BRW
    if how == "qr":
        return torch.linalg.qr(rows_BRW.mT).Q.mT
    return newton_schulz(rows_BRW)


def newton_schulz(rows_BRW: Tensor) -> Tensor:
    """The nearest matrix with orthonormal rows, (B B^T)^(-1/2) B, by matrix products alone.

    Each step maps every singular value s to a s + b s^3 + c s^5. The first steps raise small ones
    fast but end near 1 only (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon), the
    last are Newton's and converge to 1. Singular values below about 1e-4 of the rows' norm stay too
    small.
    """
    rows_BRW = rows_BRW / rows_BRW.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    for a, b, c in NEWTON_SCHULZ_STEPS:
        gram_BRR = rows_BRW @ rows_BRW.mT
        rows_BRW = a * rows_BRW + (b * gram_BRR + c * gram_BRR @ gram_BRR) @ rows_BRW
    return rows_BRW
