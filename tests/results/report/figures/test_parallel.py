"""Proves that ranks are coloured once: pytest tests/results/report/figures/test_parallel.py."""

import pytest

from results.report.figures.parallel import bands


@pytest.mark.parametrize("count", [1, 2, 5, 24, 101, 1000])
def test_every_rank_has_one_colour(count: int) -> None:
    ranks = [rank for first, last in bands(count) for rank in range(first, last + 1)]
    assert ranks == list(range(1, count + 1))
