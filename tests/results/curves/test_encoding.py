"""Configurations as rows of numbers, and back.

pytest tests/results/curves/test_encoding.py
"""

from typing import Any

import numpy as np
import pytest

from results.curves.encoding import Encoding
from search_spaces.parameter import Parameter
from search_spaces.unit import place_of, snap, value_at

PARAMETERS = (
    Parameter(name="lr", kind="float", low=1e-4, high=1.0, log=True),
    Parameter(name="depth", kind="int", low=1, high=5),
    Parameter(name="width", kind="int", low=8, high=512, log=True),
    Parameter(name="drop", kind="float", low=0.0, high=0.5, step=0.1),
    Parameter(name="kind", kind="choice", choices=("plain", "momentum", None)),
    Parameter(name="momentum", kind="float", low=0.0, high=1.0, when={"kind": ("momentum",)}),
    Parameter(name="nesterov", kind="choice", choices=(True, False), when={"kind": ("momentum",)}),
)
ENCODING = Encoding(PARAMETERS)


def drawn(count: int) -> np.ndarray:
    return ENCODING.drawn(count, np.random.default_rng(0))


def test_a_row_is_the_configuration_that_it_came_from() -> None:
    for places_D in drawn(50):
        values = ENCODING.values(places_D)
        np.testing.assert_allclose(ENCODING.places(values), places_D)
        assert ("momentum" in values) == ("nesterov" in values) == (values["kind"] == "momentum")


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_snapping_is_going_to_the_value_and_back(parameter: Parameter) -> None:
    places = np.linspace(0.003, 0.997, 101)  # Not where two values meet.
    expected = [place_of(parameter, value_at(parameter, place)) for place in places]

    np.testing.assert_allclose(snap(parameter, places), expected, atol=1e-9)


def test_features_measure_what_differs() -> None:
    def distance(a: dict[str, Any], b: dict[str, Any]) -> float:
        both = ENCODING.features(np.array([ENCODING.places(a), ENCODING.places(b)]))
        return float(np.linalg.norm(both[0] - both[1]))

    base = {"lr": 1e-4, "depth": 3, "width": 64, "drop": 0.2, "kind": "plain"}

    assert distance(base, base) == 0
    assert distance(base, {**base, "kind": None}) == pytest.approx(1)
    assert distance(base, {**base, "lr": 1.0}) == pytest.approx(1)
    assert distance(base, {**base, "lr": 1e-2}) == pytest.approx(0.5)


def test_children_are_like_their_parent_and_possible() -> None:
    parent = drawn(1)
    children = ENCODING.mutated(parent, 200, np.random.default_rng(1), largest=0.1)
    for places_D in children:
        np.testing.assert_allclose(ENCODING.places(ENCODING.values(places_D)), places_D)
    moved = np.abs(children[:, 0] - parent[0, 0])

    assert 0 < np.median(moved[moved > 0]) < 0.05
    assert (moved == 0).any()
