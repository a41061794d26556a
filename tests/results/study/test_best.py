"""Proves which trial is the best, by one rule: pytest tests/results/study/test_best.py."""

import math
from typing import Literal

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from results.study.best import BestEpoch, best_epoch, ranked
from search_spaces import Objective

Direction = Literal["maximize", "minimize"]


def objective(direction: Direction = "maximize") -> Objective:
    return Objective(name="score", direction=direction)


def trial(number: int, values: list[float], state: TrialState = TrialState.PRUNED) -> FrozenTrial:
    final = 0.0 if state == TrialState.COMPLETE else None
    made = create_trial(
        state=state, intermediate_values=dict(enumerate(values, start=1)), value=final
    )
    made.number = number
    return made


@pytest.mark.parametrize(
    ("direction", "values", "expected"),
    [
        ("maximize", [0.1, 0.3, 0.2], (2, 0.3)),
        ("minimize", [0.1, 0.3, 0.05], (3, 0.05)),
        ("maximize", [0.3, 0.3, 0.3], (1, 0.3)),
        ("minimize", [0.3, 0.3, 0.3], (1, 0.3)),
        ("maximize", [0.1, math.nan], (1, 0.1)),
        ("maximize", [math.inf, 0.1, -math.inf], (2, 0.1)),
    ],
)
def test_a_trials_best_is_its_first_best_finite_epoch(
    direction: Direction, values: list[float], expected: tuple[int, float]
) -> None:
    best = best_epoch(trial(7, values), objective(direction))
    assert best and (best.number, best.epoch, best.value, best.complete) == (7, *expected, False)


@pytest.mark.parametrize(
    "found", [trial(0, []), trial(0, [math.nan]), trial(0, [0.9], TrialState.FAIL)]
)
def test_a_trial_without_a_finite_value_or_that_failed_has_no_best(found: FrozenTrial) -> None:
    assert best_epoch(found, objective()) is None
    assert ranked([found], objective()) == []


def test_a_running_trial_counts() -> None:
    assert [best.number for best in ranked([trial(0, [0.9], TrialState.RUNNING)], objective())] == [
        0
    ]


@pytest.mark.parametrize(("direction", "order"), [("maximize", [2, 1, 0]), ("minimize", [0, 1, 2])])
def test_the_better_value_comes_first(direction: Direction, order: list[int]) -> None:
    trials = [trial(0, [0.1]), trial(1, [0.2]), trial(2, [0.3])]
    assert [best.number for best in ranked(trials, objective(direction))] == order


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_of_equal_values_the_full_budget_comes_first_then_the_earlier_trial(
    direction: Direction,
) -> None:
    trials = [
        trial(0, [0.5]),
        trial(1, [0.5], TrialState.COMPLETE),
        trial(2, [0.5]),
        trial(3, [0.5], TrialState.COMPLETE),
    ]
    assert [best.number for best in ranked(reversed(trials), objective(direction))] == [1, 3, 0, 2]


def test_a_better_value_beats_the_full_budget() -> None:
    stopped = BestEpoch(number=1, epoch=1, value=0.9, complete=False)
    complete = BestEpoch(number=0, epoch=9, value=0.8, complete=True)
    assert stopped.rank(objective()) > complete.rank(objective())
    assert stopped.rank(objective("minimize")) < complete.rank(objective("minimize"))
