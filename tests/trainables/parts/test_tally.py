"""Proves that tallies equal references: pytest tests/trainables/parts/test_tally.py."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.parts.tally import LossTally, TokenTally

IGNORED = -100


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(rows: int = 30) -> tuple[Tensor, Tensor]:
    """Logits and targets, of which some are ignored; a whole row is."""
    logits_BTV = 2 * torch.randn(rows, 7, 5, generator=drawn())
    targets_BT = torch.randint(5, (rows, 7), generator=drawn(1))
    targets_BT[torch.rand(rows, 7, generator=drawn(2)) < 0.3] = IGNORED
    targets_BT[4] = IGNORED
    return logits_BTV, targets_BT


def loss_tally(rows: slice) -> LossTally:
    tally = LossTally()
    for loss, count in [(0.5, 64), (1.25, 64), (4.0, 3)][rows]:
        tally.update(torch.tensor(loss), count)
    return tally


def token_tally(rows: slice) -> TokenTally:
    tally, (logits_BTV, targets_BT) = TokenTally(), tokens()
    for logits, targets in zip(logits_BTV[rows].split(4), targets_BT[rows].split(4), strict=True):
        tally.update(logits, targets)
    return tally


TALLIES: dict[str, Callable[[slice], Any]] = {
    "loss": loss_tally,
    "tokens": token_tally,
}


@pytest.mark.parametrize("tally", TALLIES.values(), ids=TALLIES)
def test_parts_that_travelled_make_up_the_whole(tally: Callable[[slice], Any]) -> None:
    merged = pickle.loads(pickle.dumps(tally(slice(0, 0))))
    for part in (slice(0, 2), slice(2, 3), slice(3, None)):
        merged.merge(pickle.loads(pickle.dumps(tally(part))))
    assert merged.compute() == pytest.approx(tally(slice(None)).compute())
    assert merged.details() == tally(slice(None)).details()


@pytest.mark.parametrize("tally", TALLIES.values(), ids=TALLIES)
def test_an_empty_tally_gives_nan(tally: Callable[[slice], Any]) -> None:
    metrics = tally(slice(0, 0)).compute()
    assert metrics and all(math.isnan(value) for value in metrics.values())


def test_a_loss_is_a_mean_over_predictions_in_nats_and_in_bits() -> None:
    loss = (0.5 * 64 + 1.25 * 64 + 4.0 * 3) / 131
    assert loss_tally(slice(None)).compute() == pytest.approx(
        {"loss": loss, "bits": loss / math.log(2)}
    )


def test_guessing_among_32_symbols_takes_five_bits() -> None:
    tally = TokenTally()
    tally.update(torch.zeros(3, 4, 32), torch.randint(32, (3, 4)))
    assert tally.compute()["bits"] == pytest.approx(5)


def test_tokens_equal_pytorchs_cross_entropy_and_a_count() -> None:
    logits_BTV, targets_BT = tokens()
    metrics = token_tally(slice(None)).compute()
    expected = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORED)
    assert metrics["loss"] == pytest.approx(float(expected))
    pairs = list(zip(logits_BTV.flatten(0, 1).tolist(), targets_BT.flatten().tolist(), strict=True))
    right = [scores.index(max(scores)) == target for scores, target in pairs if target != IGNORED]
    assert metrics["accuracy"] == pytest.approx(sum(right) / len(right))
