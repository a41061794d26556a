"""Proves that a space means what its YAML, what it extends and the command line say.

pytest tests/search_spaces
"""

import pickle
from pathlib import Path
from typing import Any

import pytest

from search_spaces import (
    Budget,
    Objective,
    Parameter,
    Resources,
    Search,
    Space,
    SpaceError,
    builtin_spaces,
    dump_yaml,
    find_space,
    load_space,
    parse_duration,
    read_yaml,
    space_from_mapping,
)
from search_spaces.space import AUTO

BASE = """\
task: gpt2_classifier
objective: {maximize: accuracy}
parameters:
  optim.restart_epochs: {int: [2, 8], when: {optim.scheduler: restarts}}
  optim.lr: {float: [5.0e-5, 5.0e-3], log: true}
  optim.scheduler: {choice: [cosine, restarts, '1e-5']}
  data.mix: {float: [0, 1], step: 0.1, when: {optim.restart_epochs: [2, 3]}}
fixed: {data.batch_size: 64, data.sizes: [1, 2.5, 'no', null]}
start:
- {optim.scheduler: cosine, optim.lr: 2.0e-4}
- {optim.scheduler: restarts, optim.restart_epochs: 2, optim.lr: 2.0e-4}
budget: {trials: 32, max_epochs: 18, time: 1h30m}
resources: {gpus: 0.25}
seed: 7
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "base.yaml", BASE)


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def child(base: Path, text: str) -> Space:
    return load_space(write(base.with_name("child.yaml"), "extends: base\n" + text))


def names(space: Space) -> list[str]:
    return [parameter.name for parameter in space.parameters]


def test_a_space_is_what_its_file_says(base: Path) -> None:
    space = load_space(base)
    assert (space.name, space.file, space.task, space.seed) == ("base", base, "gpt2_classifier", 7)
    assert space.objective == Objective(name="accuracy", direction="maximize")
    assert space.budget == Budget(trials=32, max_epochs=18, time_s=5400)
    assert (space.search, space.resources) == (AUTO, Resources(gpus=0.25))
    assert names(space) == ["optim.lr", "optim.scheduler", "optim.restart_epochs", "data.mix"]
    assert space.parameters[0] == Parameter(
        name="optim.lr", kind="float", low=5e-5, high=5e-3, log=True
    )
    assert space.parameters[3].when == {"optim.restart_epochs": (2, 3)}
    assert space.fixed == {"data.batch_size": 64, "data.sizes": [1, 2.5, "no", None]}


def test_a_space_comes_back_from_its_mapping_its_file_and_a_pickle(
    base: Path, tmp_path: Path
) -> None:
    space = load_space(base)
    assert space_from_mapping(space.to_dict(), name=space.name, file=space.file) == space
    written = write(tmp_path / "study.yaml", dump_yaml(space.to_dict()))
    assert space_from_mapping(read_yaml(written), name=space.name, file=space.file) == space
    assert pickle.loads(pickle.dumps(space)) == space


def test_a_space_knows_where_its_trials_are_compared(base: Path) -> None:
    search = (
        "search: {{grace_epochs: 2, reduction: 2, scheduler: {}}}\nbudget: {{max_epochs: 16}}\n"
    )
    assert child(base, search.format("asha")).rungs == [2, 4, 8]
    assert child(base, search.format("none")).rungs == []


def test_without_a_scheduler_grace_epochs_may_be_any(base: Path) -> None:
    text = "search: {{scheduler: {}, grace_epochs: 5}}\nbudget: {{max_epochs: 2}}"
    assert child(base, text.format("none")).budget.max_epochs == 2
    with pytest.raises(SpaceError, match="grace_epochs must not exceed max_epochs"):
        child(base, text.format("asha"))


def test_a_mapping_without_places_is_told_by_its_file() -> None:
    with pytest.raises(SpaceError) as caught:
        space_from_mapping(
            {"task": "t", "parameters": {"a": 3}, "extends": "b"}, name="s", file="dir/s.yaml"
        )
    assert len(caught.value.problems) == 3
    assert all(problem.startswith("s.yaml: ") for problem in caught.value.problems)


def test_the_value_objects_check_themselves() -> None:
    with pytest.raises(SpaceError, match=r"reduction must .*\n.*grace_epochs must "):
        Search(reduction=1, grace_epochs=0)
    with pytest.raises(SpaceError, match="grace_epochs must not exceed"):
        Space(
            name="s",
            file=Path("s.yaml"),
            task="t",
            parameters=(Parameter(name="a", kind="int", low=1, high=2),),
            search=Search(grace_epochs=3),
            budget=Budget(trials=1, max_epochs=2),
        )


def test_a_child_changes_what_it_names_and_inherits_the_rest(base: Path) -> None:
    space = child(
        base,
        "objective: {minimize: loss}\nsearch: {reduction: 4}\nbudget: {trials: 3, time: "
        "null}\nseed: 1\n",
    )
    assert space.objective == Objective(name="loss", direction="minimize")
    assert space.search == Search(reduction=4)
    assert space.budget == Budget(trials=3, max_epochs=18)
    assert (space.name, space.seed, space.resources) == ("child", 1, Resources(gpus=0.25))
    assert (space.parameters, space.start) == (load_space(base).parameters, load_space(base).start)


def test_a_child_replaces_a_parameter_and_the_start_points_as_a_whole(base: Path) -> None:
    space = child(base, "parameters: {optim.lr: {float: [1, 2]}}\nstart: [{optim.lr: 1}]\n")
    assert Parameter(name="optim.lr", kind="float", low=1, high=2) in space.parameters
    assert space.start == ({"optim.lr": 1.0},)


def test_a_child_fixes_a_parameter_and_the_start_points_forget_it(base: Path) -> None:
    space = child(base, "fixed: {optim.lr: 0.001}\n")
    assert "optim.lr" not in names(space)
    assert space.fixed["optim.lr"] == 0.001
    assert space.start[0] == {"optim.scheduler": "cosine"}


def test_a_child_removes_a_parameter_by_null(base: Path) -> None:
    space = child(base, "parameters: {optim.lr: null}\n")
    assert "optim.lr" not in {*names(space), *space.fixed}
    assert space.start == (
        {"optim.scheduler": "cosine"},
        {"optim.scheduler": "restarts", "optim.restart_epochs": 2},
    )


def test_a_child_searches_what_its_parent_fixed(base: Path) -> None:
    space = child(base, "parameters: {data.batch_size: {int: [8, 64]}}\n")
    assert "data.batch_size" in names(space)
    assert "data.batch_size" not in space.fixed


def test_fixing_settles_the_conditions_on_it(base: Path) -> None:
    met = load_space(base, overrides=["optim.scheduler=restarts"])
    assert names(met) == ["optim.restart_epochs", "optim.lr", "data.mix"]
    assert met.parameters[0].when == {}
    unmet = load_space(base, overrides=["optim.scheduler=cosine"])
    assert names(unmet) == ["optim.lr"]
    assert unmet.start == ({"optim.lr": 2e-4},)


def test_removing_what_others_wait_for_is_told_where_they_wait(base: Path) -> None:
    with pytest.raises(
        SpaceError, match=r"^base\.yaml:4: optim\.restart_epochs: a name in when must be one of"
    ):
        child(base, "parameters: {optim.scheduler: null}\nstart: []\n")


def test_a_space_extends_one_that_extends_another(base: Path) -> None:
    child(base, "seed: 8\n")
    grandchild = load_space(write(base.with_name("g.yaml"), "extends: child.yaml\ntask: other\n"))
    assert (grandchild.task, grandchild.seed) == ("other", 8)


def test_a_circle_of_spaces_is_refused(tmp_path: Path) -> None:
    for name, above in (("a", "b"), ("b", "c"), ("c", "a")):
        write(tmp_path / f"{name}.yaml", f"extends: {above}\n")
    with pytest.raises(
        SpaceError, match=r"must not lead in a circle, got a\.yaml -> b\.yaml -> c\.yaml -> a\.yaml"
    ):
        load_space(tmp_path / "a.yaml")


def test_mistakes_of_parent_and_child_are_told_together(base: Path) -> None:
    write(base, BASE.replace("seed: 7", "seed: -7"))
    with pytest.raises(SpaceError) as caught:
        child(base, "search: {reduction: 0}\n")
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        "base.yaml:14",
        "child.yaml:2",
    ]


def test_overrides_and_budget_win_over_the_file(base: Path) -> None:
    space = load_space(
        base,
        overrides=[
            "search.sampler=random",
            "budget.trials=5",
            "seed=3",
            "optim.lr=0.1",
            "new.value=[1, 2]",
            "task=a:B",
        ],
        budget={"trials": 4, "max_epochs": None, "time": "2m"},
    )
    assert space.search.sampler == "random"
    assert space.budget == Budget(trials=4, max_epochs=18, time_s=120)
    assert (space.seed, space.task, space.fixed["optim.lr"], space.fixed["new.value"]) == (
        3,
        "a:B",
        0.1,
        [1, 2],
    )


OVERRIDES = {
    "optim.lr": "must be key=value",
    "=3": "must be key=value",
    "optim.lr=": "a value must not be empty",
    "optim.lr=1e-5": "write 1.0e-05",
    "optim lr=1": "a name must be words joined by dots",
    "optim.lr={a: 1}": "must be a text, a finite number",
    "budget.trails=3": "did you mean trials?",
    "budget.trials=0": "trials must be a whole number, at least 1, got 0",
    "search=tpe": "the key must be one of search.<key>",
    "objective.minimize=loss": "the key must be one of search.<key>",
    "fixed.optim.lr=1": "write --set optim.lr=...",
    "seed=x": 'seed must be a whole number, at least 0, got "x"',
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_each_mistake_of_an_override_names_it(base: Path, override: str) -> None:
    with pytest.raises(SpaceError) as caught:
        load_space(base, overrides=[override])
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"--set {override}: ")
    assert OVERRIDES[override] in caught.value.problems[0]


def test_each_mistake_of_a_budget_option_names_it(base: Path) -> None:
    with pytest.raises(SpaceError) as caught:
        load_space(base, budget={"max_epochs": 0, "time": "soon"})
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        "--time",
        "--max-epochs",
    ]


@pytest.mark.parametrize("name", ["mit Leerzeichen", 'it\'s "quoted"', "größe-✓", "a.b", "x: 1"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / f"{name}.yaml", BASE)
    assert load_space(file).name == name
    assert load_space(tmp_path / name) == load_space(str(file))
    write(file, BASE.replace("seed: 7", "seed: x"))
    with pytest.raises(SpaceError) as caught:
        load_space(file)
    assert caught.value.problems == [
        f'{name}.yaml:14: seed must be a whole number, at least 0, got "x"'
    ]


def test_an_unknown_space_is_told_with_the_valid_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_spaces.load.BUILTIN", tmp_path)
    for name in ("vision", "text"):
        write(tmp_path / f"{name}.yaml", BASE)
    assert [file.stem for file in builtin_spaces()] == ["text", "vision"]
    assert find_space("vision") == find_space("vision.yaml") == tmp_path / "vision.yaml"
    for where in ("visoin", "a\0b", "x" * 5000, ""):
        with pytest.raises(SpaceError, match="a space must be one of text, vision, got "):
            find_space(where)
    with pytest.raises(SpaceError, match="did you mean vision"):
        find_space("visoin")


def test_a_builtin_space_in_a_folder_is_found_by_its_name_and_extended_across(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_spaces.load.BUILTIN", tmp_path)
    (tmp_path / "textbook").mkdir()
    file = write(tmp_path / "textbook" / "letters.yaml", BASE)
    write(tmp_path / "words.yaml", "extends: letters\nseed: 8\n")
    write(tmp_path / "textbook" / "marks.yaml", "extends: words.yaml\nseed: 9\n")
    assert [each.stem for each in builtin_spaces()] == ["words", "letters", "marks"]
    for name in ("letters", "letters.yaml", "textbook/letters", "textbook/letters.yaml"):
        assert find_space(name) == file
    assert [load_space(name).seed for name in ("letters", "words", "marks")] == [7, 8, 9]
    assert load_space("marks").parameters == load_space("letters").parameters
    with pytest.raises(SpaceError, match="did you mean letters"):
        find_space("leters")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d", 86400),
        ("1d2h3m4s", 93784),
        ("1.5h", 5400),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0s",
        "-1s",
        "1",
        "30m1h",
        "1 h",
        "1h ",
        "h",
        "1w",
        "nan",
        90,
        None,
        True,
        "9" * 400 + "s",
    ],
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(SpaceError, match="time must be a duration above 0"):
        parse_duration(text)
