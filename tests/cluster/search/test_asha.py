"""Proves that ASHA stops whom the paper's rule stops, in any order of arrival.

pytest tests/cluster/search/test_asha.py
"""

import math
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.search.asha import Asha
from cluster.search.scheduler import Decision
from search_spaces import Objective
from search_spaces.rungs import rung_epochs

VALUES = st.one_of(
    st.floats(), st.integers(-3, 3).map(float), st.just(math.nan)
)  # Small integers make ties.
REDUCTIONS = st.integers(2, 5)


def asha(
    *, reduction: int = 3, direction: Literal["maximize", "minimize"] = "maximize", rung: int = 1
) -> Asha:
    return Asha(
        rungs=[rung], reduction=reduction, objective=Objective(name="score", direction=direction)
    )


def decisions(rule: Asha, values: list[float]) -> list[bool]:
    """Trials 0, 1, ... reach the rung at epoch 1 in this order."""
    decided = []
    for number, value in enumerate(values):
        rule.record(number, 1, value)
        decided.append(rule.decide(number, 1) is Decision.GO_ON)
    return decided


def by_brute_force(values: list[float], reduction: int) -> list[bool]:
    """Sort all finite values so far; the newest goes on if it is among the best 1/reduction."""
    decided = []
    for arrived in range(1, len(values) + 1):
        finite = sorted((value for value in values[:arrived] if math.isfinite(value)), reverse=True)
        best = finite[: max(1, len(finite) // reduction)]
        newest = values[arrived - 1]
        decided.append(math.isfinite(newest) and newest >= best[-1])
    return decided


@pytest.mark.parametrize(
    ("grace", "reduction", "max_epochs", "rungs"),
    [
        (1, 3, 18, [1, 3, 9]),
        (1, 3, 27, [1, 3, 9]),
        (1, 3, 28, [1, 3, 9, 27]),
        (2, 2, 16, [2, 4, 8]),
        (5, 4, 81, [5, 20, 80]),
        (1, 3, 1, []),
        (4, 3, 4, []),
        (9, 3, 4, []),
    ],
)
def test_rungs_are_grace_times_powers_of_the_reduction_below_the_budget(
    grace: int, reduction: int, max_epochs: int, rungs: list[int]
) -> None:
    assert rung_epochs(grace_epochs=grace, reduction=reduction, max_epochs=max_epochs) == rungs


@settings(max_examples=300, deadline=None)
@given(values=st.lists(VALUES, max_size=30), reduction=REDUCTIONS)
def test_the_rule_is_that_of_a_sorted_list(values: list[float], reduction: int) -> None:
    assert decisions(asha(reduction=reduction), values) == by_brute_force(values, reduction)


@settings(deadline=None)
@given(values=st.lists(VALUES, max_size=30), reduction=REDUCTIONS)
def test_minimizing_mirrors_maximizing(values: list[float], reduction: int) -> None:
    mirrored = decisions(
        asha(reduction=reduction, direction="minimize"), [-value for value in values]
    )
    assert decisions(asha(reduction=reduction), values) == mirrored


@settings(deadline=None)
@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20), data=st.data()
)
def test_values_that_are_not_finite_never_go_on_and_never_count(
    values: list[float], data: st.DataObject
) -> None:
    mixed: list[float] = []
    for value in values:
        mixed += data.draw(st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), max_size=2))
        mixed.append(value)
    decided = decisions(asha(), mixed)
    assert not any(
        goes_on for goes_on, value in zip(decided, mixed, strict=True) if not math.isfinite(value)
    )
    finite = [
        goes_on for goes_on, value in zip(decided, mixed, strict=True) if math.isfinite(value)
    ]
    assert finite == decisions(asha(), values)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_the_first_arrival_goes_on(value: float) -> None:
    assert decisions(asha(), [value]) == [True]


def test_the_best_so_far_goes_on_and_a_worse_one_stops() -> None:
    assert decisions(asha(), [0.5, 0.4, 0.6, 0.55, 0.7]) == [True, False, True, False, True]


def test_ties_go_on_together() -> None:
    assert decisions(asha(), [0.5, 0.5, 0.5]) == [True, True, True]


def test_between_rungs_everyone_goes_on() -> None:
    rule = asha(rung=3)
    rule.record(0, 3, 1.0)
    rule.record(1, 2, -1.0)
    assert rule.decide(1, 2) is Decision.GO_ON
    assert rule.rungs == {3: {0: (1.0,)}}


@given(order=st.permutations(range(6)))
def test_recording_again_changes_nothing(order: list[int]) -> None:
    rule = asha()
    for number in order:
        rule.record(number, 1, float(number))
    before = {epoch: dict(values) for epoch, values in rule.rungs.items()}
    for number in reversed(order):
        rule.record(number, 1, float(number))
    assert rule.rungs == before
