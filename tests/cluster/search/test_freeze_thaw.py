"""Freeze-thaw search drives real studies on a virtual clock.

pytest tests/cluster/search/test_freeze_thaw.py
"""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from cluster.search import freeze_thaw
from cluster.search.simulator import Curve, Machine, Simulation, simulate
from cluster.search.study import Study
from results.study.folder import StudyFolder
from results.study.notes import frozen_epoch
from search_spaces.reader import space_from_mapping
from search_spaces.space import Space
from tests.cluster.search.toy_study import toy_objective

pytestmark = pytest.mark.usefixtures("unsynced")
MAX_EPOCHS = 16
BOWL: dict[str, Any] = {
    "task": "tests.cluster.search.toy_study:train",
    "objective": {"minimize": "loss"},
    "parameters": {
        "lr": {"float": [1e-4, 1.0], "log": True},
        "width": {"int": [8, 512], "log": True},
        "kind": {"choice": ["plain", "momentum"]},
        "momentum": {"float": [0.0, 1.0], "when": {"kind": "momentum"}},
    },
    "search": {"sampler": "curves", "scheduler": "freeze_thaw"},
    "budget": {"trials": 400, "epochs": 160, "max_epochs": MAX_EPOCHS},
}


def bowl(params: Mapping[str, Any]) -> Curve:
    """Falls to a floor that is 0 at lr 0.01, width 64, momentum 0.7; large rates diverge late."""
    floor = (
        abs(math.log10(params["lr"]) + 2) / 4
        + abs(math.log2(params["width"] / 64)) / 12
        + (abs(params["momentum"] - 0.7) if params["kind"] == "momentum" else 0.5)
    )
    losses = [floor + 1 / (epoch + 1) for epoch in range(1, MAX_EPOCHS + 1)]
    if params["lr"] > 0.5:
        losses[2:] = [math.nan] * (MAX_EPOCHS - 2)
    return [(loss, 1.0) for loss in losses]


def bowl_space(**sections: Any) -> Space:
    mapping = {**BOWL, **{k: {**BOWL.get(k, {}), **v} for k, v in sections.items()}}
    return space_from_mapping(mapping, name="bowl", file="bowl.yaml")


def open_study(folder: Path, space: Space, slots: int = 1) -> Study:
    study = Study(StudyFolder(folder), space, toy_objective(space))
    study.slots = slots
    return study


def searched(folder: Path, space: Space, *, slots: int = 1) -> tuple[Study, Simulation]:
    study = open_study(folder, space, slots)
    return study, simulate(study, bowl, Machine(slots=slots))


def journal_of(study: Study) -> list[tuple[Any, ...]]:
    return [(t.params, t.intermediate_values, t.state) for t in study.trials()]


@pytest.mark.parametrize("slots", [1, 16])
def test_the_budget_is_spent_and_every_trial_has_a_final_state(tmp_path: Path, slots: int) -> None:
    study, simulation = searched(tmp_path / "study", bowl_space(), slots=slots)

    assert 160 <= len(simulation.steps) < 160 + slots
    assert simulation.busy_s >= 0.9 * slots * simulation.end_s
    assert study.is_over()
    assert set(study.states()) <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert slots > 1 or study.states()[TrialState.COMPLETE] >= 1


@pytest.mark.slow
def test_it_finds_a_better_floor_than_random_search_with_promotion(tmp_path: Path) -> None:
    def best(name: str, search: dict[str, str], seed: int) -> float:
        space = space_from_mapping(
            {**BOWL, "search": search, "seed": seed}, name="bowl", file="bowl.yaml"
        )
        _, simulation = searched(tmp_path / f"{name}{seed}", space, slots=4)
        return min(step.value for step in simulation.steps if math.isfinite(step.value))

    model, random = (
        [best(search["sampler"], search, seed) for seed in range(3)]
        for search in (
            {"sampler": "curves", "scheduler": "freeze_thaw"},
            {"sampler": "random", "scheduler": "promotion"},
        )
    )

    assert sum(model) < 0.7 * sum(random)


def test_trials_come_back_and_only_one_is_in_a_slot(tmp_path: Path) -> None:
    _, simulation = searched(tmp_path / "study", bowl_space(), slots=4)
    epochs = Counter(step.number for step in simulation.steps)

    assert simulation.starts > len(epochs)  # Some were thawed.
    for number in epochs:
        mine = [step.epoch for step in simulation.steps if step.number == number]
        assert mine == list(range(1, len(mine) + 1))


@pytest.mark.parametrize("reports", [60, 121])
def test_a_search_that_is_killed_goes_on_as_if_it_had_not_been(
    tmp_path: Path, reports: int
) -> None:
    whole, _ = searched(tmp_path / "whole", bowl_space())

    killed = open_study(tmp_path / "killed", bowl_space())
    simulate(killed, bowl, Machine(slots=1, max_epochs=reports))
    again, _ = searched(tmp_path / "killed", bowl_space())

    assert journal_of(again) == journal_of(whole)


@pytest.mark.slow
def test_the_disk_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze_thaw, "MOST_FROZEN", 12)
    space = bowl_space(budget={"trials": 2000, "epochs": 600, "max_epochs": 1000})
    study = open_study(tmp_path / "study", space, slots=8)
    most = 0

    class Watched:
        next_trial, end, fail = study.next_trial, study.end, study.fail

        def report(self, number: int, epoch: int, value: float) -> bool:
            nonlocal most
            goes_on = study.report(number, epoch, value)
            most = max(most, sum(frozen_epoch(t) is not None for t in study.trials()))
            return goes_on

    simulate(Watched(), lambda params: [*bowl(params)] * 63, Machine(slots=8, max_epochs=300))

    assert most == freeze_thaw.MOST_FROZEN


def test_every_trial_that_failed_is_told_to_the_model(tmp_path: Path) -> None:
    """Where all momentum crashes, plain is tried more often than by chance."""
    study = open_study(tmp_path / "study", bowl_space(), slots=1)

    class Crashing:
        next_trial, end, fail = study.next_trial, study.end, study.fail

        def report(self, number: int, epoch: int, value: float) -> bool:
            if study.trials()[number].params["kind"] == "momentum":
                study.fail(number, "it crashed")
                return False
            return study.report(number, epoch, value)

    simulate(Crashing(), bowl, Machine(slots=1, max_epochs=160))
    kinds = [trial.params["kind"] for trial in study.trials()]

    later = kinds[len(kinds) // 2 :]

    assert later.count("plain") > 0.6 * len(later)
