"""Proves that failed trials are trained again where that may help, and count only once.

pytest tests/cluster/search/test_repeats.py
"""

from io import StringIO

import pytest
from optuna.trial import TrialState

from cluster.search.study import HOPELESS_FAILURES, Study
from cluster.tune_hooks import Halt
from cluster.view import headline
from results.console import Console
from results.study.description import Description
from results.study.folder import StudyError, StudyFolder
from results.study.journal import read_journal
from results.study.record import StudyRecord, read_study
from results.summary import nothing_found_text, print_summary
from search_spaces import Space
from tests.cluster.search.toy_study import (
    drive,
    open_study,
    rungs_of,
    states,
    steady_space,
    toy_objective,
    trial_of,
)

START = [{"lr": 0.01, "width": 8}, {"lr": 0.001}]
SPACE = steady_space(start=START, budget={"trials": 4})

pytestmark = pytest.mark.usefixtures("unsynced")


def opened(folder: StudyFolder, code: str, space: Space = SPACE) -> Study:
    return open_study(folder, space, code=code)


def fail(study: Study, trials: int, reason: str = "ValueError (mine.py:3)") -> None:
    for _ in range(trials):
        trial = study.next_trial()
        assert trial
        study.fail(trial.number, reason)


def fail_all_but_the_first(folder: StudyFolder) -> None:
    study = opened(folder, "before")
    drive(study, 1)
    fail(study, 3)


def record(folder: StudyFolder, space: Space = SPACE) -> StudyRecord:
    objective = toy_objective(space)
    Description(space=space, objective=objective, import_paths=(), origin={}).write(folder)
    return read_study(folder)


