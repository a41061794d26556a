"""Proves that the command line stays, and that a mistake is one message and no file.

pytest tests/test_launch.py
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient

import launch
from cluster.search.study import Study
from results.mlflow.tracking import Tracking
from results.study.description import Description, read_description
from results.study.folder import StudyFolder
from search_spaces import load_space
from tests.trainables.users_task import write_task
from trainables.accepting import accept
from trainables.job import run
from trainables.user_code.importing import import_from

TASK = """
def train(config, seed, max_epochs):
    for epoch in range(1, max_epochs + 1):
        yield {"score": config["x"] + epoch / 10}
"""
SPACE = """
task: launch_task:train
objective: {maximize: score}
parameters: {x: {int: [0, 9]}}
start: [{x: 5}, {x: 7}]
budget: {trials: 3, max_epochs: 2}
"""
GPT2 = """
task: gpt2_classifier
parameters: {optim.lr: {float: [1.0e-4, 1.0e-2], log: true}}
budget: {trials: 3, max_epochs: 2}
"""
GOLDEN = Path(__file__).with_name("test_launch_help.txt")
Launch = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with two spaces and a task; Ray may not be started from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "launch_task", raising=False)
    monkeypatch.setattr("cluster.runner.connect", no_ray)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # No power fails here.
    (tmp_path / "launch_task.py").write_text(TASK)
    (tmp_path / "small.yaml").write_text(SPACE)
    (tmp_path / "gpt2.yaml").write_text(GPT2)
    return tmp_path


def no_ray(*arguments: Any) -> None:
    pytest.fail("Ray would have been started")


@pytest.fixture
def launched(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Launch:
    """Runs a command line in this process; gives its exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "200")

    def launch_it(*arguments: str) -> tuple[int, str, str]:
        try:
            code = launch.main(arguments)
        except SystemExit as stop:
            assert isinstance(stop.code, int)
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    return launch_it


def make_study(path: Path, *, space: str = "small.yaml", trials: int = 100) -> Study:
    """A study as a search would have left it after so many trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    import_from([str(Path.cwd())])
    read = load_space(space)
    paths = (str(Path.cwd()),)
    description = Description(
        space=read, objective=accept(read), import_paths=paths, origin={"command": "test"}
    )
    study = Study(StudyFolder(path), read, description.objective, paths)
    description.write(study.folder)
    for _ in range(trials):
        if (trial := study.next_trial()) is None:
            break
        for report in run(study.job(trial)):
            if not study.report(trial.number, report.epoch, report.metrics["score"]):
                break
    return study


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder with their content.

    Not those that Python and the launcher's lock leave.
    """
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if path.suffix != ".pyc" and path.name != "launcher.lock"
    }


# Mistakes


def test_a_bare_call_shows_all_commands(launched: Launch, here: Path) -> None:
    before = files(here)
    code, out, err = launched()
    assert (code, out, files(here)) == (2, "", before)
    assert all(f"\n  {command} " in err for command in launch.COMMANDS)
    assert "--space" in err and "--resume" in err and "error" not in err


