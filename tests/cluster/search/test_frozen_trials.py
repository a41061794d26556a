"""Proves that trials are frozen and thawed without a loss, whoever trains them and whoever crashes.

pytest tests/cluster/search/test_frozen_trials.py
"""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from cluster.search.schedulers import make_scheduler
from cluster.search.simulator import Machine, Simulation, simulate
from cluster.search.study import Study
from results.study.folder import StudyFolder
from results.study.journal import read_journal
from results.study.notes import Notes, frozen_epoch
from search_spaces import Space
from search_spaces.space import SCHEDULERS
from tests.cluster.search.test_study_journal import crash_points
from tests.cluster.search.toy_study import (
    Open,
    checkpoints,
    drive,
    make_checkpoint,
    open_study,
    rungs_of,
    states,
    steady_space,
    told,
    toy_objective,
    toy_space,
    trial_of,
    value_at,
)

pytestmark = pytest.mark.usefixtures("unsynced")
NAMED = [name for name in SCHEDULERS if name != "auto"]
PROMOTION: dict[str, Any] = {"scheduler": "promotion", "reduction": 3, "grace_epochs": 1}


def promoting(**budget: int) -> Space:
    return steady_space(search=PROMOTION, budget={"trials": 27, "max_epochs": 9, **budget})


def simulated(study: Study, slots: int, **machine: Any) -> Simulation:
    """Trained on a virtual clock; an epoch takes longer the wider the trial is."""
    study.slots = slots

    def curve_of(params: Any) -> list[tuple[float, float]]:
        epochs = range(1, study.space.budget.max_epochs + 1)
        return [(value_at(dict(params), epoch), 1 + params["width"] / 64) for epoch in epochs]

    return simulate(study, curve_of, Machine(slots=slots, **machine))


def frozen(study: Study) -> dict[int, int]:
    epochs = {trial.number: frozen_epoch(trial) for trial in study.trials()}
    return {number: epoch for number, epoch in epochs.items() if epoch is not None}


# Whole searches


@pytest.mark.parametrize("slots", [1, 16])
@pytest.mark.parametrize("scheduler", NAMED)
def test_every_search_comes_to_its_end(folder: StudyFolder, scheduler: str, slots: int) -> None:
    space = toy_space(
        search={"scheduler": scheduler, "reduction": 3}, budget={"trials": 40, "max_epochs": 9}
    )
    study = open_study(folder, space)
    simulated(study, slots, failure_rate=0.02)
    assert study.is_over()
    assert len(study.trials()) == 40
    assert all(state.is_finished() for state in study.states())
    # Freeze-thaw spends its 90 epochs on what promises most: 16 slots have too few for one trial.
    assert study.states()[TrialState.COMPLETE] or (scheduler, slots) == ("freeze_thaw", 16)
    assert told(open_study(folder, space)) == told(study)


@pytest.mark.parametrize("slots", [1, 4, 16])
def test_promotion_keeps_every_slot_busy_and_bounds_the_survivors(
    folder: StudyFolder, slots: int
) -> None:
    study = open_study(folder, promoting(trials=81))
    simulation = simulated(study, slots)
    last_newcomer = max(step.time_s for step in simulation.steps if step.epoch == 1)
    ends = [max(s.time_s for s in simulation.steps if s.slot == slot) for slot in range(slots)]
    busy = sum(1 + trial_of(study, step.number).params["width"] / 64 for step in simulation.steps)
    assert busy == pytest.approx(simulation.busy_s)
    assert min(ends) >= last_newcomer - 2 * 9, "none was idle while there was a new trial to begin"
    reached = Counter(step.epoch for step in simulation.steps)
    assert reached[1] == 81
    assert 1 <= reached[2] <= 81 // 3 and reached[3] == reached[2]
    assert 1 <= reached[4] <= reached[3] // 3
    assert study.states() == {
        TrialState.COMPLETE: reached[9],
        TrialState.PRUNED: 81 - reached[9],
    }
    each_once = Counter((step.number, step.epoch) for step in simulation.steps)
    assert set(each_once.values()) == {1}


@pytest.mark.parametrize("trials", [1, 2, 5, 8])
@pytest.mark.parametrize("slots", [1, 4])
def test_a_small_study_trains_its_best_to_the_end(
    folder: StudyFolder, trials: int, slots: int
) -> None:
    study = open_study(folder, promoting(trials=trials))
    simulated(study, slots)
    assert study.states() == Counter(
        {TrialState.COMPLETE: 1, **({TrialState.PRUNED: trials - 1} if trials > 1 else {})}
    )


def test_who_would_be_thawed_next_goes_on_in_its_slot(opened: Open) -> None:
    study = opened(search=PROMOTION, budget={"trials": 9, "max_epochs": 9})
    for number in range(3):
        study.next_trial()
        goes_on = study.report(number, 1, float(number))
    assert goes_on and frozen(study) == {0: 1, 1: 1}
    assert Notes.of(trial_of(study, 2)).frozen_epoch is None


def test_a_thawed_trial_goes_on_under_its_number_before_a_new_one_begins(opened: Open) -> None:
    study = opened(search=PROMOTION, budget={"trials": 9, "max_epochs": 9})
    for number, value in enumerate([9.0, 1.0, 2.0]):
        begun = study.next_trial()
        assert begun and not study.report(number, 1, value)
    thawed = study.next_trial()
    assert thawed and thawed.number == 0 and thawed.intermediate_values == {1: 9.0}
    assert states(study) == ["RUNNING", "WAITING", "WAITING"]
    assert frozen(study) == {1: 1, 2: 1}
    assert study.report(0, 2, 9.0)
    fresh = study.next_trial()
    assert fresh and fresh.number == 3


