"""Proves that a journal survives a crash at any moment, and only a journal is taken.

pytest tests/cluster
"""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from cluster.search.study import Study
from results.study.folder import StudyError, StudyFolder
from results.study.journal import read_journal
from tests.cluster.search.toy_study import (
    Open,
    drive,
    make_checkpoint,
    open_study,
    rungs_of,
    told,
    toy_objective,
    toy_space,
)

pytestmark = pytest.mark.usefixtures("unsynced")


def test_opening_a_study_that_is_in_order_writes_nothing(folder: StudyFolder) -> None:
    drive(open_study(folder, toy_space()))
    journal = folder.journal.read_bytes()
    open_study(folder, toy_space())
    assert folder.journal.read_bytes() == journal


def test_a_crash_at_any_moment_changes_nothing(folder: StudyFolder, tmp_path: Path) -> None:
    whole = open_study(folder, toy_space())
    drive(whole)
    expected, expected_rungs, best = (
        told(whole),
        rungs_of(whole),
        folder.best.read_text(encoding="utf-8"),
    )
    assert {state for _, state, *_ in expected} == {"COMPLETE", "PRUNED", "FAIL"}
    assert len(expected) == 8
    for kept in crash_points(folder.journal.read_bytes()):
        crashed = StudyFolder(tmp_path / "crashed" / folder.path.name)
        crashed.path.mkdir(parents=True)
        crashed.journal.write_bytes(kept)
        study = open_study(crashed, toy_space())
        assert not any(trial.state == TrialState.RUNNING for trial in study.trials())
        drive(study)
        where = f"cut after {len(kept)} bytes: ...{kept[-60:]!r}"
        assert told(study) == expected, where
        assert rungs_of(study) == expected_rungs, where
        assert (
            crashed.best.read_text(encoding="utf-8").replace(str(crashed.path), str(folder.path))
            == best
        ), where
        shutil.rmtree(crashed.path)


def crash_points(journal: bytes) -> list[bytes]:
    """The journal cut at every line: in turn right before it, in its middle, and before its end."""
    points, written = [], b""
    for i, line in enumerate(journal.splitlines(keepends=True)):
        points.append(written + line[: (0, len(line) // 2, len(line) - 1)[i % 3]])
        written += line
    return [*points, written]


def test_the_lock_of_a_writer_that_died_is_no_obstacle(folder: StudyFolder) -> None:
    drive(open_study(folder, toy_space()), 1)
    folder.journal.with_name("journal.log.lock").symlink_to(folder.journal)
    drive(open_study(folder, toy_space()), 1)


def test_checkpoints_without_their_journal_are_refused(opened: Open) -> None:
    study = opened()
    study.next_trial()
    make_checkpoint(study, 0)
    study.folder.journal.unlink()
    with pytest.raises(StudyError, match="checkpoints of trials that the journal doesn't know"):
        opened()


@pytest.mark.parametrize(
    "content", ["garbage\n", "garbage\nmore\n", "{}\n{}\n", "[1]\n", '{"op_code":4}\n{}\n']
)
def test_what_is_no_journal_is_refused(opened: Open, folder: StudyFolder, content: str) -> None:
    folder.path.mkdir()
    folder.journal.write_text(content)
    with pytest.raises(StudyError, match=r"journal\.log:1: "):
        opened()


# What a study accepts, its readers accept

EPOCHS = st.one_of(st.integers(-2, 12), st.just(2**53), st.just(2**54))
VALUES = st.one_of(
    st.floats(), st.integers(-(2**60), 2**60), st.sampled_from([np.float32(0.5), True])
)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
CALLS = st.one_of(
    st.tuples(st.just("report"), st.integers(0, 2), EPOCHS, VALUES, VALUES),
    st.tuples(
        st.just("report"), st.integers(0, 2), st.integers(1, 4), st.floats(-1, 1), st.floats(-1, 1)
    ),
    st.tuples(st.sampled_from(["fail", "warn"]), st.integers(0, 2), TEXTS),
    st.tuples(st.just("end"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["release", "reopen", "next_trial"])),
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(calls=st.lists(CALLS, max_size=25), two=st.booleans(), grace=st.integers(1, 2))
def test_whatever_a_study_accepted_can_be_read(
    folder: StudyFolder, calls: list[Any], two: bool, grace: int
) -> None:
    shutil.rmtree(folder.path, ignore_errors=True)
    second = {"minimize": "size"}
    objective = [{"maximize": "score"}, second] if two else {"maximize": "score"}
    space = toy_space(
        objective=objective, start=[], search={"grace_epochs": grace}, budget={"trials": 3}
    )
    study = open_study(folder, space)
    for _ in range(2):
        study.next_trial()
    for name, *arguments in calls:
        if name == "reopen":
            study = open_study(folder, space)
        elif not arguments or arguments[0] < len(study.trials()):
            if name == "report" and not two:
                arguments.pop()
            with contextlib.suppress(ValueError):
                getattr(study, name)(*arguments)
    read_journal(folder.journal, space, toy_objective(space))
    assert told(open_study(folder, space)) == told(study_after_release(study))


def study_after_release(study: Study) -> Study:
    study.release()
    return study


def test_parameters_in_another_order_are_the_same_space(folder: StudyFolder) -> None:
    space = toy_space()
    drive(open_study(folder, space), 4)
    turned = replace(space, parameters=tuple(reversed(space.parameters)))
    assert [parameter.name for parameter in turned.parameters] != [
        parameter.name for parameter in space.parameters
    ]
    study = open_study(folder, turned)
    drive(study)
    assert open_study(folder, space).states() == study.states()
    whole = open_study(StudyFolder(folder.path.with_name("whole")), space)
    drive(whole)
    assert told(whole) == told(study), "what is suggested doesn't depend on the order"
