"""Proves that two objectives are traded against each other, from the YAML to the Pareto front.

pytest tests/cluster
"""

import json
import math
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from cluster.search.asha import Asha
from cluster.search.scheduler import Decision
from cluster.search.seen import losses_at
from cluster.search.study import Study
from results.console import Console
from results.export.export import read_export, study_exports
from results.study.best import BestEpoch, pareto_front, ranked
from results.study.description import Description, read_description
from results.study.folder import StudyError, StudyFolder
from results.study.notes import SECOND_KEY, Notes
from results.study.record import read_study
from results.summary import SHOWN_FRONT, print_summary
from search_spaces import Objective, Space, SpaceError, space_from_mapping
from trainables.accepting import accept
from trainables.job import run

BOTH = Objective(
    name="score", direction="maximize", second=Objective(name="cost", direction="minimize")
)
POINTS = st.lists(
    st.tuples(st.integers(-3, 3).map(float), st.integers(-3, 3).map(float)), max_size=20
)


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """A larger size scores higher and costs more; waste only costs."""
    for epoch in range(1, 5):
        yield {
            "score": math.log(config["size"]) + epoch / 10,
            "cost": config["size"] * (1 + config["waste"]),
        }


def two_space(**sections: Any) -> Space:
    mapping = {
        "task": f"{__name__}:train",
        "objective": [{"maximize": "score"}, {"minimize": "cost"}],
        "parameters": {"size": {"int": [1, 64], "log": True}, "waste": {"float": [0, 4]}},
        "search": {"reduction": 2},
        "budget": {"trials": 40, "max_epochs": 4},
        **sections,
    }
    return space_from_mapping(mapping, name="two", file="two.yaml")


def drive(study: Study, trials: int = 1000) -> Study:
    for _ in range(trials):
        trial = study.next_trial()
        if trial is None:
            break
        for report in run(study.job(trial)):
            if not study.report(
                trial.number, report.epoch, report.metrics["score"], report.metrics["cost"]
            ):
                break
    return study


def bests_of(points: list[tuple[float, float]]) -> list[BestEpoch]:
    return [
        BestEpoch(number=i, epoch=1, value=a, second=b, complete=False)
        for i, (a, b) in enumerate(points)
    ]


def trial_of(
    number: int, value: float, second: float, state: TrialState = TrialState.PRUNED
) -> FrozenTrial:
    final = value if state == TrialState.COMPLETE else None
    attrs = Notes(second_values={1: second}).to_attrs()
    trial = create_trial(state=state, value=final, intermediate_values={1: value}, user_attrs=attrs)
    trial.number = number
    return trial


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


# The rules


@given(points=POINTS)
def test_the_front_is_what_nothing_dominates(points: list[tuple[float, float]]) -> None:
    bests = sorted(bests_of(points), key=lambda best: best.rank(BOTH), reverse=True)
    scores = [(a, -b) for a, b in points]
    free = {score for score in scores if not any(dominates(other, score) for other in scores)}
    front = pareto_front(bests, BOTH)
    assert {(best.value, -(best.second or 0)) for best in front} == free
    assert len(front) == len(free), "of equals one is enough"


@given(points=POINTS)
def test_the_front_comes_first_and_begins_with_the_best_first_objective(
    points: list[tuple[float, float]],
) -> None:
    order = ranked([trial_of(i, a, b) for i, (a, b) in enumerate(points)], BOTH)
    assert sorted(best.number for best in order) == list(range(len(points)))
    front = pareto_front(order, BOTH)
    assert order[: len(front)] == front
    if points:
        top = max(a for a, _ in points)
        assert (order[0].value, order[0].second) == (top, min(b for a, b in points if a == top))


