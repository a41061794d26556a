"""Small networks that several tasks build on; transformers are in `transformer`.

Bodies (`Recurrent`, `Transformer`) turn tokens into states; heads make of these what a task needs.

Shapes: B batch, T tokens, D width, V vocabulary.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from trainables.parts.transformer import Transformer, is_padding

Cell = Literal["rnn", "gru", "lstm"]

CELLS: dict[Cell, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    *,
    activation: Callable[[], nn.Module] = nn.ReLU,
    dropout: float = 0.0,
) -> nn.Sequential:
    """A multilayer perceptron; without hidden layers, one linear layer.

    `torchvision.ops.MLP` is no help here: its dropout also falls on the outputs.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((inputs, *hidden)):
        layers += [nn.Linear(before, after), activation(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear((inputs, *hidden)[-1], outputs))


def one_hot_embedding(vocabulary: int) -> nn.Embedding:
    """A frozen embedding that gives each token a dimension of its own."""
    return nn.Embedding.from_pretrained(torch.eye(vocabulary), freeze=True)


class Recurrent(nn.Module):
    """An RNN, GRU or LSTM over embedded tokens.

    Args:
        embedding: Of the tokens: `nn.Embedding(vocabulary, width)`, given vectors, or
            `one_hot_embedding`.
        hidden: Width of each layer's state, in each direction.
        layers: How many there are.
        cell: Which kind they are; an "rnn" has tanh.
        dropout: Between the layers.
        bidirectional: Whether a second network reads from the end; then no state may be used to
            predict a token.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        *,
        hidden: int,
        layers: int = 1,
        cell: Cell = "lstm",
        dropout: float = 0.0,
        bidirectional: bool = False,
    ):
        super().__init__()
        self.embedding = embedding
        self.hidden, self.width = hidden, hidden * (2 if bidirectional else 1)
        self.rnn = CELLS[cell](
            embedding.embedding_dim,
            hidden,
            layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,  # PyTorch warns of a dropout between nothing
            bidirectional=bidirectional,
        )

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """The last layer's state at each token, [B, T, width].

        Args:
            tokens_BT: Padded on the right.
            lengths_B: How many of each row are no padding, at least one; None = all. States at
                padding are 0.
        """
        embedded_BTD = self.embedding(tokens_BT)
        if lengths_B is None:
            return self.rnn(embedded_BTD)[0]
        packed = pack_padded_sequence(
            embedded_BTD, lengths_B.cpu(), batch_first=True, enforce_sorted=False
        )
        states_BTD, _ = pad_packed_sequence(
            self.rnn(packed)[0], batch_first=True, total_length=tokens_BT.shape[1]
        )
        return states_BTD

    def final(self, states_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """The states at which each direction ends, side by side, [B, width]."""
        forward_BD, backward_BD = states_BTD[..., : self.hidden], states_BTD[..., self.hidden :]
        return torch.cat([last_state(forward_BD, lengths_B), backward_BD[:, 0]], dim=-1)


class LanguageModel(nn.Module):
    """A `Recurrent` in one direction or a causal `Transformer`, and a layer to predict tokens."""

    def __init__(self, body: Recurrent | Transformer, vocabulary: int):
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.width, vocabulary)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Logits of the token that follows each, [B, T, V]."""
        return self.head(self.body(tokens_BT, lengths_B))


def last_state(states_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """The state at each row's last token, [B, D]."""
    rows_B = torch.arange(len(states_BTD), device=states_BTD.device)
    return states_BTD[rows_B, lengths_B.to(states_BTD.device) - 1]


def mean_state(states_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """The mean of each row's states without those at padding, [B, D]."""
    real_BT1 = ~is_padding(states_BTD, lengths_B)[..., None]
    return (states_BTD * real_BT1).sum(1) / real_BT1.sum(1)
