"""Sequences that a model writes by itself, token by token, from what it wrote so far.

Shapes: B batch, T tokens, S source tokens, V vocabulary.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainables.parts.text import END_ID, PAD_ID, START_ID


class EncoderDecoder(Protocol):
    """A model that answers a sequence by a sequence: `EncoderDecoderTransformer`, say."""

    def encode(self, source_BS: Tensor, source_lengths_B: Tensor, /) -> Any:
        """Whatever the decoder needs of the source."""

    def decode(self, target_BT: Tensor, memory: Any, /) -> Tensor:
        """Logits of the token that follows each of the target, [B, T, V]."""


def generate(
    model: nn.Module,
    prompt_BT: Tensor,
    *,
    steps: int,
    end: int | None = None,
    context: int | None = None,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Rows of tokens and what a causal language model adds to them, [B, at most T + steps].

    Args:
        model: Gives the logits [B, T, V] of the token that follows each.
        prompt_BT: What the rows begin with, without padding.
        steps: How many tokens are added at most.
        end: A row ends with this token, and is padded from there; None = all rows are of full
            length.
        context: How many of the last tokens the model sees; None = all.
        temperature: 0 = the likeliest token each time; else one is drawn by the softmax of logits /
            temperature (below 1: likely ones more often).
        generator: Of the model's device, to draw with.
    """
    device = next(model.parameters()).device

    def next_logits(written_BT: Tensor) -> Tensor:
        seen_BT = written_BT if context is None else written_BT[:, -context:]
        return model(seen_BT)[:, -1]

    with evaluating(model):
        return _written(next_logits, prompt_BT.to(device), steps, end, temperature, generator)


def answer(model: nn.Module, source_BS: Tensor, source_lengths_B: Tensor, *, steps: int) -> Tensor:
    """What an `EncoderDecoder` answers to each source, the likeliest token each time.

    [B, at most `steps` tokens].

    A row ends with the end token, and is padded from there; the start token is not among its
    tokens.
    """
    device = next(model.parameters()).device
    encoder_decoder: EncoderDecoder = model  # type: ignore[assignment]
    with evaluating(model):
        memory = encoder_decoder.encode(source_BS.to(device), source_lengths_B.to(device))
        start_B1 = torch.full((len(source_BS), 1), START_ID, device=device)
        written_BT = _written(
            lambda written_BT: encoder_decoder.decode(written_BT, memory)[:, -1],
            start_B1,
            steps,
            END_ID,
        )
    return written_BT[:, 1:]


def _written(
    next_logits: Callable[[Tensor], Tensor],
    tokens_BT: Tensor,
    steps: int,
    end: int | None,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    ended_B = torch.zeros(len(tokens_BT), dtype=torch.bool, device=tokens_BT.device)
    for _ in range(steps):
        next_B = _chosen(next_logits(tokens_BT).float(), temperature, generator)
        next_B = next_B.masked_fill(ended_B, PAD_ID)
        tokens_BT = torch.cat([tokens_BT, next_B[:, None]], dim=1)
        if end is not None:
            ended_B |= next_B == end
            if ended_B.all():
                break
    return tokens_BT


def _chosen(logits_BV: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature == 0:
        return logits_BV.argmax(-1)
    return torch.multinomial((logits_BV / temperature).softmax(-1), 1, generator=generator)[:, 0]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A model in evaluation mode, without gradients; then each module is in its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
