"""Proves that a value is not searched in vain, nor one that moves what trials are compared by.

pytest tests/trainables/test_knobs.py
"""

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from search_spaces import SpaceError, builtin_spaces, load_space, space_from_mapping
from tests.trainables.conformance import NAMES, TINY
from tests.trainables.test_training import ROWS, Scripted, config_of
from tests.trainables.users_task import write_task
from trainables.config import flat_fields
from trainables.knobs import check_knobs, idle_knobs
from trainables.rehearsal import _fingerprint
from trainables.task import Task, load_task, make_config
from trainables.training import train
from trainables.user_code.importing import import_from

SCHEDULER = "optim.scheduler"
RATIO = {"float": [0.0, 0.3]}
EPOCHS = {"int": [1, 4]}

HEAD_AND_LAYERS = """\
    def head(self, model):
        return list(model[1].parameters())

    def layers(self, model):
        return [list(model[0].parameters())]

    def augment"""


def refused(task: str, parameters: dict[str, Any], **parts: Any) -> list[str]:
    """The refused parameters' names."""
    mapping = {
        "task": task,
        "parameters": parameters,
        "budget": {"trials": 4, "max_epochs": 4},
        **parts,
    }
    try:
        check_knobs(space_from_mapping(mapping, name="s", file="s.yaml"))
    except SpaceError as error:
        assert all(problem.startswith("s.yaml: ") for problem in error.problems)
        return [problem.split()[1] for problem in error.problems]
    return []


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A task that writes neither head() nor layers()."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write_task(tmp_path)
    import_from([str(tmp_path)])
    return "mine:Line"


@pytest.mark.parametrize("file", builtin_spaces(), ids=lambda file: file.stem)
def test_every_built_in_space_passes(file: Path) -> None:
    check_knobs(load_space(file))


def test_what_needs_a_method_is_refused_where_it_is_not_written(task: str, tmp_path: Path) -> None:
    parameters = {
        "optim.head_lr_mult": {"float": [1, 4]},
        "optim.layer_decay": {"float": [0.5, 1]},
        "optim.freeze_epochs": {"int": [0, 2]},
        "optim.lr": {"float": [0.1, 1]},
    }
    dead = ["optim.head_lr_mult", "optim.layer_decay", "optim.freeze_epochs"]
    assert refused(task, parameters) == dead
    assert refused(task, {"optim.lr": {"float": [0.1, 1]}}, fixed={"optim.freeze_epochs": 2}) == [
        "optim.freeze_epochs"
    ]
    write_task(tmp_path, ("    def augment", HEAD_AND_LAYERS))
    assert refused(task, parameters) == []


@pytest.mark.parametrize(
    ("name", "spec", "schedulers", "is_dead"),
    [
        ("optim.warmup_ratio", RATIO, ["cosine", "plateau"], True),
        ("optim.warmup_ratio", RATIO, ["cosine", "one_cycle"], False),
        ("optim.warmup_ratio", RATIO, ["cosine", "warmup_cosine"], False),
        ("optim.restart_epochs", EPOCHS, ["cosine", "constant"], True),
        ("optim.restart_epochs", EPOCHS, ["cosine", "cosine_restarts"], False),
        ("optim.plateau_epochs", EPOCHS, ["cosine", "cosine_restarts"], True),
        ("optim.plateau_factor", {"float": [0.1, 0.5]}, ["cosine", "plateau"], False),
    ],
)
def test_what_no_schedule_uses_is_refused(
    task: str, name: str, spec: dict[str, Any], schedulers: list[str], is_dead: bool
) -> None:
    dead = [name] if is_dead else []
    assert refused(task, {name: spec, SCHEDULER: {"choice": schedulers}}) == dead
    used_by_one = [refused(task, {name: spec}, fixed={SCHEDULER: each}) for each in schedulers]
    assert ([] in used_by_one) is not is_dead


