"""A network over tokens by its settings: recurrent or a transformer."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from trainables.config import at_least, below_one, require
from trainables.parts.networks import Recurrent
from trainables.parts.transformer import Transformer


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyConfig:
    """Kind and size of a network over tokens."""

    cell: Literal["rnn", "gru", "lstm", "transformer"] = "lstm"
    """What its layers are."""
    width: int = 256
    """Of the embedding and of each layer."""
    layers: int = 2
    """How many there are."""
    heads: int = 4
    """Attention heads of each of a transformer's layers; must divide width."""
    dropout: float = 0.0
    """Between recurrent layers, or throughout a transformer."""

    def __post_init__(self) -> None:
        at_least(self, 1, "width", "layers", "heads")
        below_one(self, "dropout")
        divides = self.cell != "transformer" or self.width % self.heads == 0
        require(divides, "heads must divide width", heads=self.heads, width=self.width)


def causal_body(config: BodyConfig, vocabulary: int, *, max_tokens: int) -> Recurrent | Transformer:
    """A network each of whose states has seen its token and those before it alone.

    Args:
        config: Its settings.
        vocabulary: How many tokens there are.
        max_tokens: The longest sequence that is taken.
    """
    embedding = nn.Embedding(vocabulary, config.width)
    if config.cell == "transformer":
        return Transformer(
            embedding,
            layers=config.layers,
            heads=config.heads,
            feedforward=4 * config.width,
            max_tokens=max_tokens,
            causal=True,
            dropout=config.dropout,
        )
    return Recurrent(
        embedding,
        hidden=config.width,
        layers=config.layers,
        cell=config.cell,
        dropout=config.dropout,
    )
