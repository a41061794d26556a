"""Proves that the journal tells the truth, and that no crash changes it.

pytest tests/cluster/search/test_study.py
"""

import math
import secrets
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from cluster.search.study import HOPELESS_FAILURES, Study
from results.export.export import read_export
from results.study.best import ranked
from results.study.database import Database
from results.study.folder import StudyError, StudyFolder
from results.study.notes import Notes
from search_spaces import space_from_mapping
from tests.cluster.search import toy_study
from tests.cluster.search.toy_study import (
    Open,
    checkpoints,
    drive,
    make_checkpoint,
    open_study,
    run_trial,
    rungs_of,
    states,
    steady_space,
    told,
    toy_space,
    trial_of,
    value_at,
    written,
)

NAMES = ("plain", "with space", "quo'te\"s", "ünï-çödé ✓ 日本", "[bold]%s{}$HOME")


@pytest.fixture(
    autouse=True, params=["journal", pytest.param("postgresql", marks=pytest.mark.slow)]
)
def _kept_in(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, unsynced: None
) -> None:
    """All of this holds for a study's journal file as for a database."""
    if request.param == "postgresql":
        url, databases = request.getfixturevalue("database_url"), dict[Path, Database]()
        monkeypatch.setattr(
            toy_study,
            "database_of",
            lambda folder: databases.setdefault(
                folder.path, Database(url=url, study=f"toy-{secrets.token_hex(4)}")
            ),
        )


@pytest.fixture(params=NAMES)
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / request.param)


# Start points and states


def test_start_points_are_tried_first_and_completed(hostile: StudyFolder) -> None:
    study = open_study(hostile, toy_space())
    first, second, *_ = trials = [trial for _ in range(6) if (trial := study.next_trial())]
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4, 5]
    assert {"kind": "steady", "lr": 1e-3, "width": 8}.items() <= first.params.items()
    assert study.job(first).values == {"batch": 16, **first.params}
    assert 0 <= first.params["momentum"] <= 0.9
    assert {"kind": "fading", "momentum": 0.3}.items() <= second.params.items()
    assert [Notes.of(trial).start_point for trial in study.trials()] == [0, 1, 2, 3, 4, None]


def test_the_whole_budget_makes_a_trial_complete_with_its_best_epoch(opened: Open) -> None:
    study = opened()
    trial = study.next_trial()
    assert trial
    assert [
        study.report(trial.number, epoch, value)
        for epoch, value in enumerate([0.1, 0.4, 0.3, 0.2], 1)
    ] == [
        True,
        True,
        True,
        False,
    ]
    assert trial_of(study, 0).state == TrialState.COMPLETE
    assert trial_of(study, 0).value == 0.4
    assert trial_of(study, 0).intermediate_values == {1: 0.1, 2: 0.4, 3: 0.3, 4: 0.2}


def test_the_best_epoch_of_a_loss_is_its_lowest(folder: StudyFolder) -> None:
    space = space_from_mapping(
        steady_space().to_dict() | {"objective": {"minimize": "score"}}, name="toy", file="toy.yaml"
    )
    study = open_study(folder, space)
    study.next_trial()
    for epoch, value in enumerate([0.3, 0.1, 0.2, 0.4], 1):
        study.report(0, epoch, value)
    assert (trial_of(study, 0).value, study.best and study.best.epoch) == (0.1, 2)


def test_a_trial_that_is_stopped_at_a_rung_is_pruned_there_with_its_value(opened: Open) -> None:
    study = opened(search={"scheduler": "asha"})
    study.next_trial(), study.next_trial()
    assert study.report(0, 1, 0.9)
    assert not study.report(1, 1, 0.5)
    assert trial_of(study, 1).state == TrialState.PRUNED
    assert trial_of(study, 1).intermediate_values == {1: 0.5}
    assert trial_of(study, 1).value == 0.5
    assert rungs_of(study) == {1: {0: (0.9,), 1: (0.5,)}, 2: {}}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("scheduler", ["asha", "none"])
