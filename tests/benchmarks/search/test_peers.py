"""Proves that every peer can be found, and that a library's evaluations become trainings.

pytest tests/benchmarks/search/test_peers.py
"""

import ast
import math
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path

import pytest

from benchmarks.search import peers
from benchmarks.search.peers import PEERS
from benchmarks.search.peers.environments import NAMES, REQUIREMENTS
from benchmarks.search.peers.evaluations import Evaluation, Evaluations
from benchmarks.search.setting import FailsWhereItDiverges
from cluster.search.simulator import Machine, simulate

FOLDER = Path(peers.__path__[0])


def names_in(file: Path) -> set[str]:
    """All functions and variables of a module, without importing what it needs."""
    tree = ast.parse(file.read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return functions | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("name", PEERS)
def test_each_peer_is_where_the_table_says(name: str) -> None:
    module, _, function = PEERS[name].partition(":")
    assert function in names_in(FOLDER / f"{module}.py")


def test_an_environments_versions_are_pinned_and_it_says_for_whom_it_is() -> None:
    assert len(NAMES) == 4
    for name in NAMES:
        first, *lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
        methods = first.lstrip("# ").partition(";")[0].split(", ")
        assert set(methods) <= set(PEERS)
        assert all("==" in line for line in lines)


class ByPlan(Evaluations):
    """Asks for planned evaluations, then for new configurations, and keeps what it is told."""

    def __init__(self, plan: list[tuple[str, int]]):
        super().__init__()
        self._plan = chain(plan, ((f"new {n}", 50) for n in count()))
        self.told: list[tuple[str, int, float | None]] = []

    def ask(self) -> Evaluation:
        name, epoch = next(self._plan)
        return Evaluation(name, {"diverges": float(name == "z")}, epoch, name)

    def tell(self, evaluation: Evaluation, loss: float | None) -> None:
        self.told.append((evaluation.token, evaluation.epoch, loss))


def told(plan: list[tuple[str, int]], slots: int = 1) -> tuple[ByPlan, int]:
    """What a library is told, and how many epochs it took; z diverges in its third."""
    optimizer = ByPlan(plan)

    def curve(params: Mapping[str, float]) -> list[tuple[float, float]]:
        return [(math.nan if params["diverges"] and e >= 3 else 1 / e, 1.0) for e in range(1, 51)]

    steps = simulate(FailsWhereItDiverges(optimizer), curve, Machine(slots=slots, time_s=30)).steps
    planned = len({name for name, _ in plan})
    return optimizer, sum(step.number < planned for step in steps)


def test_a_configuration_goes_on_from_where_it_was_and_what_is_known_is_told_at_once() -> None:
    optimizer, epochs = told([("a", 2), ("b", 4), ("a", 5), ("a", 2)])
    assert optimizer.told == [("a", 2, 1 / 2), ("b", 4, 1 / 4), ("a", 5, 1 / 5), ("a", 2, 1 / 2)]
    assert epochs == 5 + 4


def test_one_that_is_being_trained_is_prolonged() -> None:
    optimizer, epochs = told([("a", 2), ("a", 5)], slots=2)
    assert optimizer.told == [("a", 2, 1 / 2), ("a", 5, 1 / 5)]
    assert epochs == 5


def test_one_that_diverged_is_not_trained_again() -> None:
    optimizer, epochs = told([("z", 2), ("z", 9), ("z", 27)])
    assert optimizer.told == [("z", 2, 1 / 2), ("z", 9, None), ("z", 27, None)]
    assert epochs == 3
