"""Proves that samplers compare trials at one epoch: pytest tests/cluster/search/test_seen.py."""

import math
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from cluster.search.seen import (
    ENOUGH,
    generation_losses,
    highest_common_rung,
    seen_trials,
)
from results.study.notes import Notes
from search_spaces import Objective, Space
from tests.cluster.search.toy_study import toy_objective, toy_space

SPACE = toy_space(search={"reduction": 3}, budget={"max_epochs": 27})  # Rungs 1, 3, 9.
LOSS = Objective(name="loss", direction="minimize")


def trial_of(
    number: int, *values: float, state: TrialState = TrialState.WAITING, **attrs: Any
) -> FrozenTrial:
    """A trial that reported these at epochs 1, 2, ..."""
    trial = create_trial(
        state=state,
        value=values[-1] if state == TrialState.COMPLETE else None,
        intermediate_values=dict(enumerate(values, start=1)),
        user_attrs=attrs,
    )
    trial.number, trial.params = number, {"x": number}
    return trial


def losses(trials: list[FrozenTrial], space: Space = SPACE) -> dict[int, float | None]:
    """The loss of each trial that is seen; None for one that is running."""
    return {
        trial.number: trial.values[0] if trial.state == TrialState.COMPLETE else None
        for trial in seen_trials(trials, space, LOSS)
    }


def test_nothing_is_learned_from_a_few() -> None:
    assert losses([trial_of(i, 1.0) for i in range(ENOUGH - 1)]) == {}
    assert len(losses([trial_of(i, 1.0) for i in range(ENOUGH)])) == ENOUGH


def test_the_rung_is_the_highest_that_enough_have_reached() -> None:
    at_3 = [trial_of(i, 3.0, 2.0, 1.0 + i) for i in range(ENOUGH)]
    at_1 = [trial_of(100 + i, 0.0) for i in range(20)]
    assert highest_common_rung([*at_1, *at_3], SPACE) == 3
    assert highest_common_rung([*at_1, *at_3[1:]], SPACE) == 1
    complete = [trial_of(i, 1.0, state=TrialState.COMPLETE) for i in range(ENOUGH)]
    assert highest_common_rung([*at_1, *complete], SPACE) == 27
    without = toy_space(search={"scheduler": "none"}, budget={"max_epochs": 27})
    assert highest_common_rung([trial_of(i, 2.0, 1.0) for i in range(ENOUGH)], without) == 2


def test_each_is_judged_by_its_best_by_then_and_what_is_below_is_left_out() -> None:
    at_3 = [trial_of(i, 1.0 + i, 0.5 + i, 2.0 + i, -9.0) for i in range(ENOUGH)]
    assert losses([*at_3, trial_of(50, -99.0)]) == {i: 0.5 + i for i in range(ENOUGH)}


def test_the_failed_and_the_diverged_have_the_worst_loss_but_not_those_that_are_repeated() -> None:
    good = [trial_of(i, float(i)) for i in range(ENOUGH)]
    others = [
        trial_of(50, state=TrialState.FAIL),
        trial_of(51, -5.0, math.nan, state=TrialState.PRUNED),
        trial_of(52, state=TrialState.FAIL),
        trial_of(53, 2.5, **Notes(repeats=52).to_attrs()),
    ]
    seen = losses([*good, *others])
    assert (seen[50], seen[51], seen[53]) == (ENOUGH - 1, ENOUGH - 1, 2.5)
    assert 52 not in seen


def test_a_newcomer_is_running_and_who_is_between_two_rungs_is_not_seen() -> None:
    at_3 = [trial_of(i, 3.0, 2.0, 1.0) for i in range(ENOUGH)]
    newcomer, thawed = (trial_of(50 + i, *(1.0,) * i, state=TrialState.RUNNING) for i in (0, 1))
    seen = losses([*at_3, newcomer, thawed, trial_of(52, 1.0)])
    assert seen.keys() == {*range(ENOUGH), 50}
    assert seen[50] is None


def test_a_generation_is_compared_where_all_of_it_have_been() -> None:
    trials = [trial_of(0, 1.0, 9.0), trial_of(1, 2.0), trial_of(2, state=TrialState.FAIL)]
    assert generation_losses(trials, LOSS) == [1.0, 2.0, 2.0]
    assert generation_losses(trials[2:], LOSS) == [0.0]
    assert generation_losses(trials[:1], toy_objective(SPACE)) == [-9.0]
