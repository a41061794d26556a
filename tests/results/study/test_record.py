"""Proves that a study can be read at any time, also after a crash.

pytest tests/results/study/test_record.py
"""

import io
from pathlib import Path

import pytest

from cluster.search.study import Study
from results.console import Console
from results.study.description import Description, origin, read_description
from results.study.folder import StudyError, StudyFolder, StudyLock
from results.study.identity import differences, identity
from results.study.record import read_study
from results.summary import nothing_found_text, print_summary, states_text
from search_spaces import SpaceError, dump_yaml, read_yaml
from tests.results.small_study import OBJECTIVE, described, drive, open_study, small_space

NAMES = ("plain", "with space", "quo'te\"s", "ünï ✓ 日本", "[bold]x{}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "it's [a] study ✓"


def condition(path: Path) -> str:
    return read_study(StudyFolder(path)).condition()


def summary(path: Path) -> str:
    text = io.StringIO()
    print_summary(read_study(StudyFolder(path)), Console(file=text, width=200))
    return text.getvalue()


# The condition


def test_a_study_that_was_only_described_never_started(path: Path) -> None:
    described(small_space()).write(StudyFolder(path))
    assert condition(path) == "never started"
    assert not StudyFolder(path).journal.exists(), "reading writes nothing"
    assert states_text(read_study(StudyFolder(path))) == "0 of 4 trials: none yet; 0 epochs trained"


def test_a_running_study_names_its_launcher(path: Path) -> None:
    study = drive(open_study(path), 1)
    study.next_trial()
    with StudyLock(study.folder):
        assert condition(path).startswith("running (process ")
        assert "1 running" in summary(path)


def test_a_warning_of_many_trials_is_told_once(path: Path) -> None:
    study = drive(open_study(path), 1)
    for text in ("data: left out 1 sub-folder (first: [bold]old)", "starts over"):
        for _ in range(2 if text.startswith("data") else 1):
            trial = study.next_trial()
            assert trial is not None
            study.warn(trial.number, text)
    told = [
        line for line in summary(path).splitlines() if ": data: " in line or "starts over" in line
    ]
    assert told == [
        "trial 1 and 1 more: data: left out 1 sub-folder (first: [bold]old)",
        "trial 3: starts over",
    ]


def test_a_study_that_was_left_in_order_is_interrupted(path: Path) -> None:
    study = drive(open_study(path), 1)
    study.next_trial()
    study.release()
    assert condition(path) == "interrupted"


def test_a_study_whose_launcher_died_is_dead_and_its_trial_unfinished(path: Path) -> None:
    study = drive(open_study(path), 1)
    study.next_trial()
    assert condition(path).startswith("dead")
    assert "running" not in summary(path)
    assert (
        states_text(read_study(study.folder))
        == "4 of 4 trials: 3 unfinished, 1 complete; 3 epochs trained"
    )


def test_a_study_whose_budget_is_used_up_is_finished(path: Path) -> None:
    drive(open_study(path))
    assert condition(path) == "finished"
    open_study(path, small_space(trials=6))
    assert condition(path) == "interrupted"


def test_reading_leaves_every_file_as_it_is(path: Path) -> None:
    drive(open_study(path), 2)
    before = contents(path)
    read_study(StudyFolder(path))
    assert contents(path) == before


def contents(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_torn_last_line_is_read_over(path: Path) -> None:
    drive(open_study(path), 1)
    with StudyFolder(path).journal.open("ab") as journal:
        journal.write(b'{"op_code":6,"wor')
    assert states_text(read_study(StudyFolder(path))).startswith(
        "4 of 4 trials: 3 unfinished, 1 complete"
    )


# The summary


def test_the_summary_accounts_for_every_trial(path: Path) -> None:
    drive(open_study(path))
    lines = [line.strip() for line in summary(path).splitlines()]
    assert lines[0] == "4 of 4 trials: 2 complete, 1 stopped early, 1 failed; 7 epochs trained"
    assert [line.split()[0] for line in lines[1:5]] == ["trial", "3", "0", "1"]
    assert "stopped at 1" in lines[4]
    assert "[start point 1] x=3" in lines[4]
    assert lines[-1] == "trial 2 failed: unlucky [x]"


def test_the_start_points_are_shown_however_bad_they_are(path: Path) -> None:
    drive(open_study(path, small_space(trials=12)))
    for start in (0, 1, 3):
        assert summary(path).count(f"[start point {start}]") == 1


def test_many_failures_are_cut_short(path: Path) -> None:
    study = open_study(path, small_space(trials=9))
    while (trial := study.next_trial()) is not None:
        study.fail(trial.number, f"reason {trial.number}")
    text = summary(path)
    assert "trial 4 failed: reason 4" in text
    assert "reason 5" not in text
    assert "and 4 more failed" in text
    assert text.startswith("9 of 9 trials: 9 failed; 0 epochs trained")


# The description


@pytest.mark.parametrize("name", NAMES)
def test_a_description_reads_back_as_it_was_written(path: Path, name: str) -> None:
    description = described(small_space(name, time="1h30m"))
    description.write(StudyFolder(path))
    read = read_description(StudyFolder(path))
    assert read.space.to_dict() == description.space.to_dict()
    assert (read.space.name, read.objective, read.import_paths) == (
        name,
        OBJECTIVE,
        description.import_paths,
    )
    assert dict(read.origin) == {"command": "test"}
    assert identity(read.space) == identity(description.space)


def test_the_origin_tells_command_time_and_versions() -> None:
    found = origin("gpt2_classifier")
    assert found["command"].startswith("python ")
    assert found["versions"].keys() >= {"ray", "optuna", "torch"}
    assert found["begun"].endswith("+00:00")
    assert found["code"].keys() >= {"trainables/gpt2_classifier/task.py"}


def test_what_is_no_study_is_refused(path: Path) -> None:
    with pytest.raises(StudyError, match=r"is no study: it has no study\.yaml"):
        read_study(StudyFolder(path))
    assert not path.exists()


@pytest.mark.parametrize("lost", ["name", "objective", "import_paths", "origin", "space"])
def test_a_description_that_lost_a_key_is_damaged(path: Path, lost: str) -> None:
    open_study(path)
    edit(path, {lost: None})
    with pytest.raises(StudyError, match=r"study\.yaml is damaged.*" + lost):
        read_study(StudyFolder(path))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": 5}, "name must be a text"),
        ({"objective": "score"}, "objective must be maximize or minimize with a metric's name"),
        ({"objective": {"minimize": "score"}}, "objective must be the space's, got minimize score"),
        ({"objective": {"maximize": "other"}}, "objective must be the space's, got maximize other"),
        ({"import_paths": "abc"}, "import_paths must be a list of folders"),
        ({"import_paths": [1]}, "import_paths must be a list of folders"),
        ({"origin": []}, "origin must be a mapping"),
        ({"space": []}, "space must be a mapping"),
        ({"more": 1}, "more is not known"),
    ],
)
def test_a_description_with_a_wrong_section_is_damaged(
    path: Path, changed: dict[str, object], message: str
) -> None:
    open_study(path)
    edit(path, changed)
    with pytest.raises(StudyError, match=r"study\.yaml is damaged: " + message):
        read_study(StudyFolder(path))