def summary(folder: StudyFolder) -> str:
    console = Console(file=StringIO(), width=200)
    print_summary(record(folder), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_when_the_code_has_changed_the_failed_are_trained_again_as_they_were(
    folder: StudyFolder,
) -> None:
    fail_all_but_the_first(folder)
    study = opened(folder, "after")
    assert study.trained_again == "trains 3 failed trials again: the code of the task has changed"
    assert states(study) == ["COMPLETE", "FAIL", "FAIL", "FAIL", "WAITING", "WAITING", "WAITING"]
    assert [trial.number for trial in drive(study)] == [4, 5, 6]
    for number in (4, 5, 6):
        failed, again = trial_of(study, number - 3), trial_of(study, number)
        assert again.params == failed.params and again.state == TrialState.COMPLETE
        assert again.user_attrs["repeats"] == failed.number
        assert again.user_attrs.get("start") == failed.user_attrs.get("start")
    assert study.next_trial() is None
    read_journal(folder.journal, SPACE, toy_objective(SPACE))


def test_a_failure_among_successes_is_not_tried_again_by_the_same_code(folder: StudyFolder) -> None:
    fail_all_but_the_first(folder)
    study = opened(folder, "before")
    assert (study.trained_again, study.next_trial()) == (None, None)
    assert states(study) == ["COMPLETE", "FAIL", "FAIL", "FAIL"]


def test_a_study_that_knows_no_code_tries_no_failure_again(folder: StudyFolder) -> None:
    fail_all_but_the_first(folder)
    assert open_study(folder, SPACE).trained_again is None


def test_a_study_without_any_value_tries_again_whatever_failed(folder: StudyFolder) -> None:
    fail(opened(folder, "same"), 4)
    study = opened(folder, "same")
    assert study.trained_again == "trains 4 failed trials again: no trial has reached a value yet"
    assert len(drive(study)) == 4
    assert opened(folder, "same").trained_again is None


def test_once_it_is_told_that_the_code_has_changed_where_nothing_was_found(
    folder: StudyFolder,
) -> None:
    fail(opened(folder, "before"), 4)
    told = opened(folder, "after").trained_again
    assert told == "trains 4 failed trials again: the code of the task has changed"


def test_what_fails_again_may_be_mended_again(folder: StudyFolder) -> None:
    for code in ("first", "second", "third"):
        fail(opened(folder, code), 4)
    study = opened(folder, "fourth")
    assert [trial.number for trial in study.counted()] == [12, 13, 14, 15]
    assert {trial.user_attrs["repeats"] for trial in study.counted()} == {8, 9, 10, 11}
    assert trial_of(study, 12).user_attrs["start"] == 0
    drive(study)
    assert {trial.number: trial.params for trial in study.trials()[:4]} == {
        trial.number - 12: trial.params for trial in study.trials()[12:]
    }


def test_what_was_enqueued_before_a_crash_is_not_enqueued_twice(folder: StudyFolder) -> None:
    fail_all_but_the_first(folder)
    opened(folder, "after")
    study = opened(folder, "after")
    assert study.trained_again is None
    assert len(drive(study)) == 3 and len(study.trials()) == 7


def test_the_budget_may_be_raised_after_all(folder: StudyFolder) -> None:
    fail_all_but_the_first(folder)
    study = opened(folder, "after", steady_space(start=START, budget={"trials": 6}))
    assert [trial.number for trial in drive(study)] == [4, 5, 6, 7, 8]
    assert len(study.counted()) == 6


def test_old_failures_do_not_make_the_new_launch_hopeless(folder: StudyFolder) -> None:
    space = steady_space(budget={"trials": 20})
    study = opened(folder, "before", space)
    fail(study, HOPELESS_FAILURES)
    assert study.hopeless()
    study = opened(folder, "after", space)
    fail(study, 1)
    assert study.hopeless() is None
    fail(study, HOPELESS_FAILURES - 1)
    assert study.hopeless()


def test_asha_compares_with_the_repeat_and_not_with_both(folder: StudyFolder) -> None:
    space = steady_space(start=START, budget={"trials": 3}, search={"scheduler": "asha"})
    study = opened(folder, "before", space)
    study.next_trial(), study.next_trial()
    study.report(0, 1, 0.5)
    study.report(1, 1, 0.7)
    study.fail(1, "ValueError")
    study = opened(folder, "after", space)
    assert rungs_of(study) == {1: {0: (0.5,)}, 2: {}}
    assert study.best and study.best.number == 0
    study.next_trial(), study.next_trial()
    assert study.report(2, 1, 0.6)
    rungs = {1: {0: (0.5,), 2: (0.6,)}, 2: {}}
    assert rungs_of(study) == rungs_of(opened(folder, "after", space)) == rungs


def test_what_is_shown_counts_a_configuration_once(folder: StudyFolder) -> None:
    fail_all_but_the_first(folder)
    assert "trial 1 failed: ValueError (mine.py:3)" in summary(folder)
    study = opened(folder, "after")
    assert headline(study, Halt(None), 0.0).startswith("1/4 trials: 1 complete, 3 unfinished")
    drive(study)
    shown = summary(folder)
    assert "4 of 4 trials: 4 complete, 3 trained again; 16 epochs trained" in shown
    assert "failed" not in shown
    assert record(folder).condition() == "finished"


def test_where_nothing_was_found_the_last_reason_is_told(folder: StudyFolder) -> None:
    fail(opened(folder, "before"), 4, "ValueError (mine.py:3)")
    fail(opened(folder, "after"), 4, "KeyError (mine.py:5)")
    assert "trial 4 failed: KeyError (mine.py:5)" in nothing_found_text(record(folder))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"repeats":1', '"repeats":0', "repeats must be the number of a failed trial"),
        ('"repeats":1', '"repeats":4', "repeats must be the number of a failed trial"),
        ('"repeats":1', '"repeats":true', "repeats must be the number of a failed trial"),
        ('"repeats":2', '"repeats":1', "that no other one repeats, got 1"),
        ('"repeats":1,"start":1', '"repeats":1', "user_attrs must be {repeats: 1, start: 1}"),
        ('"repeats":2', '"repeats":2,"start":0', "user_attrs must be {repeats: 2}"),
        ('{"lr":0.001', '{"lr":0.002', "system_attrs must be"),
        ('{"repeats":2}', '{"repeats":2,"x":1,"y":1}', "an object with one or two keys"),
    ],
)
def test_a_journal_whose_repeat_is_of_no_failed_trial_is_refused(
    folder: StudyFolder, old: str, new: str, message: str
) -> None:
    fail_all_but_the_first(folder)
    opened(folder, "after")
    lines = folder.journal.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if '"repeats"' in line)
    text = "".join(lines[at:])
    assert old in text, text
    folder.journal.write_text("".join(lines[:at]) + text.replace(old, new, 1))
    with pytest.raises(StudyError) as caught:
        read_journal(folder.journal, SPACE, toy_objective(SPACE))
    assert message in str(caught.value)
