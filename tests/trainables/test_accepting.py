"""Proves that a space is refused before anything starts, with all that its task refuses.

pytest tests/trainables
"""

from pathlib import Path
from typing import Any

import pytest

from search_spaces import Space, SpaceError, space_from_mapping
from trainables.accepting import accept, accept_at, locate_files
from trainables.config import TaskError
from trainables.gpt2_classifier.task import GPT2Classifier

FUNCTION = "import_me_by_accept:train"


def space_of(folder: Path, **parts: Any) -> Space:
    mapping = {
        "task": "gpt2_classifier",
        "parameters": {"optim.lr": {"float": [1e-4, 1e-2], "log": True}},
        "budget": {"trials": 4, "max_epochs": 4},
    }
    return space_from_mapping(mapping | parts, name="s", file=folder / "s.yaml")


def problems_of(space: Space) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        accept(space)
    return caught.value.problems


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "import_me_by_accept.py").write_text("def train(config):\n    yield {'loss': 1}\n")
    monkeypatch.syspath_prepend(tmp_path)
    return FUNCTION


def test_a_good_space_gives_the_tasks_objective(tmp_path: Path) -> None:
    assert accept(space_of(tmp_path)) == GPT2Classifier.objective


def test_all_that_the_task_refuses_is_told_with_names(tmp_path: Path) -> None:
    space = space_of(
        tmp_path,
        parameters={
            "optim.lr": {"float": [-1, 1]},
            "optim.clipnorm": {"float": [0, 1]},
            "model.cls_strategy": {"choice": ["explicit", "mean"]},
            "model.width": {"int": [63, 64]},
            "model.layers": {"float": [1, 2]},
        },
        fixed={"model.heads": 4, "loss.lm_weight": "1e-2"},
    )
    problems = problems_of(space)
    assert all(problem.startswith("s.yaml: ") for problem in problems)
    told = "\n".join(problems)
    for part in (
        "optim: lr must be positive, got lr=-1.0",
        "optim.clipnorm: not a setting of this task; did you mean optim.clip_norm?",
        "model.cls_strategy: must be one of explicit, last_non_pad, global_pool_mean, attn_pool, "
        "got 'mean'",
        "model.layers: must be a whole number, got 1.0",
        "loss.lm_weight: must be a number, got '1e-2'",
    ):
        assert told.count(part) == 1, f"{part!r} once in:\n{told}"


@pytest.mark.parametrize("corner", ["low", "high", "choice", "start"])
def test_every_kind_of_corner_is_tried(tmp_path: Path, corner: str) -> None:
    heads: dict[str, Any] = {
        "low": {"parameters": {"model.dropout": {"float": [-0.5, 0.5]}}},
        "high": {"parameters": {"model.dropout": {"float": [0.5, 1.5]}}},
        "choice": {"parameters": {"model.dropout": {"choice": [0.1, 1.5, 0.2]}}},
        "start": {
            "parameters": {"model.width": {"int": [64, 128]}, "model.layers": {"int": [1, 2]}},
            "fixed": {"model.heads": 4},
            "start": [{"model.width": 66}],
        },
    }
    (problem,) = problems_of(space_of(tmp_path, **heads[corner]))
    assert problem.startswith("s.yaml: model: ")


def test_a_task_has_its_own_objective(tmp_path: Path) -> None:
    assert problems_of(space_of(tmp_path, objective={"minimize": "loss"})) == [
        "s.yaml: objective: gpt2_classifier is compared by {maximize: accuracy}, got {minimize: "
        "loss}"
    ]


def test_a_function_needs_an_objective(tmp_path: Path, function: str) -> None:
    (problem,) = problems_of(space_of(tmp_path, task=function))
    assert "is a function, so the space must name what to compare by" in problem
    assert "objective: {maximize: accuracy}" in problem
    objective = accept(space_of(tmp_path, task=function, objective={"minimize": "loss"}))
    assert (objective.name, objective.direction) == ("loss", "minimize")


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="gpt2_classifier"):
        accept(space_of(tmp_path, task="gpt3"))


# Files


def data_of(space: Space) -> tuple[Any, Any]:
    return space.fixed["data.path"], space.fixed["data.vocab"]


def test_files_are_found_beside_the_space_and_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, beside = tmp_path / "here 'Ω'", tmp_path / "beside"
    for folder in (here, beside):
        folder.mkdir()
    (here / "a.jsonl").touch()
    (beside / "a.jsonl").touch()
    (beside / "vocab.json").touch()
    monkeypatch.chdir(here)
    located = locate_files(
        space_of(beside, fixed={"data.path": "a.jsonl", "data.vocab": "vocab.json"})
    )
    assert data_of(located) == (str(here / "a.jsonl"), str(beside / "vocab.json"))
    monkeypatch.chdir(beside)
    assert data_of(locate_files(located)) == data_of(located)


def test_all_missing_files_are_told(tmp_path: Path) -> None:
    space = space_of(tmp_path, fixed={"data.path": "no.jsonl", "data.vocab": "/no/vocab.json"})
    with pytest.raises(SpaceError) as caught:
        locate_files(space)
    assert caught.value.problems == [
        "s.yaml: data.path: no such file or folder: no.jsonl",
        "s.yaml: data.vocab: no such file or folder: /no/vocab.json",
    ]


def test_without_files_the_space_stays_as_it_is(tmp_path: Path, function: str) -> None:
    space = space_of(tmp_path)
    assert locate_files(space) == space
    of_function = space_of(tmp_path, task=function, fixed={"data.path": "a"})
    assert locate_files(of_function) is of_function


def test_the_count_of_epochs_is_no_objective(tmp_path: Path, function: str) -> None:
    (problem,) = problems_of(space_of(tmp_path, task=function, objective={"minimize": "epoch"}))
    assert problem == "s.yaml: objective: must be a metric, got epoch, which counts the reports"


def test_a_functions_first_argument_is_the_whole_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "import_me_unpacked.py").write_text(
        "def train(lr, seed):\n    yield {'loss': lr}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    parts = {"task": "import_me_unpacked:train", "objective": {"minimize": "loss"}}
    (problem,) = problems_of(space_of(tmp_path, **parts, parameters={"lr": {"float": [0, 1]}}))
    assert (
        "got one that is named as the parameter lr: def train(config), then config['lr']" in problem
    )


def test_the_task_is_found_and_the_files_are_located_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "import_me_at_once.py").write_text("def train(config):\n    yield {'loss': 1}\n")
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "vocab.json").touch()
    fixed = {"data.path": "a.jsonl", "data.vocab": "vocab.json"}
    space, objective = accept_at(space_of(tmp_path, fixed=fixed), [str(tmp_path)])
    assert data_of(space) == (str(tmp_path / "a.jsonl"), str(tmp_path / "vocab.json"))
    assert objective == GPT2Classifier.objective
    parts = {"task": "import_me_at_once:train", "objective": {"minimize": "loss"}}
    _, objective = accept_at(space_of(tmp_path, **parts), [str(tmp_path)])
    assert objective.name == "loss"