@pytest.mark.parametrize(
    "text", ["a: [", "- 1\n", "", "space: 3\nname: x\nobjective: 4\n", "lr: 1e-5\n"]
)
def test_a_description_that_is_none_is_refused(path: Path, text: str) -> None:
    open_study(path)
    StudyFolder(path).description.write_text(text)
    with pytest.raises((StudyError, SpaceError), match=r"study\.yaml"):
        read_study(StudyFolder(path))


def edit(path: Path, changes: dict[str, object]) -> None:
    """Change keys of a study's description; None removes one."""
    file = StudyFolder(path).description
    content = {
        key: value for key, value in {**read_yaml(file), **changes}.items() if value is not None
    }
    file.write_text(dump_yaml(content), encoding="utf-8")


def test_an_edited_description_is_refused_with_what_was_edited(path: Path) -> None:
    drive(open_study(path), 1)
    space = small_space().to_dict()
    edit(path, {"space": {**space, "fixed": {"y": 2}}})
    edited = read_description(StudyFolder(path))
    with pytest.raises(StudyError, match=r"another space(.|\n)*fixed\.y: the study has 1, now 2"):
        Study(StudyFolder(path), edited.space, edited.objective, edited.import_paths)


def test_differences_name_what_is_new_and_what_is_gone() -> None:
    assert differences({"a": 1, "b": [1, 2], "c": "ü"}, {"a": 1, "b": [1, 3], "d": None}) == [
        "b: the study has [1, 2], now [1, 3]",
        'c: the study has "ü", now nothing',
        "d: the study has nothing, now null",
    ]


def test_a_damaged_journal_is_refused(path: Path) -> None:
    drive(open_study(path), 1)
    journal = StudyFolder(path).journal
    journal.write_bytes(b"garbage\n" + journal.read_bytes())
    with pytest.raises(StudyError, match=r"journal\.log:1: a line must be a JSON object"):
        read_study(StudyFolder(path))


def test_a_description_is_frozen() -> None:
    with pytest.raises(AttributeError):
        described(small_space()).origin = {}  # type: ignore[misc]
    assert isinstance(described(small_space()), Description)


def test_a_study_that_found_nothing_says_why(tmp_path: Path) -> None:
    study = open_study(tmp_path / "s")
    for number in range(2):
        assert study.next_trial() is not None
        study.report(number, 1, float("nan"))
    assert nothing_found_text(read_study(study.folder)) == (
        "no trial has a finite score: trial 0 ended at epoch 1 with a number that isn't"
    )
    assert study.next_trial() is not None
    study.fail(2, "RuntimeError: no data (mine.py:2)")
    failed = "no trial has a finite score: trial 2 failed: RuntimeError: no data (mine.py:2)"
    assert nothing_found_text(read_study(study.folder)) == failed
    error = study.folder.trial(2).error
    error.parent.mkdir(parents=True)
    error.write_text("Traceback")
    assert nothing_found_text(read_study(study.folder)) == f"{failed}; the traceback: {error}"
