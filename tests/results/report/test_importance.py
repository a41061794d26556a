"""Proves that importance compares trials at equal epochs, stopped ones too, and finds what mattered.

pytest tests/results/report/test_importance.py
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from results.report.agreement import rank_correlation
from results.report.facts import Facts
from results.report.figures.parallel import bands
from results.report.figures.scales import place, ticks, value_at
from results.report.importance import Importance, compare_at_epoch, importances
from results.study.record import read_study
from tests.results.report.studies import drive, open_study, space


def dropout_decides(values: dict[str, Any], number: int, epoch: int) -> float:
    depth = values.get("model.depth", 5)
    return -values["model.dropout"] * epoch - 0.001 * depth * epoch


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    searched = space(budget={"trials": 60, "max_epochs": 18})
    return Facts.of(
        read_study(
            drive(open_study(tmp_path_factory.mktemp("s"), searched), value=dropout_decides).folder
        )
    )


def test_trials_are_compared_at_the_first_rung_with_the_stopped_ones(facts: Facts) -> None:
    comparison = compare_at_epoch(facts)
    assert comparison.epoch == 2 == facts.space.rungs[0]
    reached = {t.number: t.values[2] for t in facts.trials if 2 in t.values and t.state != "failed"}
    assert dict(comparison.values) == reached
    assert {facts.trials[number].state for number in comparison.values} == {
        "complete",
        "stopped early",
    }


@pytest.fixture(scope="module")
def found(facts: Facts) -> list[Importance]:
    return importances(facts, compare_at_epoch(facts))


def test_what_decided_is_found_and_the_shares_add_up(found: list[Importance]) -> None:
    assert found[0].name == "model.dropout" and found[0].share > 0.8
    assert sum(one.share for one in found if not one.conditional) == pytest.approx(1)
    assert all(one.low <= one.share <= one.high for one in found)


def test_a_conditional_parameter_is_compared_among_those_that_have_it(
    facts: Facts, found: list[Importance]
) -> None:
    comparison = compare_at_epoch(facts)
    depth = [one for one in found if one.conditional]
    having = [
        number for number in comparison.values if "model.depth" in facts.trials[number].params
    ]
    assert [(one.name, one.trials) for one in depth] == [("model.depth", len(having))]


def test_too_few_trials_have_no_importance(tmp_path: Path) -> None:
    few = Facts.of(read_study(drive(open_study(tmp_path, space()), 5).folder))
    assert importances(few, compare_at_epoch(few)) == []


@pytest.mark.parametrize("count", [1, 2, 5, 24, 101, 1000])
def test_every_rank_has_one_colour(count: int) -> None:
    ranks = [rank for first, last in bands(count) for rank in range(first, last + 1)]
    assert ranks == list(range(1, count + 1))


def test_places_follow_the_scale_that_was_searched() -> None:
    lr, kind, _, dropout = (
        one
        for name in ("optim.lr", "model.kind", "model.depth", "model.dropout")
        for one in space().parameters
        if one.name == name
    )
    assert place(lr, 0.01) == pytest.approx(2 / 3) and value_at(lr, 2 / 3) == pytest.approx(0.01)
    assert place(kind, "deep") == 0.5 and place(dropout, 0.25) == 0.5
    for parameter in space().parameters:
        places, texts = ticks(parameter)
        assert (
            len(places) == len(texts)
            and places == sorted(places)
            and places[0] == 0
            and places[-1] == 1
        )


def test_rank_correlation_is_that_of_the_ranks() -> None:
    generator = np.random.default_rng(0)
    pairs = [(float(a), float(a + b)) for a, b in generator.normal(size=(30, 2))]
    ranks = np.argsort(np.argsort(np.array(pairs), axis=0), axis=0) + 1
    squares = int(((ranks[:, 0] - ranks[:, 1]) ** 2).sum())
    assert rank_correlation(pairs) == pytest.approx(1 - 6 * squares / (30 * (30**2 - 1))), (
        "Spearman's formula"
    )
    assert rank_correlation([(1, 2), (1, 3)]) is None
