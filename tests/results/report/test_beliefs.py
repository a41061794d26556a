"""Proves that what the model expected stands beside what came.

pytest tests/results/report/test_beliefs.py
"""

from pathlib import Path

import pytest

from results.report.beliefs import Foretold, beliefs, foretold, foretold_text
from results.report.facts import Facts
from results.report.findings import Findings
from results.report.page import page_html
from results.study.folder import StudyFolder
from results.study.record import read_study
from tests.results.report.studies import drive, open_study, space

EPOCHS = 18
FREEZING = {"sampler": "curves", "scheduler": "freeze_thaw", "grace_epochs": 1}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    path = tmp_path_factory.mktemp("frozen")
    searched = space(search=FREEZING, budget={"trials": 60, "max_epochs": EPOCHS})
    drive(open_study(path, searched))
    return Findings.of(read_study(StudyFolder(path)))


def came(each: Foretold, facts: Facts) -> float | None:
    """From the journal's own values."""
    values = facts.record.trials[each.trial].intermediate_values
    if each.expected.epoch not in values:
        return None
    return max(values[epoch] for epoch in range(1, each.expected.epoch + 1))


def test_each_choice_of_the_model_is_noted_with_what_came(findings: Findings) -> None:
    facts = findings.facts
    assert len(findings.foretold) >= 30
    looks = [*facts.space.rungs, EPOCHS]
    for each in findings.foretold:
        assert each.expected.low <= each.expected.value <= each.expected.high
        assert each.expected.epoch == min(look for look in looks if look > each.after)
        assert each.came == came(each, facts)
    assert {each.after for each in findings.foretold} >= {0, 1, 2}


def test_most_values_come_within_the_band(findings: Findings) -> None:
    judged = [each for each in findings.foretold if each.came is not None]
    within = sum(each.is_within for each in judged) / len(judged)
    assert within > 0.6
    text = foretold_text(findings.facts, findings.foretold)
    assert f"{within:.0%}" in text and "2 were start points" in text


def test_it_believes_what_the_objective_is_made_of(findings: Findings) -> None:
    by_name = {belief.parameter.name: belief for belief in findings.beliefs}
    assert "model.kind" in by_name
    rate, dropout = by_name["optim.lr"], by_name["model.dropout"]
    best = rate.places[rate.value.index(max(rate.value))]
    assert best == pytest.approx(2 / 3, abs=0.2), "the objective is best at 1e-2"
    assert rate.value[0] < max(rate.value) - 0.1
    assert dropout.value[0] > dropout.value[-1]
    for belief in findings.beliefs:
        assert all(
            low <= value <= high
            for low, value, high in zip(belief.low, belief.value, belief.high, strict=True)
        )


def test_the_page_shows_both(findings: Findings) -> None:
    page = page_html(findings.facts.record.folder, findings, None)
    assert 'id="expectations"' in page and 'id="belief_0"' in page
    assert "chosen by a model of the curves" in page


def test_a_search_without_a_model_expected_nothing(tmp_path: Path) -> None:
    drive(open_study(tmp_path, space()), 9)
    facts = Facts.of(read_study(StudyFolder(tmp_path)))
    assert foretold(facts) == [] and foretold_text(facts, []) == ""
    assert beliefs(facts) == [], "too few trials"
