"""Proves that mistakes in a task are told in a line before a search, and that good ones pass.

pytest tests/trainables/test_rehearsal.py
"""

import os
import sys
import time
from pathlib import Path

import pytest

from search_spaces import SpaceError, load_space
from tests.trainables.users_task import SPACE, line_of, write_task
from trainables import rehearsal_process
from trainables.accepting import accept_at
from trainables.config import TaskError
from trainables.knobs import check_knobs
from trainables.rehearsal import rehearse
from trainables.rehearsal_process import Rehearsal, needs_rehearsal

LOSS = "return errors.mean(), errors"
DATA = "generator = torch.Generator().manual_seed(seed)"
START = "parameters: {optim.lr"
FREEZE = SPACE + "fixed: {optim.freeze_epochs: 1}\n"
HEAD = "    def augment"
HEAD_METHOD = """\
    def head(self, model):
        return list(model[{layer}].parameters())

    def augment"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Files are written anew within a second.
    return tmp_path


def checked(file: Path) -> list[str]:
    """What `check --run` says."""
    paths = [str(file.parent)]
    space, objective = accept_at(load_space(file), paths)
    check_knobs(space)
    return list(rehearse(space, objective, paths))


def mistake(file: Path) -> str:
    with pytest.raises((TaskError, SpaceError)) as caught:
        checked(file)
    (line,) = str(caught.value).splitlines()
    return line


# Broken tasks


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "    optim: OptimConfig = field(default_factory=OptimConfig)\n",
            "",
            "task 'mine:Line': Config must have a group optim, got none: add optim: OptimConfig",
        ),
        (
            "optim: OptimConfig = field(default_factory=OptimConfig)",
            "optim: Data = field(default_factory=Data)",
            "Config must have a group optim, got one of the type Data: add optim: OptimConfig",
        ),
        (
            "batch_size: int = 8",
            "size: int = 8",
            "Config must have a whole number data.batch_size: add batch_size: int = 32",
        ),
        (
            "@dataclass(frozen=True, kw_only=True)\nclass Config",
            "@dataclass\nclass Config",
            "Config must be a frozen dataclass: write @dataclass(frozen=True, kw_only=True)",
        ),
        (
            "@dataclass(frozen=True, kw_only=True)\nclass Data",
            "@dataclass\nclass Data",
            "Data must be a frozen dataclass: write @dataclass(frozen=True, kw_only=True)",
        ),
        (
            "@dataclass(frozen=True, kw_only=True)\nclass Config",
            "class Config",
            "Config must be a frozen dataclass",
        ),
        ("noise: float", "noise: Nowhere", "name 'Nowhere' is not defined"),
        (LOSS, "return errors.mean()", "return loss, outputs; got a tensor []"),
        (LOSS, "return errors, errors", "a tensor without dimensions (loss.mean(), say), got a "),
        (LOSS, "return errors.mean().item(), errors", "a tensor without dimensions"),
        (LOSS, "return errors.mean().detach(), errors", "must return a loss that has a gradient"),
        (
            '{"error": self.mean.compute()}',
            '{"mse": self.mean.compute()}',
            "the objective 'error' must be one of the metrics that the tally's compute() gives, "
            "got mse, validation_loss",
        ),
        (
            '{"error": self.mean.compute()}',
            '{"error": torch.tensor(1.0)}',
            "compute() must give plain numbers, got error = tensor(1.): make it a float(...)",
        ),
        ("def merge", "def add", "the methods merge, compute and details, got"),
        ("def details", "def more", "without details"),
        ("return {}", "return {'x': torch.ones(2)}", "details() must give what JSON can hold"),
        ("slice(60, 90)", "slice(90, 90)", "the split validation must have tensors with the same"),
        ('"y": y[r]', '"y": y[:7]', "the same number of rows, at least one, got x with 60, y with"),
        ("return Splits(", "return (", "importing mine failed: SyntaxError"),
    ],
)
def test_a_broken_task_is_told_in_a_line_with_the_fix(
    here: Path, old: str, new: str, told: str
) -> None:
    assert told in mistake(write_task(here, (old, new)))


def test_frozen_epochs_without_a_head_are_told(here: Path) -> None:
    told = "nothing would be trained while all else is frozen: write head(), or leave it at 0"
    assert told in mistake(write_task(here, space=FREEZE))
    assert "head() names no parameter, so nothing would be trained" in mistake(
        write_task(here, (HEAD, HEAD_METHOD.format(layer="2:")), space=FREEZE)
    )
    assert checked(write_task(here, (HEAD, HEAD_METHOD.format(layer=1)), space=FREEZE))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (DATA, "open('nowhere.csv')", "FileNotFoundError: [Errno 2] No such file or directory"),
        (LOSS, "return model[7](errors), errors", "IndexError: index 7 is out of range"),
        (LOSS, "raise SystemExit('no data set')", "SystemExit: no data set"),
    ],
)
def test_an_exception_is_told_with_the_users_last_line_after_its_traceback(
    here: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, reason: str
) -> None:
    told = mistake(write_task(here, (old, new)))
    assert told.startswith("mine.yaml: low corner: " + reason)
    assert told.endswith(f"({line_of(here, new)})")
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last):\n")
    assert new in error and reason in error


def test_a_state_that_only_code_could_load_is_told(here: Path) -> None:
    file = write_task(
        here,
        ("return nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))", "return Model()"),
        (
            "class Line(Task)",
            "class Model(nn.Linear):\n"
            "    def __init__(self):\n"
            "        super().__init__(1, 1)\n\n"
            "    def get_extra_state(self):\n"
            "        return Data()\n\n"
            "    def set_extra_state(self, state):\n"
            "        pass\n\n\n"
            "class Line(Task)",
        ),
    )
    assert "state_dict() must hold tensors and plain values alone" in mistake(file)


@pytest.mark.parametrize(("rows", "last"), [(60, 4), (57, 1), (58, 2)])
def test_the_last_batch_is_rehearsed_at_the_size_that_an_epoch_has_it(
    here: Path, rows: int, last: int
) -> None:
    strict = f"assert len(errors) != {last}, 'of this size'; {LOSS}"
    file = write_task(here, (LOSS, strict), ("slice(0, 60)", f"slice(0, {rows})"))
    assert "AssertionError: of this size" in mistake(file)


# Good tasks


def test_a_start_point_and_two_corners_are_rehearsed(here: Path) -> None:
    lines = checked(write_task(here, space=SPACE + "start: [{optim.lr: 1.0e-2}]\n"))
    assert [line.partition(": trains; train_loss ")[0] for line in lines] == [
        "start point 0",
        "low corner",
        "high corner",
    ]
    assert all("error " in line and "validation_loss " in line for line in lines)
    again = checked(write_task(here, space=SPACE + "start: [{optim.lr: 1.0e-4}]\n"))
    assert [line.partition(":")[0] for line in again] == ["start point 0", "high corner"]
    assert {path.name for path in here.iterdir()} == {"mine.py", "mine.yaml"}


def test_a_loss_that_diverges_is_no_mistake(here: Path) -> None:
    lines = checked(write_task(here, (LOSS, "return errors.mean() * float('inf'), errors")))
    assert lines == [
        "low corner: diverges; train_loss nan",
        "high corner: diverges; train_loss nan",
    ]


def test_a_row_that_is_left_over_breaks_no_batch_norm(here: Path) -> None:
    file = write_task(
        here,
        ("nn.Linear(1, 4), nn.Linear(4, 1)", "nn.BatchNorm1d(1), nn.Linear(1, 1)"),
        ("slice(0, 60)", "slice(0, 57)"),
    )
    assert len(checked(file)) == 2


def test_a_loss_to_follow_must_be_computed(here: Path) -> None:
    file = write_task(
        here,
        (
            "def count(self, tally, outputs, batch)",
            "def measure(self, config, model, batch, tally)",
        ),
        ("outputs.mean(), len(outputs)", "1.0"),
        space=SPACE + "fixed: {optim.monitor: validation_loss}\n",
    )
    assert "optim.monitor must be objective where measure() returns no loss" in mistake(file)


def test_a_functions_first_report_is_awaited(here: Path) -> None:
    (here / "count.py").write_text(
        "def train(config, folder):\n"
        "    folder.mkdir(exist_ok=True)\n"
        "    (folder / 'note.txt').write_text('x')\n"
        "    yield {'loss': config['x']}\n"
        "    raise AssertionError('a second epoch')\n"
    )
    (here / "count.yaml").write_text(
        "task: count:train\nobjective: {minimize: loss}\n"
        "parameters: {x: {float: [0.5, 2.5]}}\nbudget: {trials: 2, max_epochs: 2}\n"
    )
    assert checked(here / "count.yaml") == [
        "low corner: trains; loss 0.5",
        "high corner: trains; loss 2.5",
    ]
    assert not list(here.rglob("note.txt"))
    (here / "count.yaml").write_text((here / "count.yaml").read_text().replace("loss}", "error}"))
    assert "must yield the objective 'error', got loss" in mistake(here / "count.yaml")


# Validation data


def with_parameters(*parameters: str) -> str:
    return SPACE.replace("parameters: {", "parameters: {" + "".join(f"{p}, " for p in parameters))


def test_a_parameter_that_moves_the_validation_data_is_refused_by_name(here: Path) -> None:
    jitter, noise = "data.jitter: {float: [0.0, 0.1]}", "data.noise: {float: [0.0, 0.1]}"
    size = "data.batch_size: {choice: [8, 16]}"
    assert len(checked(write_task(here, space=with_parameters(jitter, size)))) == 2
    file = write_task(here, space=with_parameters(jitter, noise, size))
    assert mistake(file) == (
        "mine.yaml: data.noise is searched, but changes the validation data, so trials could not "
        "be compared: fix it, and search each value in a study of its own"
    )


def test_validation_data_that_are_drawn_anew_are_refused(here: Path) -> None:
    told = mistake(write_task(here, (DATA, "generator = None")))
    assert "the same validation split each time that it is called" in told


# Before a search


def searched(file: Path) -> str | None:
    paths = [str(file.parent)]
    space, _ = accept_at(load_space(file), paths)
    assert needs_rehearsal(space)
    with Rehearsal(space, paths) as rehearsal:
        return rehearsal.mistake()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal_process, "LIMIT_S", 300.0)  # The machine may be busy.


@pytest.mark.slow
def test_a_search_rehearses_in_a_process_of_its_own(here: Path, patient: None) -> None:
    raises = "raise RuntimeError(str(__import__('os').getpid()))"
    text = searched(write_task(here, (LOSS, raises)))
    assert text is not None
    *above, last = text.splitlines()
    assert above[0] == "Traceback (most recent call last):"
    begin, end = "error: mine.yaml: low corner: RuntimeError: ", f" ({line_of(here, raises)})"
    assert last.startswith(begin) and last.endswith(end)
    assert int(last.removeprefix(begin).removesuffix(end)) != os.getpid()


@pytest.mark.slow
def test_what_is_good_or_dies_has_no_mistake_to_tell(here: Path, patient: None) -> None:
    assert searched(write_task(here, (LOSS, "print('x'); " + LOSS))) is None
    assert searched(write_task(here, (LOSS, "__import__('os').abort()"))) is None


def test_what_takes_long_is_ended_with_all_that_it_started(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal_process, "LIMIT_S", 0.0)
    sleeps = "__import__('subprocess').run(['sleep', '600'])"
    file = write_task(here, (DATA, f"{DATA}\n        {sleeps}"))
    began = time.monotonic()
    assert searched(file) is None
    assert time.monotonic() - began < 5


def test_only_a_users_own_task_is_rehearsed_before_a_search(here: Path) -> None:
    assert not needs_rehearsal(load_space("v6"))
    (here / "count.py").write_text("def train(config):\n    yield {'loss': 1}\n")
    (here / "count.yaml").write_text(
        "task: count:train\nobjective: {minimize: loss}\n"
        "parameters: {x: {float: [0.5, 2.5]}}\nbudget: {trials: 2, max_epochs: 2}\n"
    )
    assert not needs_rehearsal(accept_at(load_space(here / "count.yaml"), [str(here)])[0])