def test_a_value_that_is_not_finite_ends_a_trial_as_pruned_with_nan(
    opened: Open, value: float, scheduler: str
) -> None:
    study = opened(search={"scheduler": scheduler})
    study.next_trial()
    assert study.report(0, 1, 0.5)
    assert not study.report(0, 2, value)
    assert trial_of(study, 0).state == TrialState.PRUNED
    assert repr(trial_of(study, 0).intermediate_values) == "{1: 0.5, 2: nan}"
    assert states(opened(search={"scheduler": scheduler})) == ["PRUNED"]


def test_a_crash_is_failed_with_its_reason(opened: Open) -> None:
    study = opened()
    study.next_trial()
    study.report(0, 1, 0.5)
    study.fail(0, "ValueError: 'ünexpected' (model.py:7)")
    assert trial_of(study, 0).state == TrialState.FAIL
    assert Notes.of(trial_of(study, 0)) == Notes(reason="ValueError: 'ünexpected' (model.py:7)")
    assert trial_of(study, 0).intermediate_values == {1: 0.5}


def test_a_reason_that_is_no_text_is_written_as_one(opened: Open) -> None:
    study = opened()
    study.next_trial()
    study.fail(0, "no such file: 'caf\udce9'")
    assert Notes.of(trial_of(opened(), 0)) == Notes(reason="no such file: 'caf\\udce9'")


def test_a_report_of_a_trial_that_is_not_running_changes_nothing(opened: Open) -> None:
    study = opened()
    study.next_trial(), study.next_trial()
    study.fail(0, "crashed")
    study.release()
    before = written(study)
    assert [study.report(number, 1, 0.5) for number in (0, 1)] == [False, False]
    assert written(study) == before
    assert states(study) == ["FAIL", "WAITING"]


def test_a_training_that_ends_without_a_report_is_failed(opened: Open) -> None:
    study = opened()
    study.next_trial()
    study.end(0)
    assert trial_of(study, 0).state == TrialState.FAIL
    assert Notes.of(trial_of(study, 0)).reason == "the training ended without a report"


def test_a_training_that_ends_early_by_itself_is_complete(opened: Open) -> None:
    study = opened()
    study.next_trial()
    study.report(0, 1, 0.5)
    study.report(0, 2, 0.4)
    study.end(0)
    assert (trial_of(study, 0).state, trial_of(study, 0).value) == (TrialState.COMPLETE, 0.5)
    assert study.best and study.best.complete


def test_an_epoch_that_is_reported_again_changes_nothing(opened: Open) -> None:
    study = opened(search={"scheduler": "asha"})
    study.next_trial()
    study.report(0, 1, 0.5)
    before = told(study), written(study)
    assert study.report(0, 1, -7.0)
    assert (told(study), written(study)) == before
    assert rungs_of(study)[1] == {0: (0.5,)}


def test_a_new_trial_is_given_until_the_budget_is_out(opened: Open) -> None:
    study = opened(budget={"trials": 3})
    assert [trial.number for trial in drive(study)] == [0, 1, 2]
    assert study.next_trial() is None
    assert states(study) == ["COMPLETE"] * 3


def test_more_start_points_than_trials_are_all_tried(opened: Open) -> None:
    start = [{"lr": 10.0**-power} for power in (2, 3, 4)]
    study = opened(start=start, budget={"trials": 3})
    assert [trial.params["lr"] for trial in drive(study)] == [point["lr"] for point in start]


# Interruptions


def given(trial: FrozenTrial | None) -> tuple[int, dict[str, Any]]:
    """What a trial is, whenever it began."""
    assert trial
    return trial.number, trial.params


@pytest.mark.parametrize("reopen", [False, True], ids=["same process", "reopened"])
def test_a_released_trial_comes_back_under_its_number_with_its_values(
    opened: Open, reopen: bool
) -> None:
    study = opened()
    drive(study, 1)
    trial = study.next_trial()
    assert trial
    study.report(trial.number, 1, 0.5)
    study.release()
    assert states(study) == ["COMPLETE", "WAITING"]
    if reopen:
        study = opened()
    assert given(study.next_trial()) == given(trial) and trial.params
    assert trial_of(study, 1).intermediate_values == {1: 0.5}
    run_trial(study, trial)
    assert states(study) == ["COMPLETE", "COMPLETE"]


