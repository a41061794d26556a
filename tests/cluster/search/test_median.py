"""Proves that the median rule stops whom Vizier's rule stops.

pytest tests/cluster/search/test_median.py
"""

import math
from statistics import mean, median

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.search.median import LEAST_OTHERS, MedianStopping
from cluster.search.scheduler import Decision
from search_spaces import Objective

LOSS = Objective(name="loss", direction="minimize")
CURVES = st.lists(
    st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=6), min_size=1, max_size=8
)


def rule_after(curves: list[list[float]], grace: int = 1) -> MedianStopping:
    rule = MedianStopping(grace_epochs=grace, objective=LOSS)
    for number, curve in enumerate(curves):
        for epoch, value in enumerate(curve, start=1):
            rule.record(number, epoch, value)
    return rule


@settings(max_examples=200, deadline=None)
@given(curves=CURVES)
def test_the_rule_is_that_of_the_paper(curves: list[list[float]]) -> None:
    *others, mine = curves
    epoch = len(mine)
    averages = [mean(other[:epoch]) for other in others if len(other) >= epoch]
    stops = len(averages) >= LEAST_OTHERS and min(mine) > median(averages) + 1e-12
    decision = rule_after(curves).decide(len(others), epoch)
    if not averages or abs(min(mine) - median(averages)) > 1e-9:
        assert decision is (Decision.STOP if stops else Decision.GO_ON)


def test_a_poor_trial_has_its_grace() -> None:
    curves = [[1.0, 1.0, 1.0]] * 4 + [[5.0, 5.0, 5.0]]
    rule = rule_after(curves, grace=3)
    decided = [rule.decide(4, epoch) for epoch in (1, 2, 3)]
    assert decided == [Decision.GO_ON, Decision.GO_ON, Decision.STOP]


def test_what_is_not_finite_is_not_compared_with() -> None:
    rule = rule_after([[1.0], [1.0], [1.0], [math.nan], [math.inf], [1.0]])
    assert rule.decide(5, 1) is Decision.GO_ON


def test_reports_now_and_then_count_by_what_they_said_last() -> None:
    rule = MedianStopping(grace_epochs=1, objective=LOSS)
    for number in range(3):
        rule.record(number, 2, 4.0, after=0)
        rule.record(number, 4, 2.0, after=2)
    rule.record(3, 3, 3.5, after=0)
    assert rule.decide(3, 3) is Decision.GO_ON
    rule.record(3, 4, 3.5, after=3)
    assert rule.decide(3, 4) is Decision.STOP
