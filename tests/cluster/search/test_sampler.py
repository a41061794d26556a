"""Proves that suggestions follow from the seed and the journal alone, and lead somewhere.

pytest tests/cluster/search/test_sampler.py
"""

from collections.abc import Callable
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import qmc

from cluster.search.sampler import (
    MOST_SEEN,
    RANDOM_EVERY,
    best_and_latest,
    make_sampler,
)
from cluster.search.seen import ENOUGH
from results.study.folder import StudyFolder
from search_spaces import Space, space_from_mapping
from search_spaces.grid import grid_points
from search_spaces.parameter import active
from search_spaces.space import SAMPLERS
from search_spaces.suggest import suggest
from tests.cluster.search.toy_study import (
    drive,
    open_study,
    told,
    toy_objective,
    toy_space,
)
from trainables.seeding import derive_seed

SCHEDULER_OF = {"curves": "freeze_thaw"}
GP = pytest.param("gp", marks=pytest.mark.slow)  # Optuna's takes a second for ten suggestions.
KINDS = [GP, *(kind for kind in SAMPLERS if kind not in ("none", "auto", "gp"))]
LEARNING = ["tpe", GP, "cmaes"]
TRIALS = 24
ON_A_GRID = {
    "lr": {"choice": [1e-4, 1e-3, 1e-2, 1e-1]},
    "momentum": {"float": [0, 0.9], "step": 0.3, "when": {"kind": ["steady", "fading"]}},
    "width": {"int": [1, 3]},
}

pytestmark = pytest.mark.usefixtures("unsynced")


def space_of(kind: str, *, trials: int = TRIALS, **sections: Any) -> Space:
    """The toy's space with all that may go wrong in a trial."""
    return toy_space(
        **{
            "start": [],
            "search": {"sampler": kind, "scheduler": SCHEDULER_OF.get(kind, "asha")},
            "budget": {"trials": trials},
            "parameters": ON_A_GRID if kind == "grid" else {},
            **sections,
        }
    )


def params_of(trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    return [trial.params for trial in trials]


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_killed_at_any_line_goes_on_as_if_it_had_not_been(
    kind: str, tmp_path: Path
) -> None:
    space = space_of(kind)
    whole = open_study(StudyFolder(tmp_path / "whole"), space)
    drive(whole)
    lines = whole.folder.journal.read_bytes().splitlines(keepends=True)
    for cut in range(len(lines) // 2, len(lines), len(lines) // 7):
        folder = StudyFolder(tmp_path / f"cut at {cut}")
        folder.path.mkdir()
        folder.journal.write_bytes(b"".join(lines[:cut]))
        resumed = open_study(folder, space)
        drive(resumed)
        assert told(resumed) == told(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_suggests_something_else(kind: str, tmp_path: Path) -> None:
    first, other = (
        drive(open_study(StudyFolder(tmp_path / str(seed)), space_of(kind, trials=4, seed=seed)))
        for seed in (0, 1)
    )
    assert not any(a == b for a, b in zip(params_of(first), params_of(other), strict=False))


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_hold_in_every_suggestion(kind: str, tmp_path: Path) -> None:
    space = space_of(kind)
    trials = drive(open_study(StudyFolder(tmp_path), space))
    assert len({str(trial.params) for trial in trials}) == TRIALS
    assert {"momentum" in trial.params for trial in trials} == {True, False}
    for trial in trials:
        for parameter in space.parameters:
            assert (parameter.name in trial.params) == active(parameter, trial.params)


# What they reach


def bowl(values: dict[str, Any]) -> float:
    """Smooth, with one minimum, 0, away from the middle."""
    return (values["x"] - 0.2) ** 2 + (values["y"] - 0.7) ** 2 + (log10(values["z"]) + 3) ** 2 / 4


def bowl_space(kind: str, seed: int = 0) -> Space:
    mapping = {
        "task": "any:function",
        "objective": {"minimize": "loss"},
        "parameters": {
            "x": {"float": [0, 1]},
            "y": {"float": [0, 1]},
            "z": {"float": [1e-4, 1], "log": True},
        },
        "search": {"sampler": kind, "scheduler": "none"},
        "budget": {"trials": 200, "max_epochs": 1},
        "seed": seed,
    }
    return space_from_mapping(mapping, name="bowl", file="bowl.yaml")


def searched(space: Space, trials: int, value: Callable[[dict[str, Any]], float]) -> list[float]:
    """The values that a sampler finds one after the other."""
    study = optuna.create_study(
        direction="minimize", sampler=make_sampler(space, toy_objective(space))
    )
    for _ in range(trials):
        trial = study.ask()
        found = value(suggest(space, trial))
        trial.report(found, 1)
        study.tell(trial, found)
    return [trial.values[0] for trial in study.trials]


@pytest.mark.parametrize("kind", LEARNING)
def test_each_that_learns_beats_random_on_a_bowl(kind: str) -> None:
    for seed in (0, 1):
        learned, by_chance = (
            min(searched(bowl_space(name, seed), 60, bowl)) for name in (kind, "random")
        )
        assert learned < by_chance / 2


# What is each one's own


@pytest.mark.parametrize(
    ("kind", "random_ones"), [("tpe", {14, 19, 24}), ("random", set(range(12, 25)))]
)
def test_every_fifth_suggestion_is_random_and_the_others_learn(
    kind: str, random_ones: set[int]
) -> None:
    space = bowl_space(kind, seed=7)
    study = optuna.create_study(sampler=make_sampler(space, toy_objective(space)))
    for _ in range(25):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 1)
        study.tell(trial, x)
    found = {
        trial.number
        for trial in study.trials[ENOUGH:]
        if trial.params["x"] == from_random(study, trial.number, seed=7)
    }
    assert found == random_ones
    assert RANDOM_EVERY == 5


def from_random(study: optuna.Study, number: int, seed: int) -> Any:
    """What the random sampler gives to that trial."""
    sampler = RandomSampler(seed=derive_seed(seed, "sampler", number, "x"))
    return sampler.sample_independent(study, study.trials[number], "x", FloatDistribution(0, 1))


def test_sobol_is_the_scrambled_sequence_of_the_seed() -> None:
    space = bowl_space("sobol", seed=5)
    study = optuna.create_study(sampler=make_sampler(space, toy_objective(space)))
    found = [suggest(space, study.ask()) for _ in range(16)]
    places = [[values["x"], values["y"], log10(values["z"]) / 4 + 1] for values in found]
    np.testing.assert_allclose(places, qmc.Sobol(3, rng=5).random(16), atol=1e-12)


def test_a_grid_is_used_up_each_point_once_in_an_order_of_the_seed(tmp_path: Path) -> None:
    points = grid_points(space_of("grid").parameters)
    start = [points[5], points[17]]
    space = space_of("grid", trials=len(points), start=start)
    trials = drive(open_study(StudyFolder(tmp_path), space))
    found = params_of(trials)
    assert found[:2] == start
    assert sorted(map(str, found)) == sorted(map(str, points))
    assert [points.index(point) for point in found[2:12]] != list(range(10))


def test_of_many_trials_the_best_and_the_latest_are_seen() -> None:
    trials = [
        create_trial(state=TrialState.COMPLETE, value=float(abs(i - 100))) for i in range(1000)
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    seen = [trial.number for trial in best_and_latest(trials, MOST_SEEN)]
    assert len(seen) == MOST_SEEN
    assert seen == sorted(seen)
    assert {100, 70, 130, 999, 800} <= set(seen)
    assert best_and_latest(trials[:9], MOST_SEEN) == trials[:9]