def test_several_running_trials_come_back_in_order(opened: Open) -> None:
    study = opened()
    trials = [study.next_trial() for _ in range(3)]
    study = opened()
    assert states(study) == ["WAITING"] * 3
    assert [given(study.next_trial()) for _ in range(3)] == [given(trial) for trial in trials]


def test_a_trial_that_is_set_apart_goes_on_when_all_others_have_left_and_is_alone(
    opened: Open,
) -> None:
    study = opened()
    study.next_trial(), study.next_trial()
    study.report(0, 1, 0.5)
    study.set_apart(0, "out of memory")
    assert study.next_trial() is None and not study.is_over(), "trial 1 has to leave first"
    study.report(1, 1, 0.5)
    study.end(1)
    for _ in range(2):
        again = study.next_trial()
        assert again and again.number == 0 and again.intermediate_values == {1: 0.5}
        assert study.next_trial() is None, "nothing begins beside it"
        study = opened()  # A crash while it trains alone, or before, changes nothing of that.
    study.next_trial()
    study.fail(0, "out of memory")
    assert states(study)[:2] == ["FAIL", "COMPLETE"]
    other = study.next_trial()
    assert other and other.number == 2 and not study.is_alone(2)


def test_a_frozen_trial_that_is_to_be_alone_is_thawed_when_nothing_else_trains(
    opened: Open,
) -> None:
    study = opened(search={"scheduler": "promotion"}, budget={"trials": 4})
    study.next_trial(), study.next_trial()
    study.set_apart(0, "out of memory")
    assert not study.report(1, 1, 0.4), "it is frozen"
    assert [given(study.next_trial())[0], study.report(0, 1, 0.3)] == [0, False]
    assert [given(study.next_trial())[0] for _ in range(3)] == [1, 2, 3]
    assert not study.report(2, 1, 0.1) and not study.report(3, 1, 0.2)
    assert study.next_trial() is None, "0 is promoted, too, but 1 still trains"
    assert not study.is_over()
    study.end(1)
    assert given(study.next_trial())[0] == 0


@pytest.mark.parametrize("left_at", range(9))
def test_leaving_after_any_trial_and_coming_back_changes_nothing(
    folder: StudyFolder, left_at: int
) -> None:
    drive(open_study(folder, toy_space()), left_at)
    study = open_study(folder, toy_space())
    drive(study)
    assert told(study) == uninterrupted(folder)


def uninterrupted(folder: StudyFolder) -> list[tuple[Any, ...]]:
    """What the toy's study says when it is run in one sitting."""
    study = open_study(StudyFolder(folder.path.parent / "uninterrupted"), toy_space())
    drive(study)
    return told(study)


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([0.1, 0.2, 0.3, 0.4], "COMPLETE"),
        ([0.1, math.nan], "PRUNED"),
        ([-9.0], "PRUNED"),
        ([0.1, 0.2], "WAITING"),
    ],
)
def test_a_decision_that_a_crash_cut_off_is_taken_on_opening(
    opened: Open, values: list[float], state: str
) -> None:
    asha = {"search": {"scheduler": "asha"}}
    study = opened(**asha)
    study.next_trial(), study.next_trial()
    for epoch in (1, 2, 3, 4):
        study.report(0, epoch, 0.0)
    for epoch, value in enumerate(values, 1):
        study._storage.set_trial_intermediate_value(study._ids[1], epoch, value)
    assert states(opened(**asha)) == ["COMPLETE", state]


def test_asha_knows_its_rungs_again(folder: StudyFolder) -> None:
    study = open_study(folder, toy_space())
    drive(study)
    assert any(rungs_of(study).values())
    assert rungs_of(open_study(folder, toy_space())) == rungs_of(study)


# The best, and checkpoints


def reported_so_far(study: Study) -> list[int]:
    return [best.number for best in ranked(study.trials(), study.objective)]


