"""Proves that suggestions and corners keep to the ranges and the conditions of a space.

pytest tests/search_spaces
"""

import warnings
from typing import Any

import optuna
import pytest

from search_spaces import Space, SpaceError, space_from_mapping
from search_spaces.parameter import active
from search_spaces.suggest import corners, distribution, suggest

MAPPING: dict[str, Any] = {
    "task": "t",
    "parameters": {
        "lr": {"float": [1e-5, 1e-2], "log": True},
        "mix": {"float": [0, 0.3], "step": 0.1},
        "width": {"int": [8, 32], "step": 8},
        "depth": {"int": [1, 64], "log": True},
        "head": {"choice": ["linear", "attn", "mlp"]},
        "attn.heads": {"choice": [4, 8], "when": {"head": "attn"}},
        "attn.dim": {"int": [1, 2], "when": {"attn.heads": 8, "width": [16, 24]}},
    },
    "fixed": {"batch": 64, "sizes": [1, 2]},
    "start": [{"head": "attn", "lr": 1e-3}, {"attn.dim": 2}],
    "budget": {"trials": 4, "max_epochs": 2},
}
LOW = {
    "lr": 1e-5,
    "mix": 0.0,
    "width": 8,
    "depth": 1,
    "head": "linear",
    "batch": 64,
    "sizes": [1, 2],
}


@pytest.fixture
def space() -> Space:
    return space_from_mapping(MAPPING, name="s", file="s.yaml")


def suggestions(space: Space, seed: int, count: int) -> list[dict[str, Any]]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [suggest(space, study.ask()) for _ in range(count)]


@pytest.mark.parametrize("seed", range(10))
def test_suggestions_keep_to_ranges_and_conditions(space: Space, seed: int) -> None:
    for values in suggestions(space, seed, 20):
        assert (values["batch"], values["sizes"]) == (64, [1, 2])
        for parameter in space.parameters:
            assert (parameter.name in values) == active(parameter, values)
            if parameter.name in values:
                assert parameter.problem_with(values[parameter.name]) is None
        assert ("attn.heads" in values) == (values["head"] == "attn")
        assert ("attn.dim" in values) == (
            values.get("attn.heads") == 8 and values["width"] in (16, 24)
        )


def test_the_same_seed_suggests_the_same(space: Space) -> None:
    assert suggestions(space, 1, 3) == suggestions(space, 1, 3) != suggestions(space, 2, 3)


def test_start_points_reach_the_suggestions_in_their_types(space: Space) -> None:
    study = optuna.create_study()
    study.enqueue_trial({"head": "attn", "attn.heads": 8, "width": 16, "attn.dim": 2, "mix": 0})
    values = suggest(space, study.ask())
    assert (values["head"], values["attn.dim"], values["mix"]) == ("attn", 2, 0.0)
    assert isinstance(values["mix"], float)


def test_optuna_takes_every_range_as_it_is(space: Space) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = {parameter.name: distribution(parameter) for parameter in space.parameters}
    assert drawn["mix"] == optuna.distributions.FloatDistribution(0.0, 0.3, step=0.1)
    assert drawn["width"] == optuna.distributions.IntDistribution(8, 32, step=8)
    assert drawn["depth"] == optuna.distributions.IntDistribution(1, 64, log=True)
    assert drawn["head"] == optuna.distributions.CategoricalDistribution(["linear", "attn", "mlp"])


def test_the_corners_reach_every_choice_and_every_start_point(space: Space) -> None:
    found = list(corners(space))
    assert found == [
        LOW,
        {**LOW, "lr": 1e-2, "mix": 0.3, "width": 32, "depth": 64, "head": "mlp"},
        {**LOW, "head": "attn", "attn.heads": 4},
        {**LOW, "head": "mlp"},
        {**LOW, "head": "attn", "attn.heads": 8},
        {**LOW, "head": "attn", "attn.heads": 4, "lr": 1e-3},
        {**LOW, "head": "attn", "attn.heads": 8, "width": 16, "attn.dim": 2},
    ]


def test_without_a_sampler_start_points_may_repeat_and_are_all_there_is() -> None:
    mapping: dict[str, Any] = {
        "task": "any:train",
        "objective": {"maximize": "score"},
        "parameters": {"x": {"float": [0.0, 1.0]}},
        "start": [{"x": 0.5}, {"x": 0.5}, {"x": 0.1}],
        "search": {"sampler": "none"},
        "budget": {"trials": 3, "max_epochs": 2},
    }
    assert len(space_from_mapping(mapping, name="s", file="s.yaml").start) == 3
    with pytest.raises(SpaceError, match="start points must differ"):
        space_from_mapping(mapping | {"search": {"sampler": "random"}}, name="s", file="s.yaml")
    with pytest.raises(
        SpaceError, match="no more trials than start points, got trials=4, 3 start points"
    ):
        space_from_mapping(
            mapping | {"budget": {"trials": 4, "max_epochs": 2}}, name="s", file="s.yaml"
        )
