"""Proves that tallies equal references: pytest tests/trainables/parts/test_tally.py."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from torch import Tensor

from trainables.parts.tally import ExactMatchTally, LossTally, RegressionTally, TokenTally
from trainables.parts.text import padded

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


def numbers(mean: float = 3.0) -> tuple[Tensor, Tensor]:
    targets_NO = mean + torch.randn(50, 2, generator=drawn()).double()
    return targets_NO + 0.5 * torch.randn(50, 2, generator=drawn(1)), targets_NO


def regression_tally(rows: slice, mean: float = 3.0) -> RegressionTally:
    tally, (predicted_NO, targets_NO) = RegressionTally(), numbers(mean)
    for predicted, targets in zip(
        predicted_NO[rows].split(7), targets_NO[rows].split(7), strict=True
    ):
        tally.update(predicted, targets)
    return tally


def sequences() -> tuple[list[list[int]], list[list[int]]]:
    """Predicted and true ones without padding; most are nearly right."""
    true = [[*torch.randint(1, 4, (1 + i % 5,), generator=drawn(i)).tolist(), 9] for i in range(40)]
    predicted = [list(row) for row in true]
    for i, row in enumerate(predicted):
        if i % 3 == 0:
            row[i % len(row)] = 7
        if i % 4 == 0:
            row.pop()
        if i % 5 == 0:
            row.append(2)  # behind the end: of no account, unless something else is wrong
    return predicted, true


def exact_tally(rows: slice) -> ExactMatchTally:
    tally, (predicted, true) = ExactMatchTally(), sequences()
    for start in range(0, 40, 6):
        part = range(40)[rows]
        chosen = [i for i in range(start, min(start + 6, 40)) if i in part]
        if chosen:
            tensors = (padded([torch.tensor(s[i]) for i in chosen])[0] for s in (predicted, true))
            tally.update(*tensors)
    return tally


TALLIES: dict[str, Callable[[slice], Any]] = {
    "loss": loss_tally,
    "tokens": token_tally,
    "regression": regression_tally,
    "exact match": exact_tally,
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


@pytest.mark.parametrize("mean", [0.0, 3.0, 1e6])
def test_regression_equals_scikit_learn_also_far_from_0(mean: float) -> None:
    predicted, targets = (values.flatten().numpy() for values in numbers(mean))
    assert regression_tally(slice(None), mean).compute() == pytest.approx(
        {
            "mse": mean_squared_error(targets, predicted),
            "mae": mean_absolute_error(targets, predicted),
            "r2": r2_score(targets, predicted),
        }
    )


def test_targets_that_do_not_vary_have_no_r2() -> None:
    tally = RegressionTally()
    tally.update(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]))
    assert tally.compute() == pytest.approx({"mse": 0.5, "mae": 0.5, "r2": math.nan}, nan_ok=True)


def test_a_column_against_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \[4\] and \[4, 1\]"):
        RegressionTally().update(torch.zeros(4), torch.zeros(4, 1))


def test_exact_match_equals_a_comparison_of_lists() -> None:
    predicted, true = sequences()
    rights = [
        [i < len(guess) and guess[i] == token for i, token in enumerate(row)]
        for guess, row in zip(predicted, true, strict=True)
    ]
    assert exact_tally(slice(None)).compute() == pytest.approx(
        {
            "exact_match": sum(map(all, rights)) / len(rights),
            "token_accuracy": sum(map(sum, rights)) / sum(map(len, rights)),
        }
    )
    assert 0.1 < sum(map(all, rights)) / len(rights) < 0.9
