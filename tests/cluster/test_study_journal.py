"""Proves that a journal survives a crash at any moment, and only a journal is taken: pytest tests/cluster."""

import shutil
from pathlib import Path

import pytest
from optuna.trial import TrialState

from results.study_folder import StudyError, StudyFolder
from tests.cluster.toy_study import Open, drive, make_checkpoint, open_study, told, toy_space

pytestmark = pytest.mark.usefixtures("unsynced")


def test_opening_a_study_that_is_in_order_writes_nothing(folder: StudyFolder) -> None:
    drive(open_study(folder, toy_space()))
    journal = folder.journal.read_bytes()
    open_study(folder, toy_space())
    assert folder.journal.read_bytes() == journal


def test_a_crash_at_any_moment_changes_nothing(folder: StudyFolder, tmp_path: Path) -> None:
    whole = open_study(folder, toy_space())
    drive(whole)
    expected, expected_rungs, best = told(whole), whole.asha.rungs, folder.best.read_text(encoding="utf-8")
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
        assert study.asha.rungs == expected_rungs, where
        assert crashed.best.read_text(encoding="utf-8") == best, where
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


@pytest.mark.parametrize("content", ["garbage\n", "garbage\nmore\n", "{}\n{}\n", "[1]\n", '{"op_code":4}\n{}\n'])
def test_what_is_no_journal_is_refused(opened: Open, folder: StudyFolder, content: str) -> None:
    folder.path.mkdir()
    folder.journal.write_text(content)
    with pytest.raises(StudyError, match=r"journal\.log:1: "):
        opened()