def test_nothing_now_is_told_from_over(opened: Open) -> None:
    study = opened(search=PROMOTION, budget={"trials": 2, "max_epochs": 9})
    study.next_trial(), study.next_trial()
    assert not study.report(0, 1, 1.0)
    assert study.next_trial() is None and not study.is_over()
    assert study.report(1, 1, 2.0), "the better one goes on, as nothing else is left"
    study.fail(1, "crashed")
    again = study.next_trial()
    assert again and again.number == 0, "the other one, as the better one is lost"
    study.fail(0, "crashed")
    assert study.next_trial() is None and study.is_over()


# Interruptions


@pytest.mark.parametrize(("scheduler", "step"), [("promotion", 4), ("hyperband", 4)])
def test_a_crash_at_any_moment_changes_nothing(
    folder: StudyFolder, tmp_path: Path, scheduler: str, step: int
) -> None:
    space = toy_space(
        search={"scheduler": scheduler, "reduction": 2}, budget={"trials": 8, "max_epochs": 5}
    )
    whole = open_study(folder, space)
    drive(whole)
    assert {state for _, state, *_ in told(whole)} == {"COMPLETE", "PRUNED", "FAIL"}
    for kept in crash_points(folder.journal.read_bytes())[::step]:
        crashed = StudyFolder(tmp_path / "crashed" / folder.path.name)
        crashed.path.mkdir(parents=True)
        crashed.journal.write_bytes(kept)
        study = open_study(crashed, space)
        assert not study.states()[TrialState.RUNNING]
        drive(study)
        read_journal(crashed.journal, space, toy_objective(space))
        assert told(study) == told(whole), f"cut after {len(kept)} bytes: ...{kept[-60:]!r}"
        shutil.rmtree(crashed.path)


def test_an_interruption_leaves_frozen_trials_frozen(opened: Open) -> None:
    sections: dict[str, Any] = {"search": PROMOTION, "budget": {"trials": 9, "max_epochs": 9}}
    study = opened(**sections)
    for number in range(3):
        study.next_trial()
        study.report(number, 1, -float(number)) if number < 2 else None
    study.release()
    assert states(study) == ["WAITING"] * 3
    study = opened(**sections)
    assert frozen(study) == {0: 1, 1: 1}
    left = study.next_trial()
    assert left and left.number == 2, "it was training"
    assert not study.report(2, 1, -9.0)
    thawed = study.next_trial()
    assert thawed and thawed.number == 0
    study.release()
    assert frozen(study) == {1: 1, 2: 1}, "who was thawed is not frozen any more"
    again = opened(**sections).next_trial()
    assert again and again.number == 0


def test_more_trials_leave_those_that_are_over_as_they_are(folder: StudyFolder) -> None:
    drive(open_study(folder, promoting(trials=9)))
    before = told(open_study(folder, promoting(trials=9)))
    drive(study := open_study(folder, promoting(trials=18)))
    assert told(study)[:9] == before
    assert len(study.trials()) == 18 and study.is_over()


# The disk


def test_frozen_trials_keep_their_checkpoints_until_they_are_out_of_reach(opened: Open) -> None:
    study = opened(search=PROMOTION, budget={"trials": 9, "max_epochs": 9, "keep": 1})
    kept = []
    for number in range(9):
        trial = study.next_trial()
        while trial and trial.number != number:
            for epoch in range(2, 10):
                if not study.report(trial.number, epoch, -float(trial.number)):
                    break
            trial = study.next_trial()
        make_checkpoint(study, number)
        study.report(number, 1, -float(number))
        kept.append(len(checkpoints(study)))
    assert max(kept) <= 4, "three may be promoted, one is spare"
    assert states(study).count("WAITING") + states(study).count("RUNNING") <= 4
    drive(study)
    assert len(checkpoints(study)) == 1


# The budget of epochs


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("scheduler", NAMED)
def test_a_search_ends_when_its_epochs_are_used_up(
    folder: StudyFolder, scheduler: str, slots: int
) -> None:
    budget = {"trials": 1000, "max_epochs": 9, "epochs": 60}
    space = steady_space(search={"scheduler": scheduler, "reduction": 3}, budget=budget)
    study = open_study(folder, space)
    simulation = simulated(study, slots)
    assert 60 <= len(simulation.steps) < 60 + slots
    assert study.is_over() and study.epochs_left() == 0
    assert all(state.is_finished() for state in study.states())


def test_what_ran_when_the_epochs_were_used_up_may_report_once_more(folder: StudyFolder) -> None:
    space = steady_space(search=PROMOTION, budget={"trials": 9, "max_epochs": 9, "epochs": 3})
    study = open_study(folder, space)
    study.next_trial(), study.next_trial()
    assert not study.report(0, 1, 0.5)
    study.next_trial()
    study.report(1, 1, 0.4), study.report(2, 1, 0.3)
    study = open_study(folder, space)
    drive(study)
    assert states(study) == ["PRUNED"] * 3


# The table


@pytest.mark.parametrize("name", NAMED)
def test_every_scheduler_of_a_space_is_there(folder: StudyFolder, name: str) -> None:
    study = open_study(folder, steady_space(search={"scheduler": name}))
    made = make_scheduler(study.space, study.objective, study)
    assert type(made) is type(study.scheduler)


def test_the_rungs_are_known_again(folder: StudyFolder) -> None:
    study = open_study(folder, promoting())
    drive(study)
    assert rungs_of(open_study(folder, promoting())) == rungs_of(study)
