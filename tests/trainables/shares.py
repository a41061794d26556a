"""A loss as workers come to it, each of whom sees its own share of a batch, in one process."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from trainables.parts.whole_batch import summed_by


def loss_of_shares(loss: Callable[..., Tensor], *shares: tuple[Any, ...]) -> list[float]:
    """What each worker of these shares has for its loss, which adds up once."""
    parts: list[Tensor] = []

    def noted(own: Tensor) -> Tensor:
        parts.append(own.detach())
        return own

    for share in shares:
        with summed_by(noted):
            loss(*share)
    assert len(parts) == len(shares), "the loss must add up once"
    total = sum(parts[1:], parts[0])
    with summed_by(lambda own: total):
        return [float(loss(*share)) for share in shares]