def refused(launched: Launch, here: Path, *arguments: str) -> str:
    """The message of a command line that is refused: code 2, no traceback, nothing written."""
    before = files(here)
    code, out, err = launched(*arguments)
    assert (code, out) == (2, "")
    assert "error: " in err
    assert "Traceback" not in err
    assert "Error:" not in err, "an exception's class says nothing to a user"
    assert files(here) == before
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--trials 3", "one of the arguments --space --resume is required"),
        ("--space small.yaml --resume runs/small", "not allowed with argument"),
        ("--space", "expected one argument"),
        ("--space nowhere", "must be one of"),
        ("--space nowhere.yaml", "must be one of"),
        ("--space v6x", "did you mean v6?"),
        ("--space .", "a space must be one of"),
        ("--space launch_task.py", "launch_task.py"),
        ("--space small.yaml --trials 0", "must be a whole number from 1, got '0'"),
        ("--space small.yaml --trials x", "must be a whole number from 1, got 'x'"),
        ("--space small.yaml --trials 2.5", "must be a whole number from 1, got '2.5'"),
        ("--space small.yaml --max-epochs -1", "must be a whole number from 1, got '-1'"),
        ("--space small.yaml --time soon", "time must be a duration above 0 such as 90s"),
        ("--space small.yaml --time 0s", "time must be a duration above 0"),
        ("--space small.yaml --time -5m", "expected one argument"),
        ("--space small.yaml --seed -1", "must be a whole number from 0 to 4294967295, got '-1'"),
        ("--space small.yaml --seed one", "must be a whole number from 0 to 4294967295, got 'one'"),
        ("--space small.yaml --concurrent 0", "must be a whole number from 1, got '0'"),
        ("--space small.yaml --set nonsense", "must be key=value"),
        ("--space small.yaml --set =3", "must be key=value"),
        ("--space small.yaml --set budget.nonsense=3", "nonsense"),
        ("--space small.yaml --set x=1e-5", "1e-5"),
        ("--space small.yaml --set", "expected at least one argument"),
        ("--space small.yaml --set x=3", "at least one parameter"),
        ("--space small.yaml --set task=nowhere:train", "there is no module 'nowhere'"),
        (
            "--space small.yaml --set task=launch_task:nothing",
            "launch_task has no 'nothing'; it has train",
        ),
        ("--space small.yaml --set task=nonsense", "must be a built-in name (gpt2_classifier"),
        ("--space small.yaml --set task=gpt2_classifier", "objective"),
        (
            "--space gpt2.yaml --set optim.lt=3",
            "optim.lt: not a setting of this task; did you mean optim.lr?",
        ),
        (
            "--space gpt2.yaml --set model.layers=two",
            "model.layers: must be a whole number, got 'two'",
        ),
        ("--space gpt2.yaml --set model.heads=5", "heads must divide width"),
        (
            "--space gpt2.yaml --set model.cls_strategy=guess",
            "must be one of explicit, last_non_pad",
        ),
        ("--space gpt2.yaml --set data.path=nowhere.jsonl data.vocab=nowhere.json", "no such file"),
        ("--space gpt2.yaml --set data.path=small.yaml", "path and vocab go together"),
        ("--space small.yaml --name ../x", "--name must be letters, digits"),
        ("--space small.yaml --name a/b", "--name must be letters, digits"),
        ("--space small.yaml --name .hidden", "--name must be letters, digits"),
        ("--space small.yaml --name with.a.space\u00a0x", "--name must be letters, digits"),
        ("--space small.yaml --name ", "--name must be letters, digits"),
        ("--space small.yaml --out small.yaml", "must be a folder"),
        ("--space small.yaml --out small.yaml/runs", "must be a folder"),
        (
            "--space small.yaml --mlflow http://me:secret@localhost",
            "--mlflow must hold no password",
        ),
        (
            "--space small.yaml --mlflow http://127.0.0.1:9",
            "MLflow at http://127.0.0.1:9 can't be used",
        ),
        ("--space small.yaml --nonsense", "unrecognized arguments: --nonsense"),
        ("--resume nowhere", "nowhere is no study: it has no study.yaml"),
        ("--resume small.yaml", "small.yaml is no study"),
        ("--resume .", "is no study"),
        ("--resume ", "is no study"),
        ("nonsense", "invalid choice: 'nonsense'"),
        ("check", "the following arguments are required: space"),
        ("check nowhere", "a space must be one of"),
        ("check launch_task.py", "launch_task.py"),
        ("status", "the following arguments are required: study"),
        ("status nowhere", "is no study"),
        ("status small.yaml", "is no study"),
        ("export nowhere", "is no study"),
        ("export nowhere --top 0", "must be a whole number from 1"),
        ("export nowhere --to small.yaml", "must be a folder"),
        ("train", "the following arguments are required: config"),
        ("train nowhere.yaml", "nowhere.yaml: there is no such file"),
        ("train .", "must be a file"),
        ("train small.yaml", "small.yaml is no exported configuration"),
        ("train launch_task.py", "launch_task.py"),
        ("train small.yaml --workers 0", "must be a whole number from 1, got '0'"),
        (
            "train small.yaml --seed 4294967296",
            "must be a whole number from 0 to 4294967295, got '4294967296'",
        ),
        ("train small.yaml --seed -3", "must be a whole number from 0 to 4294967295, got '-3'"),
    ],
)
def test_a_mistake_on_the_command_line_is_refused(
    launched: Launch, here: Path, arguments: str, message: str
) -> None:
    assert message in refused(launched, here, *(arguments.split(" ") if arguments else []))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "task: launch_task:train",
            "tusk: launch_task:train",
            "mistaken.yaml:2: a key must be one of",
        ),
        ("{int: [0, 9]}", "{float: [1e-5, 1]}", "mistaken.yaml:4: 1e-5"),
        ("{int: [0, 9]}", "{int: [0, nine]}", "mistaken.yaml:4: "),
        ("{int: [0, 9]}", "{int: [9, 0]}", "mistaken.yaml:4: "),
        ("{int: [0, 9]}", "{int: [0, 9], when: {y: 1}}", "mistaken.yaml:4: "),
        ("trials: 3", "trials: many", "mistaken.yaml:6: trials must be a whole number, at least 1"),
        ("trials: 3", "trials: 3, trials: 4", "mistaken.yaml:6: the key trials is already given"),
        ("launch_task:train", "nowhere:train", "there is no module 'nowhere'"),
        ("launch_task:train", "nonsense", "task must be a built-in name"),
        ("objective: {maximize: score}", "", "so the space must name what to compare by"),
        ("start: [{x: 5}", "start: [{x: 50}", "mistaken.yaml:5: "),
        ("start: [{x: 5}", "start: [{z: 5}", "mistaken.yaml:5: "),
        ("task:", "\ttask:", "mistaken.yaml:2: not valid YAML"),
    ],
)
@pytest.mark.parametrize("command", [["check"], ["--space"]], ids=["check", "search"])
def test_a_mistake_in_a_space_is_refused_with_its_line(
    launched: Launch, here: Path, command: list[str], old: str, new: str, message: str
) -> None:
    assert old in SPACE
    (here / "mistaken.yaml").write_text(SPACE.replace(old, new, 1))
    assert message in refused(launched, here, *command, "mistaken.yaml")


