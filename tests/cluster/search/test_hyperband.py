"""Proves that Hyperband's brackets get about the same number of epochs, each by its own rungs.

pytest tests/cluster/search/test_hyperband.py
"""

from collections import Counter

from cluster.search.hyperband import Hyperband, bracket_sizes, spread
from cluster.search.scheduler import Decision
from search_spaces import Objective

SCORE = Objective(name="score", direction="maximize")


def hyperband() -> Hyperband:
    return Hyperband(rungs=[1, 3, 9], reduction=3, objective=SCORE, max_epochs=27)


def test_the_sizes_are_those_of_the_papers_table() -> None:
    # Li et al. 2018, section 3: n_i for R = 81 and eta = 3.
    assert bracket_sizes(5, 3) == [81, 34, 15, 8, 5]


def test_trials_are_spread_evenly_over_a_round() -> None:
    sizes = bracket_sizes(4, 3)
    turns = spread(sizes)
    assert Counter(turns) == dict(enumerate(sizes))
    for size, bracket in zip(sizes, range(4), strict=True):
        for seen in range(1, len(turns)):
            due = size * seen / len(turns)
            assert abs(turns[:seen].count(bracket) - due) <= 1.5


def test_a_later_bracket_has_fewer_rungs_and_the_last_one_none() -> None:
    rule = hyperband()
    assert [list(bracket.rungs) for bracket in rule.brackets] == [[1, 3, 9], [3, 9], [9], []]
    frozen_at = {
        tuple(e for e in (1, 3, 9) if rule.decide(number, e) is Decision.FREEZE)
        for number in range(60)
    }
    assert frozen_at == {(1, 3, 9), (3, 9), (9,), ()}


def test_trials_are_compared_within_their_bracket_alone() -> None:
    rule = hyperband()
    most_halved, later = (
        [number for number in range(60) if rule.bracket(number) is rule.brackets[index]]
        for index in (0, 1)
    )
    for value, number in enumerate(most_halved[:3]):
        rule.record(number, 1, float(value))
    for number in later[:3]:
        rule.record(number, 3, 100.0, after=2)
    frozen = dict.fromkeys(most_halved[:3], 1)
    assert rule.thaw(frozen) == most_halved[2]
    frozen |= dict.fromkeys(later[:3], 3)
    assert rule.thaw(frozen) == later[0], "the one that came furthest"
    rule.passed(later[0], 3)
    del frozen[later[0]]
    assert rule.thaw(frozen) == most_halved[2]
