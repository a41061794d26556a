"""Proves that a forecast adds up: pytest tests/cluster/search/test_forecast.py."""

from io import StringIO
from typing import Any

import pytest

from cluster.search.forecast import START_S, SWITCH_S, Forecast, forecast, print_forecast
from cluster.search.recorded import Recorded, Recording
from results.console import Console
from results.study.folder import StudyError
from search_spaces import Objective, Space
from tests.cluster.search.toy_study import steady_space, toy_objective

EPOCH_S, EPOCHS = 10.0, 4
pytestmark = pytest.mark.usefixtures("unsynced")


def found(slots: int, **sections: Any) -> Forecast:
    """A search in which every epoch takes as long, and the value is its number."""
    space = steady_space(**sections)
    curve = [(float(epoch), EPOCH_S) for epoch in range(1, EPOCHS + 1)]
    params = {"kind": "steady", "lr": 1e-3, "width": 8}
    trainings = [Recorded(params=params, curve=curve, ended=False)]
    objective = toy_objective(space)
    return forecast(space, objective, recording_of(space, trainings), slots)


def recording_of(space: Space, trainings: list[Recorded]) -> Recording:
    return Recording(space=space, objective=toy_objective(space), trainings=trainings)


@pytest.mark.parametrize(("slots", "rounds"), [(1, 8), (4, 2), (5, 2), (8, 1), (64, 1)])
def test_full_trainings_take_so_many_rounds_on_so_many_slots(slots: int, rounds: int) -> None:
    result = found(slots, budget={"trials": 8})
    training_s = 8 * EPOCHS * EPOCH_S
    assert result.wall_s == pytest.approx(START_S + rounds * (EPOCHS * EPOCH_S + SWITCH_S))
    assert result.slot_hours == pytest.approx(slots * result.wall_s / 3600)
    assert result.busy_share == pytest.approx(training_s / (slots * result.wall_s))
    assert result.states == {"complete": 8}
    assert result.thawed == 0


def test_promotion_freezes_and_thaws_and_all_trials_are_accounted_for() -> None:
    promotion = {"scheduler": "promotion", "reduction": 2, "grace_epochs": 1}
    result = found(2, search=promotion, budget={"trials": 16})
    assert result.states.total() == 16
    assert result.states["complete"] >= 1
    assert result.states["frozen"] == 0
    assert result.thawed > 0
    assert len(result.simulation.steps) < 16 * EPOCHS


def test_the_time_ends_it_and_the_best_by_then_is_told() -> None:
    result = found(1, budget={"trials": 8, "time": "30s"})
    score = Objective(name="score", direction="maximize")
    assert result.wall_s <= 30
    assert result.states == {"unfinished": 1}
    assert [result.best_by(time_s, score) for time_s in (0, 16, 30)] == [None, 1.0, 2.0]


def test_it_is_printed_in_a_few_lines() -> None:
    shown = StringIO()
    result = found(4, budget={"trials": 8})
    print_forecast(result, Objective(name="score", direction="maximize"), Console(shown, width=100))
    first, second, *table = shown.getvalue().splitlines()
    assert first == "4 slots, 1m25s: 0.0945 slot-hours, 94% of them in training"
    assert second == "8 trials: 8 complete; 32 epochs trained, 0 thaws"
    assert table[0].split() == ["after", "best", "score", "epochs"]
    assert table[-1].split() == ["1m25s", "4.0000", "32"]


def test_curves_of_something_else_are_refused() -> None:
    space = steady_space()
    loss = Objective(name="loss", direction="minimize")
    with pytest.raises(StudyError, match="must be those of one objective, minimize loss, got max"):
        forecast(space, loss, recording_of(space, []), 1)
