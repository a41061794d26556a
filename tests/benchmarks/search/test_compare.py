"""The comparison of searches over problems.

pytest tests/benchmarks/search/test_compare.py
"""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from benchmarks.search.compare import comparisons, draw, regrets
from benchmarks.search.references import kept
from benchmarks.search.rows import FRACTIONS, Row

SETTING = (4, 20, "epochs")
PROBLEMS = sorted(kept())[:8]


def row(method: str, problem: str, seed: int, end: float, workers: int = 4) -> Row:
    """Regret falls from 1 to its end in the middle of the budget."""
    reference = kept()[problem]
    shares = [1.0] * (FRACTIONS // 2) + [end] * (FRACTIONS - FRACTIONS // 2)
    losses = [reference.best + share * (reference.median - reference.best) for share in shares]
    return Row(method, problem, seed, workers, 20, "epochs", losses, 9, 1, None, 0.1)


@pytest.fixture
def rows() -> list[Row]:
    """Ours is twice as good on each problem but the first, where it is twice as bad."""
    ends = np.linspace(0.2, 0.5, len(PROBLEMS))
    made = []
    for i, (problem, end) in enumerate(zip(PROBLEMS, ends, strict=True)):
        for seed, noise in enumerate((-0.02, 0.02)):
            made.append(row("theirs", problem, seed, end + noise))
            made.append(row("ours", problem, seed, end * (2 if i == 0 else 0.5) + noise))
    return [*made, row("ours", PROBLEMS[0], 0, 0.0, workers=64)]


def test_regrets_are_the_means_of_seeds_in_one_setting(rows: list[Row]) -> None:
    found = regrets(rows, SETTING)

    assert found["theirs"][PROBLEMS[0]] == pytest.approx([1.0] * 20 + [0.2] * 20)
    assert found["ours"][PROBLEMS[0]][-1] == pytest.approx(0.4)


def test_the_comparison_is_by_problems(rows: list[Row]) -> None:
    (found,) = comparisons(regrets(rows, SETTING), "ours")
    theirs = np.linspace(0.2, 0.5, len(PROBLEMS))
    ours = theirs * [2, *[0.5] * (len(PROBLEMS) - 1)]

    assert (found.method, found.problems, found.wins) == ("theirs", 8, 7)
    assert found.ratio == pytest.approx(ours.mean() / theirs.mean())
    assert found.p == pytest.approx(wilcoxon(ours, theirs).pvalue)


def test_the_same_rows_draw_the_same_figure(rows: list[Row], tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        draw(regrets(rows, SETTING), tmp_path / name)

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
