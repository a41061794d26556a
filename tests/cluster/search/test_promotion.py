"""Proves that promotion freezes at rungs, promotes whom the paper's rule does, and bounds them.

pytest tests/cluster/search/test_promotion.py
"""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.search.promotion import Promotion
from cluster.search.scheduler import Decision
from search_spaces import Objective

SCORE = Objective(name="score", direction="maximize")
BOTH = Objective(
    name="score", direction="maximize", second=Objective(name="size", direction="minimize")
)


def promotion(*, reduction: int = 3, objective: Objective = SCORE) -> Promotion:
    return Promotion(rungs=[1, 3, 9], reduction=reduction, objective=objective, max_epochs=27)


def with_first_rung(values: list[float], *, reduction: int = 3) -> Promotion:
    rule = promotion(reduction=reduction)
    for number, value in enumerate(values):
        rule.record(number, 1, value)
    return rule


def promoted_one_by_one(rule: Promotion, frozen: dict[int, int]) -> list[int]:
    """Whom it thaws, each having passed before the next is asked for."""
    frozen, thawed = dict(frozen), []
    while (number := rule.thaw(frozen)) is not None:
        rule.passed(number, frozen.pop(number))
        thawed.append(number)
    return thawed


@settings(deadline=None)
@given(values=st.lists(st.integers(-5, 5).map(float), max_size=30), reduction=st.integers(2, 5))
def test_the_best_of_a_rung_are_promoted_and_no_more(values: list[float], reduction: int) -> None:
    rule = with_first_rung(values, reduction=reduction)
    frozen = dict.fromkeys(range(len(values)), 1)
    by_value = sorted(frozen, key=lambda number: (-values[number], number))
    assert promoted_one_by_one(rule, frozen) == by_value[: len(values) // reduction]


def test_between_rungs_everyone_goes_on_and_at_a_rung_nobody_does() -> None:
    rule = promotion()
    decided = [rule.decide(0, epoch) for epoch in (1, 2, 3, 4)]
    assert [decision is Decision.FREEZE for decision in decided] == [True, False, True, False]
    assert rule.decide(0, 5, after=2) is Decision.FREEZE, "at the first report beyond a rung"


def test_higher_rungs_come_first() -> None:
    rule = with_first_rung([9.0, 8.0, 7.0, 6.0, 5.0, 4.0])
    for number in (0, 1, 2):
        rule.passed(number, 1)
        rule.record(number, 3, float(number))
    frozen = {0: 3, 1: 3, 2: 3, 3: 1, 4: 1, 5: 1}
    assert rule.thaw(frozen) == 2


def test_a_late_better_trial_takes_the_next_place_and_not_an_additional_one() -> None:
    rule = with_first_rung([0.1, 0.2, 0.3])
    rule.passed(2, 1)
    for number, value in enumerate([0.9, 0.8], start=3):
        rule.record(number, 1, value)
        assert rule.thaw({0: 1, 1: 1, 3: 1, 4: 1}) is None, "one of five has gone on already"
    rule.record(5, 1, 0.0)
    assert rule.thaw({0: 1, 1: 1, 3: 1, 4: 1, 5: 1}) == 3


def test_whoever_skips_a_rung_has_passed_it() -> None:
    rule = promotion()
    for number in range(3):
        rule.record(number, 4, float(number), after=0)
    assert rule.rungs[1].keys() == rule.rungs[3].keys() == {0, 1, 2}
    assert promoted_one_by_one(rule, {0: 4, 1: 4, 2: 4}) == [2]


def test_a_small_search_trains_the_best_to_the_end_when_nothing_else_is_left() -> None:
    rule = with_first_rung([0.1, 0.2])
    frozen = {0: 1, 1: 1}
    assert rule.thaw(frozen) is None
    assert rule.thaw(frozen, closing=True) == 1
    rule.record(1, 27, 0.5, after=1)
    assert rule.thaw({0: 1}, closing=True) is None


def test_what_is_not_finite_is_never_promoted_nor_compared_with() -> None:
    rule = with_first_rung([math.nan, 0.1, math.inf, 0.2, 0.3])
    assert promoted_one_by_one(rule, dict.fromkeys(range(5), 1)) == [4]


def test_of_two_objectives_those_that_fewer_dominate_are_promoted() -> None:
    rule = promotion(objective=BOTH)
    for number, (score, size) in enumerate([(1.0, 9.0), (3.0, 3.0), (2.0, 4.0)]):
        rule.record(number, 1, score, size)
    assert promoted_one_by_one(rule, {0: 1, 1: 1, 2: 1}) == [1]


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=25),
    shown=st.integers(0, 25),
    reduction=st.integers(2, 4),
)
def test_whoever_is_out_of_reach_would_never_have_been_thawed(
    values: list[float], shown: int, reduction: int
) -> None:
    shown = min(shown, len(values))
    rule = with_first_rung(values[:shown], reduction=reduction)
    frozen = dict.fromkeys(range(shown), 1)
    promoted_one_by_one(rule, frozen)
    frozen = {number: 1 for number in frozen if rule._passed.get(number, 0) < 1}
    lost = rule.out_of_reach(frozen, set(), newcomers=len(values) - shown)
    for number in range(shown, len(values)):
        rule.record(number, 1, values[number])
    thawed = promoted_one_by_one(rule, frozen | dict.fromkeys(range(shown, len(values)), 1))
    assert not {*lost} & {*thawed}


def test_only_as_many_are_kept_as_could_ever_be_promoted() -> None:
    rule = with_first_rung([float(number) for number in range(90)])
    frozen = dict.fromkeys(range(90), 1)
    assert len(frozen) - len(rule.out_of_reach(frozen, set(), newcomers=0)) == 30
    assert len(frozen) - len(rule.out_of_reach(frozen, {90, 91, 92}, newcomers=6)) == 33