def test_all_mistakes_are_told_at_once(launched: Launch, here: Path) -> None:
    (here / "mistaken.yaml").write_text(
        SPACE.replace("trials: 3", "trials: 0").replace("[0, 9]", "[9, 0]")
    )
    message = refused(launched, here, "check", "mistaken.yaml")
    assert "mistaken.yaml:4: " in message
    assert "mistaken.yaml:6: " in message


def test_a_module_that_breaks_on_import_is_refused(launched: Launch, here: Path) -> None:
    (here / "broken_task.py").write_text("import nowhere_to_be_found\n")
    message = refused(launched, here, "--space", "small.yaml", "--set", "task=broken_task:train")
    assert "importing broken_task failed" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--max-epochs 5", "--max-epochs would make it another one"),
        ("--set x=3", "--set would make it another one"),
        ("--seed 3", "--seed would make it another one"),
        ("--seed 0 --set x=3", "--set, --seed would make it another one"),
        ("--mlflow http://localhost", "--mlflow would make it another one"),
        ("--name other", "--name would make it another one"),
        ("--trials 2", "--trials may be raised on --resume, never lowered: the study has 3, got 2"),
    ],
)
def test_resuming_changes_no_study(
    launched: Launch, here: Path, options: str, message: str
) -> None:
    make_study(here / "runs" / "small", trials=1)
    assert message in refused(launched, here, "--resume", "runs/small", *options.split())


def test_a_name_that_another_space_has_taken_is_refused(launched: Launch, here: Path) -> None:
    make_study(here / "runs" / "small", trials=1)
    assert "another space" in refused(launched, here, "--space", "small.yaml", "--seed", "5")
    (here / "other.yaml").write_text(SPACE)
    assert "study of the space small, now other" in refused(
        launched, here, "--space", "other.yaml", "--name", "small"
    )


def test_an_edited_study_is_refused(launched: Launch, here: Path) -> None:
    study = make_study(here / "runs" / "small", trials=1)
    text = study.folder.description.read_text()
    study.folder.description.write_text(text.replace("int: [0, 9]", "int: [0, 8]"))
    message = refused(launched, here, "--resume", "runs/small")
    assert "parameters.x.int: the study has [0, 9], now [0, 8]" in message


def test_resuming_without_the_data_or_the_task_is_refused(launched: Launch, here: Path) -> None:
    study = make_study(here / "runs" / "small", trials=1)
    (here / "launch_task.py").unlink()
    del sys.modules["launch_task"]
    assert "there is no module 'launch_task'" in refused(launched, here, "--resume", "runs/small")
    assert read_description(study.folder).space.name == "small"
    fixed = "fixed: {data.path: gone.jsonl, data.vocab: gone.json}\n"
    (here / "gpt2.yaml").write_text(GPT2 + fixed)
    make_study(here / "runs" / "gpt2", space="gpt2.yaml", trials=0)
    assert "no such file" in refused(launched, here, "--resume", "runs/gpt2")


def test_a_study_without_values_has_nothing_to_export(launched: Launch, here: Path) -> None:
    make_study(here / "runs" / "small", trials=0)
    assert "nothing to export" in refused(launched, here, "export", "runs/small")


