"""Proves that a grid has every configuration once: pytest tests/search_spaces/test_grid.py."""

from itertools import product
from typing import Any

import pytest

from search_spaces import Space, SpaceError, space_from_mapping
from search_spaces.grid import MOST_POINTS, grid_points

RATE = {"float": [0.1, 0.4], "step": 0.1}
SIZE = {"int": [2, 8], "step": 3}
KIND = {"choice": ["a", "b"]}


def grid_space(trials: int = 1, **parameters: Any) -> Space:
    mapping = {
        "task": "any:function",
        "objective": {"minimize": "loss"},
        "parameters": parameters,
        "search": {"sampler": "grid"},
        "budget": {"trials": trials, "max_epochs": 1},
    }
    return space_from_mapping(mapping, name="s", file="s.yaml")


def test_it_is_the_product_of_all_values_as_decimals() -> None:
    points = grid_points(grid_space(rate=RATE, size=SIZE, kind=KIND).parameters)
    assert [tuple(point.values()) for point in points] == list(
        product([0.1, 0.2, 0.3, 0.4], [2, 5, 8], ["a", "b"])
    )


def test_what_takes_no_part_is_left_out_and_multiplies_nothing() -> None:
    points = grid_points(grid_space(size={**SIZE, "when": {"kind": "a"}}, kind=KIND).parameters)
    assert points == [{"kind": "a", "size": size} for size in (2, 5, 8)] + [{"kind": "b"}]


def test_more_trials_than_points_are_refused_with_their_number() -> None:
    assert grid_space(6, size=SIZE, kind=KIND).budget.trials == 6
    with pytest.raises(SpaceError, match="no more trials than points of the grid, got trials=7, 6"):
        grid_space(7, size=SIZE, kind=KIND)


def test_a_huge_grid_is_refused_at_once() -> None:
    with pytest.raises(SpaceError, match=f"at most {MOST_POINTS} points, got more"):
        grid_space(size={"int": [0, 2**40]}, other={"int": [0, 2**40]})


def test_every_float_without_a_step_is_named() -> None:
    with pytest.raises(SpaceError) as raised:
        grid_space(rate={"float": [0, 1]}, log={"float": [1e-3, 1], "log": True}, size=SIZE)
    assert [problem.split(":")[1].strip() for problem in raised.value.problems] == ["rate", "log"]