def test_best_yaml_follows_the_best(opened: Open) -> None:
    study = opened()
    study.next_trial(), study.next_trial()
    assert not study.folder.best.exists()
    for number, epoch, value, best in [
        (0, 1, 0.3, (0, 1)),
        (1, 1, 0.5, (1, 1)),
        (0, 2, 0.4, (1, 1)),
        (0, 3, 0.6, (0, 3)),
    ]:
        study.report(number, epoch, value)
        export = read_export(study.folder.best, study.folder.path)
        assert (export.best.number, export.best.epoch) == best
        assert export.best == study.best
    assert export.job.values == {**trial_of(study, 0).params, "batch": 16}
    assert export.job.seed == study.job(trial_of(study, 0)).seed
    assert (export.job.split_seed, export.job.max_epochs, export.study) == (3, 4, "toy")


def test_seeds_differ_from_trial_to_trial_and_the_split_does_not(opened: Open) -> None:
    study = opened()
    jobs = [study.job(trial) for trial in (study.next_trial(), study.next_trial()) if trial]
    assert jobs[0].seed != jobs[1].seed
    assert [job.split_seed for job in jobs] == [3, 3]
    assert jobs[1].folder == study.folder.path.resolve() / "trials" / "0001"


def test_a_failed_trial_is_never_the_best(opened: Open) -> None:
    study = opened()
    study.next_trial(), study.next_trial()
    study.report(0, 1, 0.3)
    study.report(1, 1, 0.9)
    study.fail(1, "crashed")
    assert study.best and study.best.number == 0
    assert read_export(study.folder.best, study.folder.path).best.number == 0
    assert reported_so_far(study) == [0]


@pytest.mark.parametrize("reopen", [False, True], ids=["at once", "on opening"])
def test_no_best_yaml_stays_when_the_only_trial_failed(opened: Open, reopen: bool) -> None:
    study = opened()
    study.next_trial()
    study.report(0, 1, 0.3)
    best = study.folder.best.read_bytes()
    study.fail(0, "crashed")
    if reopen:
        study.folder.best.write_bytes(best)  # The crash came before it was removed.
        study = opened()
    assert study.best is None
    assert not study.folder.best.exists()


def test_a_best_yaml_that_a_crash_left_behind_is_renewed(opened: Open) -> None:
    study = opened(budget={"trials": 2})
    drive(study)
    right = study.folder.best.read_bytes()
    study.folder.best.unlink()
    assert opened(budget={"trials": 2}).folder.best.read_bytes() == right


def test_unfinished_trials_and_the_best_keep_their_checkpoints(opened: Open) -> None:
    study = opened(budget={"trials": 8, "keep": 2, "max_epochs": 1})
    for number, value in enumerate([0.5, 0.3, 0.4, 0.6]):
        study.next_trial()
        make_checkpoint(study, number)
        assert not study.report(number, 1, value)
        assert checkpoints(study) == set(reported_so_far(study)[:2])
    assert checkpoints(study) == {0, 3}
    study.next_trial(), study.next_trial()
    make_checkpoint(study, 4)
    make_checkpoint(study, 5)
    study.fail(4, "crashed")
    assert checkpoints(study) == {0, 3, 5}
    assert checkpoints(opened(budget={"trials": 8, "keep": 2, "max_epochs": 1})) == {0, 3, 5}
    assert checkpoints(opened(budget={"trials": 8, "keep": 1, "max_epochs": 1})) == {3, 5}


def test_metrics_outlive_their_checkpoint(opened: Open) -> None:
    study = opened(budget={"keep": 1, "max_epochs": 1})
    for number, value in enumerate([0.5, 0.6]):
        study.next_trial()
        make_checkpoint(study, number)
        study.folder.trial(number).metrics.write_text("{}\n")
        study.report(number, 1, value)
    assert checkpoints(study) == {1}
    assert study.folder.trial(0).metrics.exists()


# The same space