def test_an_export_whose_task_is_gone_is_refused(launched: Launch, here: Path) -> None:
    make_study(here / "runs" / "small")
    (here / "launch_task.py").unlink()
    del sys.modules["launch_task"]
    assert "there is no module 'launch_task'" in refused(
        launched, here, "train", "runs/small/best.yaml"
    )


def test_an_export_with_a_setting_that_its_task_lacks_is_refused(
    launched: Launch, here: Path
) -> None:
    study = make_study(here / "runs" / "small")
    text = study.folder.best.read_text().replace("task: launch_task:train", "task: gpt2_classifier")
    study.folder.best.write_text(text)
    assert "x: not a setting of this task" in refused(
        launched, here, "train", "runs/small/best.yaml"
    )


# What goes well, without Ray


def test_check_says_what_a_space_is(launched: Launch) -> None:
    code, out, err = launched("check", "v6.yaml")
    assert (code, err) == (0, "")
    assert out.startswith("v6.yaml: ok. gpt2_classifier, maximize accuracy; ")
    code, out, _ = launched("check", "small")
    assert (code, out) == (
        0,
        "small.yaml: ok. launch_task:train, maximize score; 1 parameters, 2 start points, 3 "
        "trials of up to 2 epochs; sampler tpe, scheduler asha (a function may have to train a "
        "frozen trial again from its start, so none is frozen)\n",
    )


def test_check_warns_of_what_comes_too_late(launched: Launch, here: Path) -> None:
    (here / "late.yaml").write_text(GPT2 + "fixed: {optim.scheduler: plateau}\n")
    code, out, err = launched("check", "late.yaml")
    warning, told = out.splitlines()
    assert (code, err) == (0, "")
    assert warning == (
        "late.yaml: warning: optim.scheduler plateau comes too late in trials of 2 epochs with "
        "optim.plateau_epochs 5: lower optim.plateau_epochs"
    )
    assert told.startswith("late.yaml: ok. ")


def test_simulate_predicts_a_search_by_a_former_study(launched: Launch, here: Path) -> None:
    make_study(here / "runs" / "small")
    simulate = ("simulate", "small.yaml", "--workers", "2")
    code, out, _ = launched(*simulate, "--curves", "runs/small")
    assert code == 0
    assert "small: 3 trials of up to 2 epochs; curves of" in out
    assert "2 slots, 5s:" in out
    code, _, err = launched(*simulate)
    assert code == 2
    assert "no curves of launch_task:train are stored; name a table" in err
    code, _, err = launched(*simulate, "--curves", "nowhere")
    assert code == 2
    assert "nowhere must be a study's folder or a table of curves" in err


def test_check_run_trains_a_little(launched: Launch, here: Path) -> None:
    before = files(here)
    code, out, err = launched("check", "small", "--run")
    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == [
        "start point 0: trains; score 5.1",
        "low corner: trains; score 0.1",
        "high corner: trains; score 9.1",
    ]
    assert out.splitlines()[3].startswith("small.yaml: ok. ")
    assert files(here) == before


