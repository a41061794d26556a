"""Proves that the rank correlation is Spearman's: pytest tests/results/report/test_agreement.py."""

import numpy as np
import pytest

from results.report.agreement import rank_correlation


def test_rank_correlation_is_that_of_the_ranks() -> None:
    generator = np.random.default_rng(0)
    pairs = [(float(a), float(a + b)) for a, b in generator.normal(size=(30, 2))]
    ranks = np.argsort(np.argsort(np.array(pairs), axis=0), axis=0) + 1
    squares = int(((ranks[:, 0] - ranks[:, 1]) ** 2).sum())
    assert rank_correlation(pairs) == pytest.approx(1 - 6 * squares / (30 * (30**2 - 1))), (
        "Spearman's formula"
    )
    assert rank_correlation([(1, 2), (1, 3)]) is None