@given(points=POINTS, reduction=st.integers(2, 4))
def test_a_rung_stops_those_whom_many_others_dominate(
    points: list[tuple[float, float]], reduction: int
) -> None:
    rule = Asha(rungs=[1], reduction=reduction, objective=BOTH)
    for number, (value, second) in enumerate(points):
        rule.record(number, 1, value, second)
        seen = [(a, -b) for a, b in points[: number + 1]]
        dominators = [sum(dominates(other, score) for other in seen) for score in seen]
        better = sum(count < dominators[-1] for count in dominators)
        goes_on = rule.decide(number, 1) is Decision.GO_ON
        assert goes_on == (better < max(1, len(seen) // reduction))


def test_each_weight_finds_its_own_end_of_the_front() -> None:
    trials = [
        trial_of(i, value, second)
        for i, (value, second) in enumerate([(1.0, 1.0), (5.0, 5.0), (9.0, 9.0)])
    ]
    trials += [trial_of(3, 5.0, 8.0), trial_of(4, 2.0, 2.0, TrialState.COMPLETE)]
    for_score, for_cost, for_both = (losses_at(trials, 1, BOTH, w) for w in (0.99, 0.01, 0.5))
    assert int(np.argmin(for_score)) == 2
    assert int(np.argmin(for_cost)) == 0
    assert int(np.argmin(for_both)) in (1, 4)
    assert for_both[3] > for_both[1], "as good in one and worse in the other"


# The study


@pytest.mark.slow
def test_a_search_spreads_along_the_front_and_wastes_nothing_on_it(tmp_path: Path) -> None:
    search = {"sampler": "gp", "scheduler": "none"}
    space = two_space(search=search, budget={"trials": 60, "max_epochs": 1})
    study = drive(Study(StudyFolder(tmp_path), space, BOTH))
    front = pareto_front(ranked(study.trials(), BOTH), BOTH)
    params = [study.trials()[best.number].params for best in front]
    random_waste = 2.0
    assert np.mean([each["waste"] for each in params]) < random_waste / 10
    sizes = [each["size"] for each in params]
    assert len(front) >= 5
    assert min(sizes) <= 4
    assert max(sizes) >= 32


def test_a_study_reopened_before_every_trial_is_the_same(tmp_path: Path) -> None:
    whole = drive(Study(StudyFolder(tmp_path / "whole"), two_space(), BOTH))
    for _ in range(40):
        drive(Study(StudyFolder(tmp_path / "parts"), two_space(), BOTH), trials=1)
    parts = Study(StudyFolder(tmp_path / "parts"), two_space(), BOTH)
    assert [(t.params, t.state, t.intermediate_values, t.user_attrs) for t in parts.trials()] == [
        (t.params, t.state, t.intermediate_values, t.user_attrs) for t in whole.trials()
    ]
    assert {t.state for t in whole.trials()} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert parts.best == whole.best


def test_a_second_value_is_noted_where_it_changes(tmp_path: Path) -> None:
    study = Study(StudyFolder(tmp_path), two_space(search={"scheduler": "none"}), BOTH)
    study.next_trial()
    for epoch, second in enumerate([2.0, 2.0, 3.0, 3.0], start=1):
        study.report(0, epoch, float(epoch), second)
    (trial,) = study.trials()
    notes = Notes.of(trial)
    assert notes.second_values == {1: 2.0, 3: 3.0}
    assert [notes.second_at(epoch) for epoch in range(5)] == [None, 2.0, 2.0, 3.0, 3.0]


def test_a_second_value_that_is_not_finite_ends_the_trial(tmp_path: Path) -> None:
    study = Study(StudyFolder(tmp_path), two_space(), BOTH)
    study.next_trial()
    assert not study.report(0, 1, 1.0, math.inf)
    (trial,) = study.trials()
    assert trial.state == TrialState.PRUNED
    assert math.isnan(trial.intermediate_values[1])
    assert Study(StudyFolder(tmp_path), two_space(), BOTH).best is None


def test_the_best_is_exported_with_both_values_and_the_front_is_shown(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "two")
    study = drive(Study(folder, two_space(), BOTH))
    Description(space=two_space(), objective=BOTH, import_paths=(), origin={}).write(folder)
    assert read_description(folder).objective == BOTH
    export = read_export(folder.best, tmp_path)
    assert (export.best, export.job.objective) == (study.best, BOTH)
    record = read_study(folder)
    assert study_exports(record)[0].best == study.best
    shown = StringIO()
    print_summary(record, Console(shown, width=200))
    text = shown.getvalue()
    assert "better than these in both objectives" in text
    for best in pareto_front(record.ranked(), BOTH)[:SHOWN_FRONT]:
        assert f"{best.second:.4f}" in text


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda record: None, "cost must be noted before score"),
        (
            lambda record: {**record, "user_attr": {"second@1": "3"}},
            "second@1 must be a finite number",
        ),
        (
            lambda record: {**record, "user_attr": {"second@0": 3}},
            "must stand before the report of its epoch",
        ),
    ],
    ids=["left out", "no number", "too late"],
)
def test_a_journal_without_its_second_values_is_refused(
    tmp_path: Path, edit: Any, problem: str
) -> None:
    folder = StudyFolder(tmp_path)
    drive(Study(folder, two_space(), BOTH), trials=3)
    records = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    edited = [edit(record) if SECOND_KEY in json.dumps(record) else record for record in records]
    folder.journal.write_text("".join(json.dumps(record) + "\n" for record in edited if record))
    with pytest.raises(StudyError, match=problem):
        Study(folder, two_space(), BOTH)


# The YAML


def test_a_space_says_both_and_reads_back_equal() -> None:
    space = two_space()
    assert space.objective == BOTH
    assert space_from_mapping(space.to_dict(), name="two", file="two.yaml").objective == BOTH
    assert BOTH.text == "maximize score, minimize cost"
    assert accept(space) == BOTH


@pytest.mark.parametrize(
    ("objective", "problem"),
    [
        ([{"maximize": "a"}, {"minimize": "a"}], "two objectives must be two different metrics"),
        ([{"maximize": "a"}, {"minimize": "b"}, {"minimize": "c"}], "or a list of two such"),
        ([], "or a list of two such"),
        ({"maximize": "a", "minimize": "b"}, "or a list of two such"),
        ([{"maximise": "a"}, {"minimize": "b"}], "direction must be one of"),
    ],
)
def test_other_objectives_are_refused(objective: Any, problem: str) -> None:
    with pytest.raises(SpaceError, match=problem):
        two_space(objective=objective)


def test_a_task_is_compared_by_what_it_offers() -> None:
    for objective in (
        {"minimize": "accuracy"},
        {"maximize": "fame"},
        [{"maximize": "accuracy"}, {"minimize": "x"}],
    ):
        with pytest.raises(
            SpaceError, match=r"gpt2_classifier is compared by \{maximize: accuracy\}.*, got"
        ):
            accept(
                two_space(
                    task="gpt2_classifier",
                    objective=objective,
                    parameters={"optim.lr": {"float": [0.1, 1]}},
                )
            )
