"""Proves that values share out the unit interval: pytest tests/search_spaces/test_unit.py."""

from collections import Counter

import numpy as np
import pytest

from search_spaces import Parameter
from search_spaces.unit import place_of, value_at

PLACES = (np.arange(1200) + 0.5) / 1200
DISCRETE = [
    Parameter(name="p", kind="choice", choices=("a", True, None)),
    Parameter(name="p", kind="int", low=3, high=8),
    Parameter(name="p", kind="int", low=0, high=9, step=3),
    Parameter(name="p", kind="float", low=0.1, high=0.5, step=0.1),
]


@pytest.mark.parametrize("parameter", DISCRETE)
def test_discrete_values_have_equal_shares(parameter: Parameter) -> None:
    shares = Counter(value_at(parameter, place) for place in PLACES)
    assert len(set(shares.values())) == 1
    for value in shares:
        assert value_at(parameter, place_of(parameter, value)) == value
        assert parameter.problem_with(value) is None


@pytest.mark.parametrize("log", [False, True])
def test_a_range_is_even_in_its_numbers_or_in_their_logarithms(log: bool) -> None:
    parameter = Parameter(name="p", kind="float", low=1e-4, high=1, log=log)
    middle = 1e-2 if log else (1 + 1e-4) / 2
    assert [value_at(parameter, place) for place in (0, 1)] == pytest.approx([1e-4, 1])
    assert value_at(parameter, 0.5) == pytest.approx(middle)
    assert place_of(parameter, middle) == pytest.approx(0.5)


def test_whole_numbers_on_a_logarithmic_scale_reach_both_ends() -> None:
    parameter = Parameter(name="p", kind="int", low=1, high=64, log=True)
    values = [value_at(parameter, place) for place in PLACES]
    assert (values[0], values[-1]) == (1, 64)
    assert sum(value <= 5 for value in values) == pytest.approx(600, abs=20)
    assert all(value_at(parameter, place_of(parameter, v)) == v for v in range(1, 65))