def test_another_space_is_refused_with_what_differs(opened: Open) -> None:
    drive(opened(), 1)
    changed = {
        "parameters": {"lr": {"float": [1e-4, 0.5], "log": True}},
        "seed": 4,
        "fixed": {"batch": 32, "extra": 1},
    }
    with pytest.raises(StudyError) as caught:
        opened(**changed)
    assert str(caught.value).splitlines()[1:] == [
        "  fixed.batch: the study has 16, now 32",
        "  fixed.extra: the study has nothing, now 1",
        "  parameters.lr.float: the study has [0.0001, 0.1], now [0.0001, 0.5]",
        "  seed: the study has 3, now 4",
    ]
    assert "another space" in str(caught.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"budget": {"max_epochs": 5}},
        {"search": {"reduction": 4}},
        {"search": {"sampler": "random"}},
        {"start": [{"lr": 0.01}]},
        {"objective": {"maximize": "other"}},
        {"task": "tests.cluster.search.toy_study:other"},
    ],
    ids=str,
)
def test_what_makes_a_space_another_one(opened: Open, changed: dict[str, Any]) -> None:
    study = opened()
    mapping = steady_space().to_dict()
    for key, value in changed.items():
        mapping[key] = {**mapping[key], **value} if key in ("budget", "search") else value
    with pytest.raises(StudyError, match="another space"):
        open_study(study.folder, space_from_mapping(mapping, name="toy", file="toy.yaml"))


def test_the_same_space_under_another_name_is_refused(opened: Open) -> None:
    drive(opened(), 1)
    with pytest.raises(StudyError, match="study of the space toy, now other"):
        opened(name="other")


@pytest.mark.parametrize(
    "changed",
    [
        {"budget": {"trials": 12, "time": "3m", "keep": 5, "retries": 0}},
        {"resources": {"cpus": 2, "gpus": 0.5}},
    ],
    ids=str,
)
def test_budgets_and_resources_may_change(opened: Open, changed: dict[str, Any]) -> None:
    drive(opened())
    drive(study := opened(**changed))
    assert len(study.trials()) == study.space.budget.trials


def test_raising_the_trials_gives_what_more_trials_would_have_given_at_once(tmp_path: Path) -> None:
    raised = StudyFolder(tmp_path / "raised")
    drive(open_study(raised, toy_space(budget={"trials": 5})))
    drive(study := open_study(raised, toy_space(budget={"trials": 14})))
    drive(
        at_once := open_study(StudyFolder(tmp_path / "at once"), toy_space(budget={"trials": 14}))
    )
    assert told(study) == told(at_once)


# Hopeless


def fail_next(study: Study, reason: str) -> None:
    trial = study.next_trial()
    assert trial
    study.fail(trial.number, reason)


def test_a_study_is_hopeless_when_its_first_trials_all_failed_alike(opened: Open) -> None:
    study = opened()
    for _ in range(HOPELESS_FAILURES):
        assert study.hopeless() is None
        fail_next(study, "no module named x")
    assert study.hopeless() == "no module named x"


def test_a_study_is_not_hopeless_when_failures_differ_or_a_trial_got_through(opened: Open) -> None:
    study = opened()
    for i in range(HOPELESS_FAILURES):
        fail_next(study, f"reason {i % 2}")
    assert study.hopeless() is None
    other = open_study(StudyFolder(study.folder.path / "other"), steady_space())
    drive(other, 1)
    for _ in range(HOPELESS_FAILURES):
        fail_next(other, "the same")
    assert other.hopeless() is None


# The whole


def test_every_trial_of_a_finished_study_is_accounted_for(hostile: StudyFolder) -> None:
    study = open_study(hostile, toy_space(budget={"trials": 14}))
    drive(study)
    counts = study.states()
    assert sum(counts.values()) == 14
    assert all(state.is_finished() for state in counts)
    for trial in study.trials():
        values = {**trial.params, "batch": 16}
        expected = {epoch: value_at(values, epoch) for epoch in trial.intermediate_values}
        finite = {
            epoch: value
            for epoch, value in trial.intermediate_values.items()
            if not math.isnan(value)
        }
        assert finite == {epoch: value for epoch, value in expected.items() if math.isfinite(value)}
        assert list(trial.intermediate_values) == list(range(1, len(trial.intermediate_values) + 1))
        if trial.state == TrialState.COMPLETE:
            assert trial.value == max(finite.values())
