"""Proves that a method is judged against those that take no longer, by models that are made so.

pytest tests/benchmarks/test_factorizers.py
"""

import pytest

from benchmarks import factorizers
from benchmarks.factorizers import (
    LEARNED,
    RANDOMIZED,
    REFERENCES,
    Figures,
    Problem,
    figures,
    lines,
    network,
    verdict,
)

TINY = Problem(
    {"data.width": 8, "data.batch_size": 32, "model.rank": 2, "model.width": 8, "model.heads": 2}
)
FAST, GOOD = Figures("fast", [0.3, 0.5], 1.0), Figures("good", [0.1], 2.0)


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long they take isn't looked at here."""
    monkeypatch.setattr(factorizers, "TIMED_ROUNDS", 1)


@pytest.mark.parametrize(
    ("gap", "ms", "expected"),
    [
        (0.2, 1.0, "beats fast (0.2000 in 1.000 ms, 0.4000 in 1.000 ms)"),
        (0.2, 0.96, "beats fast"),
        (0.45, 1.9, "does not beat fast"),
        (0.2, 1.91, "does not beat good"),
        (0.05, 9.0, "beats good"),
        (0.9, 0.9, "faster than every randomized SVD"),
    ],
)
def test_the_rival_is_the_best_that_takes_no_longer(gap: float, ms: float, expected: str) -> None:
    assert f"mine: {expected}" in verdict(Figures("mine", [gap], ms), [FAST, GOOD])


def test_references_are_between_nothing_and_the_svd() -> None:
    by_name = {each.method: each for each in figures(REFERENCES, TINY, seeds=2)}
    assert by_name.keys() == {"untrained", "randomized SVD"}
    for each in by_name.values():
        assert 0 <= min(each.gaps) < max(each.gaps) < 0.2
        assert each.ms > 0


def test_a_network_is_that_of_its_best_epoch() -> None:
    values = {"optim.lr": 1e-2, "model.layers": 0, "model.query_layers": 0}
    (one,) = figures({"network": lambda p, s: network(values, 2, p, s)}, TINY, seeds=1)
    (again,) = figures({"network": lambda p, s: network(values, 2, p, s)}, TINY, seeds=1)
    assert one.gaps == again.gaps


def test_the_table_has_a_line_for_each_method_and_a_verdict_for_those_that_learn() -> None:
    name = "one basis for all"
    shown = list(lines(TINY, {name: LEARNED[name]}, seeds=1))
    assert sum(line.startswith("| ") for line in shown) == 2 + len(RANDOMIZED) + 2
    assert shown[-1].startswith(f"{name}: ")
