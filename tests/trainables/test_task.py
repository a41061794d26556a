"""Proves that a task's name leads to it, or to a message that says what to do.

pytest tests/trainables
"""

import sys
from pathlib import Path

import pytest

from trainables.config import TaskError
from trainables.task import BUILTIN_TASKS, Task, load_task, make_config

MODULE = """
from trainables.task import Task
from search_spaces.space import Objective
from os.path import join

class Mine(Task):
    Config = dict
    objective = Objective(name="loss", direction="minimize")

class Half(Task):
    Config = dict

class Other: ...

def train(config):
    yield {"loss": 1}

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module, importable, named for this test alone."""
    return module_of(MODULE, tmp_path, monkeypatch)


def module_of(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"user_task_{len(sys.modules)}"
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    return name


def message_for(name: str) -> str:
    with pytest.raises(TaskError) as caught:
        load_task(name)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(BUILTIN_TASKS))
def test_built_in_names_and_their_places_load_the_same(name: str) -> None:
    assert isinstance(load_task(name), Task)
    assert type(load_task(name)) is type(load_task(BUILTIN_TASKS[name]))


def test_a_users_class_and_function_load(module: str) -> None:
    mine, function = load_task(f"{module}:Mine"), load_task(f"{module}:train")
    assert isinstance(mine, Task)
    assert not isinstance(function, Task)
    assert list(function({})) == [{"loss": 1}]
    values = {"any.name": 1}
    assert make_config(function, values) == values
    assert make_config(function, values) is not values


@pytest.mark.parametrize("name", ["gpt2", "", ":", "module:", ":train", "gpt2_classifier "])
def test_an_unknown_name_is_told_with_all_names(name: str) -> None:
    message = message_for(name)
    assert "module:attribute" in message
    assert all(builtin in message for builtin in BUILTIN_TASKS)
    assert repr(name) in message


def test_a_missing_module_is_told_with_where_it_was_looked_for() -> None:
    assert "there is no module 'not_there' beside the space file" in message_for("not_there:train")
    assert "there is no module 'trainables.not_there'" in message_for("trainables.not_there:train")


def test_a_missing_attribute_is_told_with_what_is_there(module: str) -> None:
    message = message_for(f"{module}:trian")
    assert message.endswith(f"{module} has no 'trian'; it has Half, Mine, Other, train"), message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import not_installed_anywhere", "failed: No module named 'not_installed_anywhere'"),
        ("1 / 0", "failed: ZeroDivisionError: division by zero"),
        ("def f(:", "failed: SyntaxError:"),
        ("from os import not_there", "failed: ImportError: cannot import name 'not_there'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_the_cause(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = module_of(source, tmp_path, monkeypatch)
    told = message_for(f"{name}:train")
    assert told.startswith(f"task '{name}:train': importing {name} ")
    assert message in told


@pytest.mark.parametrize("attribute", ["Other", "number"])
def test_what_is_no_task_is_refused(module: str, attribute: str) -> None:
    assert "must be a subclass of trainables.task.Task or a generator function" in message_for(
        f"{module}:{attribute}"
    )


def test_a_task_without_its_parts_is_refused(module: str) -> None:
    assert message_for(f"{module}:Half").endswith(
        "a Task class has Config and objective, got no objective"
    )
    assert message_for("trainables.task:Task").endswith("got no Config and no objective")