def test_conditions_decide_what_is_used(task: str) -> None:
    choice = {"choice": ["cosine", "cosine_restarts", "plateau"]}
    noise = {"choice": [0.0, 0.1]}

    def dead(when: dict[str, Any]) -> bool:
        searched = {"optim.restart_epochs": EPOCHS | {"when": when}, SCHEDULER: choice}
        return bool(refused(task, searched | {"data.jitter": noise}))

    assert not dead({SCHEDULER: "cosine_restarts"})
    assert not dead({SCHEDULER: ["cosine", "cosine_restarts"]})
    assert not dead({SCHEDULER: "cosine_restarts", "data.jitter": 0.1})
    assert not dead({"data.jitter": 0.1})
    assert dead({SCHEDULER: ["cosine", "plateau"]})
    assert dead({SCHEDULER: "plateau", "data.jitter": 0.1})


def test_a_searched_default_counts(task: str) -> None:
    assert refused(task, {"optim.warmup_ratio": RATIO}) == []  # The schedule is warmup_cosine.
    assert refused(task, {"optim.restart_epochs": EPOCHS}) == ["optim.restart_epochs"]


# In a part of the trials, or too late in all

LR = {"optim.lr": {"float": [0.1, 1]}}


def idle(parameters: dict[str, Any], **fixed: Any) -> list[str]:
    """What is said of a space of trials of nine epochs."""
    mapping = {
        "task": "low_rank",
        "parameters": parameters,
        "fixed": {name.replace("__", "."): value for name, value in fixed.items()},
        "budget": {"trials": 4, "max_epochs": 9},
    }
    return list(idle_knobs(space_from_mapping(mapping, name="s", file="s.yaml")))


def test_a_parameter_that_some_schedules_or_optimizers_do_not_use_wants_a_condition() -> None:
    schedules = {"choice": ["warmup_cosine", "one_cycle", "cosine", "constant"]}
    assert idle({SCHEDULER: schedules, "optim.warmup_ratio": RATIO}) == [
        "optim.warmup_ratio has no effect where optim.scheduler is cosine or constant: "
        "write when: {optim.scheduler: [warmup_cosine, one_cycle]}"
    ]
    when = {"when": {SCHEDULER: ["warmup_cosine", "one_cycle"]}}
    assert idle({SCHEDULER: schedules, "optim.warmup_ratio": RATIO | when}) == []
    optimizers = {"optim.optimizer": {"choice": ["adamw", "sgd"]}}
    (text,) = idle(optimizers | {"optim.beta1": RATIO}, optim__scheduler="cosine")
    assert text.startswith("optim.beta1 has no effect where optim.optimizer is sgd: ")


@pytest.mark.parametrize(
    ("waits", "acts"),
    [
        ({"scheduler": "plateau", "plateau_epochs": 6}, True),
        ({"scheduler": "plateau", "plateau_epochs": 7}, False),
        ({"scheduler": "plateau", "plateau_epochs": 5, "patience_epochs": 7}, True),
        ({"scheduler": "plateau", "plateau_epochs": 5, "patience_epochs": 6}, False),
        ({"scheduler": "plateau", "plateau_epochs": 1, "evaluate_every": 4}, True),
        ({"scheduler": "plateau", "plateau_epochs": 1, "evaluate_every": 5}, False),
        ({"scheduler": "step", "step_epochs": 8}, True),
        ({"scheduler": "step", "step_epochs": 9}, False),
        ({"scheduler": "cosine_restarts", "restart_epochs": 8}, True),
        ({"scheduler": "cosine_restarts", "restart_epochs": 9}, False),
    ],
)
def test_a_schedule_that_waits_longer_than_a_trial_lasts_is_told(
    waits: dict[str, Any], acts: bool
) -> None:
    fixed = {f"optim__{name}": value for name, value in ({"patience_epochs": 0} | waits).items()}
    texts = idle(LR, **fixed)
    assert (texts == []) == acts
    assert all(f"{waits['scheduler']} comes too late in trials of 9 epochs" in t for t in texts)
    config = config_of(data__batch_size=ROWS, **fixed)
    rates = [r.metrics["lr"] for r in train(Scripted([1.0] * 9), config, seed=0, max_epochs=9)]
    sign = 1 if waits["scheduler"] == "cosine_restarts" else -1
    assert any(sign * (b - a) > 0 for a, b in pairwise(rates)) == acts, "so the loop has it, too"


