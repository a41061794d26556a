"""Proves that importance compares trials at equal epochs and finds what mattered.

pytest tests/results/report/test_importance.py
"""

from pathlib import Path
from typing import Any

import pytest

from results.report.facts import Facts
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