def test_check_run_tells_what_raises(launched: Launch, here: Path) -> None:
    (here / "launch_task.py").write_text(TASK.replace("epoch / 10", "epoch / 0"))
    code, out, err = launched("check", "small", "--run")
    assert (code, out) == (2, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith(
        "\nerror: small.yaml: start point 0: ZeroDivisionError: division by zero "
        "(launch_task.py:4)\n"
    )


@pytest.mark.slow
def test_a_broken_task_is_told_before_ray_starts(
    launched: Launch, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.rehearsal_process.LIMIT_S", 300.0)  # The machine may be busy.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write_task(here, ("return errors.mean(), errors", "return errors.mean()"))
    before = files(here)
    code, out, err = launched("--space", "mine.yaml")
    assert (code, out) == (2, "")
    assert err == (
        "error: mine.yaml: low corner: loss() must return the loss and what count() needs: return "
        "loss, outputs; got a tensor []\n"
    )
    assert files(here) == before


DEAD_KNOB = GPT2.replace("parameters: {", "parameters: {optim.restart_epochs: {int: [1, 3]}, ")


@pytest.mark.parametrize("command", [["check"], ["--space"]], ids=["check", "search"])
def test_a_value_that_is_searched_in_vain_is_refused(
    launched: Launch, here: Path, command: list[str]
) -> None:
    (here / "mistaken.yaml").write_text(DEAD_KNOB)
    told = "optim.restart_epochs is searched, but no scheduler or optimizer of this space uses it"
    assert told in refused(launched, here, *command, "mistaken.yaml")


def test_a_study_that_searches_in_vain_already_goes_on(
    launched: Launch, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "vain.yaml").write_text(DEAD_KNOB)
    make_study(here / "runs" / "vain", space="vain.yaml", trials=0)
    monkeypatch.setattr("launch.run", lambda *arguments: 0)
    assert launched("--resume", "runs/vain") == (0, "", "")
    assert launched("--space", "vain.yaml") == (0, "", "")


def test_spaces_lists_every_built_in_space(launched: Launch) -> None:
    code, out, err = launched("spaces")
    assert (code, err) == (0, "")
    assert "v6: gpt2_classifier" in out
    assert "optim.lr" in out


def test_status_tells_where_a_study_is(launched: Launch, here: Path) -> None:
    study = make_study(here / "runs" / "small", trials=1)
    study.release()
    code, out, err = launched("status", "runs/small")
    assert (code, err) == (0, "")
    assert out.startswith(
        "small: interrupted\n2 of 3 trials: 1 complete, 1 unfinished; 2 epochs trained\n"
    )
    make_study(here / "runs" / "small")
    assert launched("status", "runs/small/")[1].startswith("small: finished\n3 of 3 trials: ")


def test_export_then_train_gives_the_value_again(launched: Launch, here: Path) -> None:
    make_study(here / "runs" / "small")
    code, out, err = launched("export", "runs/small", "--top", "2", "--to", "my 'exports'")
    assert (code, err) == (0, "")
    told = [Path(line.split(": ")[0]) for line in out.splitlines()]
    assert set(told) == set(Path("my 'exports'").iterdir())
    best = told[0] / "config.yaml"
    code, out, err = launched("train", str(best))
    assert (code, err) == (0, "")
    assert "the exported value, reproduced" in out
    code, out, _ = launched("train", str(best), "--seed", "0")
    assert (code, "training with seed 0" in out) == (0, True)


def test_a_finished_study_starts_nothing_when_run_again(launched: Launch, here: Path) -> None:
    make_study(here / "runs" / "small")
    for arguments in (
        ("--space", "small.yaml"),
        ("--resume", "runs/small"),
        ("--resume", "runs/small", "--trials", "3"),
    ):
        code, out, err = launched(*arguments)
        assert (code, err) == (0, "")
        assert "3 of 3 trials" in out
        assert "python launch.py train runs/small/best.yaml" in out


def test_a_finished_study_that_mlflow_lacks_is_sent_when_run_again(
    launched: Launch, here: Path
) -> None:
    study = make_study(here / "runs" / "small")
    tracking = Tracking(uri=f"sqlite:///{here}/mlflow.db", experiment="small", study="1a2b3c4d")
    replace(read_description(study.folder), mlflow=tracking).write(study.folder)
    code, _, err = launched("--resume", "runs/small")
    assert (code, err) == (0, "")
    client = MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name("small")
    assert experiment
    assert len(client.search_runs([experiment.experiment_id])) == 3


def test_a_new_study_gets_as_far_as_ray(
    launched: Launch, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reached(Exception):
        pass

    def reached(*arguments: Any) -> None:
        raise Reached

    monkeypatch.setattr("cluster.runner.connect", reached)
    with pytest.raises(Reached):
        launched(
            "--space",
            "small.yaml",
            "--name",
            "n-1.x",
            "--out",
            "out",
            "--trials",
            "9",
            "--time",
            "5m",
            "--seed",
            "2",
        )
    description = read_description(StudyFolder(here / "out" / "n-1.x"))
    space = description.space
    assert (space.budget.trials, space.budget.time_s, space.seed) == (9, 300, 2)
    assert str(here) in description.import_paths


def test_an_interrupt_has_its_own_code(launched: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("results.study.record.read_study", interrupt)
    assert launched("status", "runs/small")[0] == 130


def test_what_is_no_mistake_of_the_user_keeps_its_traceback(
    launched: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("results.study.record.read_study", broken)
    with pytest.raises(ZeroDivisionError):
        launched("status", "runs/small")


# The surface


def test_the_surface_is_frozen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = [help_text(command, capsys) for command in ["", *launch.COMMANDS]]
    if os.environ.get("RENEW"):
        GOLDEN.write_text("\n".join(shown), encoding="utf-8")
    assert "\n".join(shown) == GOLDEN.read_text(encoding="utf-8"), (
        f"if this is meant: RENEW=1 pytest {Path(__file__).name}"
    )


def help_text(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        launch.main([*command.split(), "--help"])
    assert stop.value.code == 0
    return f"$ {' '.join(f'python launch.py {command} --help'.split())}\n{capsys.readouterr().out}"
