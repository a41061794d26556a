"""Transformers of PyTorch's own layers, with the masks and positions that go with them.

The paper: https://arxiv.org/abs/1706.03762.

Shapes: B batch, T tokens, S source tokens, D width, V vocabulary.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Positions = Literal["sinusoidal", "learned", "none"]


class Transformer(nn.Module):
    """A transformer over embedded tokens, each of which sees all, or those before it.

    Args:
        embedding: Of the tokens; its width is the network's.
        layers: How many there are.
        heads: Attention heads of each; must divide the width.
        feedforward: Inner width of each layer's feed-forward network.
        max_tokens: The longest sequence that is taken.
        causal: Whether a token sees only itself and those before it, as a language model must.
        dropout: Of the embedded tokens, the attention weights and the residual branches.
        positions: How tokens are told where they stand.
        position_scale: What positions are multiplied by: embeddings of small numbers are lost among
            sines and cosines of size 1, and 1 / sqrt(width) makes these as small.
        norm_first: Whether norms stand inside the residual branches, which trains more steadily.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        *,
        layers: int,
        heads: int,
        feedforward: int,
        max_tokens: int,
        causal: bool = False,
        dropout: float = 0.0,
        positions: Positions = "sinusoidal",
        position_scale: float = 1.0,
        norm_first: bool = True,
    ):
        super().__init__()
        self.width, self.causal = embedding.embedding_dim, causal
        self.embed = PositionedEmbedding(
            embedding,
            max_tokens=max_tokens,
            positions=positions,
            scale=position_scale,
            dropout=dropout,
        )
        layer = nn.TransformerEncoderLayer(
            self.width, heads, feedforward, dropout, batch_first=True, norm_first=norm_first
        )
        self.layers = nn.TransformerEncoder(
            layer,
            layers,
            norm=nn.LayerNorm(self.width) if norm_first else None,
            enable_nested_tensor=False,
        )
        initialize_layers(self.layers)

    def forward(self, tokens_BT: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """The state at each token, [B, T, width]; what stands at padding means nothing.

        Args:
            tokens_BT: Padded on the right.
            lengths_B: How many of each row are no padding; None = all. A causal network needs no
                lengths: no token sees the padding behind it.
        """
        mask_TT = causal_mask(tokens_BT) if self.causal else None
        padding_BT = None if self.causal or lengths_B is None else is_padding(tokens_BT, lengths_B)
        return self.layers(
            self.embed(tokens_BT),
            mask=mask_TT,
            src_key_padding_mask=padding_BT,
            is_causal=self.causal,
        )


class EncoderDecoderTransformer(nn.Module):
    """A transformer that answers a sequence by a sequence; both have one embedding.

    Args:
        embedding: Of the tokens; its width is the network's.
        layers: Of the encoder, and as many of the decoder.
        heads: Attention heads of each layer; must divide the width.
        feedforward: Inner width of each layer's feed-forward network.
        max_tokens: The longest sequence that is taken.
        dropout: Of the embedded tokens, the attention weights and the residual branches.
        positions: How tokens are told where they stand.
        position_scale: What positions are multiplied by.
        norm_first: Whether norms stand inside the residual branches.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        *,
        layers: int,
        heads: int,
        feedforward: int,
        max_tokens: int,
        dropout: float = 0.0,
        positions: Positions = "sinusoidal",
        position_scale: float = 1.0,
        norm_first: bool = True,
    ):
        super().__init__()
        self.encoder = Transformer(
            embedding,
            layers=layers,
            heads=heads,
            feedforward=feedforward,
            max_tokens=max_tokens,
            dropout=dropout,
            positions=positions,
            position_scale=position_scale,
            norm_first=norm_first,
        )
        width = embedding.embedding_dim
        layer = nn.TransformerDecoderLayer(
            width, heads, feedforward, dropout, batch_first=True, norm_first=norm_first
        )
        self.decoder = nn.TransformerDecoder(
            layer, layers, norm=nn.LayerNorm(width) if norm_first else None
        )
        initialize_layers(self.decoder)
        self.head = nn.Linear(width, embedding.num_embeddings)

    def forward(self, source_BS: Tensor, source_lengths_B: Tensor, target_BT: Tensor) -> Tensor:
        """Logits of the token that follows each of the target, which begins with a start token.

        [B, T, V].
        """
        return self.decode(target_BT, self.encode(source_BS, source_lengths_B))

    def encode(self, source_BS: Tensor, source_lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder sees of the source: states [B, S, D], and which are padding, [B, S]."""
        return self.encoder(source_BS, source_lengths_B), is_padding(source_BS, source_lengths_B)

    def decode(self, target_BT: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        """Logits of the token that follows each of the target, [B, T, V].

        Padding on the target's right changes none before it.
        """
        memory_BSD, padding_BS = memory
        states_BTD = self.decoder(
            self.encoder.embed(target_BT),
            memory_BSD,
            tgt_mask=causal_mask(target_BT),
            tgt_is_causal=True,
            memory_key_padding_mask=padding_BS,
        )
        return self.head(states_BTD)


def initialize_layers(layers: nn.Module) -> None:
    """Draw all matrices as `nn.Transformer` does: PyTorch's stacks begin as copies of one layer."""
    for parameter in layers.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)


class PositionedEmbedding(nn.Module):
    """Embedded tokens plus `scale` times where they stand, with dropout."""

    def __init__(
        self,
        embedding: nn.Embedding,
        *,
        max_tokens: int,
        positions: Positions,
        scale: float,
        dropout: float,
    ):
        super().__init__()
        self.embedding, self.dropout = embedding, nn.Dropout(dropout)
        self.max_tokens, self.scale = max_tokens, scale
        width = embedding.embedding_dim
        self.positions_TD: Tensor | None
        if positions == "learned":
            self.positions_TD = nn.Parameter(torch.randn(max_tokens, width))
        else:
            fixed_TD = sinusoidal_positions(max_tokens, width) if positions != "none" else None
            self.register_buffer("positions_TD", fixed_TD, persistent=False)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """[B, T, D]."""
        embedded_BTD, tokens = self.embedding(tokens_BT), tokens_BT.shape[1]
        if tokens > self.max_tokens:
            rule = f"a sequence must not have more than max_tokens={self.max_tokens} tokens"
            raise ValueError(f"{rule}, got {tokens}")
        if self.positions_TD is not None:
            embedded_BTD = embedded_BTD + self.scale * self.positions_TD[:tokens]
        return self.dropout(embedded_BTD)


def sinusoidal_positions(tokens: int, width: int) -> Tensor:
    """Sines and cosines in turn, [T, D]; wavelengths 2 pi to 20,000 pi (section 3.5)."""
    rates_K = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles_TK = torch.arange(tokens)[:, None] * rates_K
    return torch.stack([angles_TK.sin(), angles_TK.cos()], dim=-1).flatten(1)[:, :width]


def causal_mask(tokens_BT: Tensor) -> Tensor:
    """True where a token (row) may not see another (column), because it comes later: [T, T]."""
    tokens = tokens_BT.shape[1]
    return torch.ones(tokens, tokens, dtype=torch.bool, device=tokens_BT.device).triu(1)


def is_padding(tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """True behind each row's end, [B, T]."""
    places_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
    return places_T >= lengths_B.to(tokens_BT.device)[:, None]