def test_a_range_is_judged_by_what_acts_soonest() -> None:
    schedules = {SCHEDULER: {"choice": ["plateau", "cosine"]}}
    waits = {"optim.plateau_epochs": {"int": [1, 8], "when": {SCHEDULER: "plateau"}}}
    assert idle(schedules | waits) == []
    patience = {"optim.patience_epochs": {"int": [3, 6]}}
    assert idle(schedules | patience, optim__plateau_epochs=5) == [
        "optim.scheduler plateau comes too late in trials of 9 epochs with optim.plateau_epochs 5 "
        "and optim.patience_epochs 6: lower optim.plateau_epochs"
    ]
    patience = {"optim.patience_epochs": {"choice": [0, 3]}}
    assert idle(schedules | patience, optim__plateau_epochs=5) == []


def test_a_patience_that_outlasts_a_trial_is_told_where_the_space_names_it() -> None:
    assert idle(LR, optim__scheduler="cosine") == [], "the task's own patience is 10"
    assert idle(LR, optim__scheduler="cosine", optim__patience_epochs=7) == []
    assert idle(LR, optim__scheduler="cosine", optim__patience_epochs=8) == [
        "optim.patience_epochs 8 ends no trial of 9 epochs: lower it, or leave it out"
    ]


# Validation data

OTHER_VALUES: dict[str, dict[str, Any]] = {
    "gpt2_classifier": {},
    "image_classifier": {"data.side": 16, "data.embedded": "digits"},
    "low_rank": {"data.width": 16},
    "segmentation": {"data.side": 24, "data.width": 24, "data.scenes": 50},
    "next_char": {"data.characters": 2000, "data.window": 16},
}
"""For each task: other values than the tiny ones that change the embedded validation data."""
OF_FILES = {
    *("data.vocab", "data.max_tokens", "data.positive"),
    *("data.image_folder", "data.label_folder", "data.classes", "data.lists", "data.own_size"),
    *("data.fit", "data.group_pattern", "data.group_duplicates"),
}
"""Settings that act on data of the user's own alone."""


def changed(value: Any) -> Any:
    """Another value of a setting that only says how data are served."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.1
    return value


@pytest.mark.parametrize("name", NAMES)
def test_a_task_names_all_settings_that_change_its_validation_data(name: str) -> None:
    task = load_task(name)
    assert isinstance(task, Task)

    assert name in OTHER_VALUES, "a built-in task has a row there"
    base = TINY[name] | ({"data.paste_probability": 0.0} if name == "image_classifier" else {})
    default = make_config(task, base)
    names = [field for field in flat_fields(task.Config) if field.startswith("data.")]

    def fingerprint(field: str, value: Any) -> list[object]:
        config = make_config(task, {**base, field: value})
        return _fingerprint(task.data(config, 0).validation)

    def moves(field: str) -> bool:
        value = getattr(default.data, field.removeprefix("data."))
        other = OTHER_VALUES[name].get(field, changed(value))
        return fingerprint(field, other) != fingerprint(field, value)

    moving = {field for field in names if field not in OF_FILES and moves(field)}
    assert moving == set(OTHER_VALUES[name])
    assert moving | (OF_FILES & set(names)) | {"data.path"} == set(task.validation_settings)
    searched = {field: {"choice": [1, 2]} for field in task.validation_settings}
    assert refused(name, searched) == list(task.validation_settings)
