"""Proves that no function, whatever it yields, raises and writes, gets a state that is wrong.

pytest tests/trainables/user_code/test_any_function.py

Five hundred functions are made up; each is trained by the class that trains in a search's
processes, and its outcomes are written to one study. What must come of them is told by a plain
reading of what they do.
"""

import gc
import logging
import math
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from cluster.search.study import Study
from cluster.trainer import LocalTrainer
from results.study.folder import StudyFolder
from results.study.journal import read_journal
from search_spaces import Objective, space_from_mapping
from trainables.trial_folder import TrialFolder

MAX_EPOCHS = 4
LOSS = Objective(name="loss", direction="minimize")


class Step(NamedTuple):
    """What a function does next, and what that means: a number, an end in failure, or nothing."""

    act: Any
    means: str
    value: Any = None


class Strange(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


RAISED: list[BaseException] = [
    ValueError("two\nlines"),
    RuntimeError("\udc80"),
    SystemExit("no data"),
    SystemExit(0),
    KeyboardInterrupt(),
    Strange(),
    StopIteration(),
    MemoryError(),
    TimeoutError(),
    torch.OutOfMemoryError("CUDA out of memory"),
]
NO_LINES: list[Any] = [
    None,
    0.5,
    "loss",
    ("loss", 1),
    [],
    {},
    {"acc": 1.0},
    {0: 1, "loss": 1},
    {"loss": 1, "\udc80": 1},
]
NO_NUMBERS = [
    None,
    "0.5",
    [1],
    {"a": 1},
    1j,
    10**400,
    Unprintable(),
    np.array([1, 2]),
    torch.zeros(2),
]
NO_EPOCHS = [-1, 0.5, "1", math.nan, math.inf, 2**60, [], Unprintable()]
DOINGS = [
    lambda folder: os.chdir(folder.parent),
    lambda folder: multiprocessing.set_start_method("spawn", force=True),
    lambda folder: logging.disable(logging.CRITICAL),
    lambda folder: torch.set_num_threads(2),
    lambda folder: torch.set_default_dtype(torch.float64),
    lambda folder: (folder / "mine.txt").write_text("mine"),
    lambda folder: TrialFolder(folder).error.write_text("mine"),
    lambda folder: TrialFolder(folder).metrics.open("a").write("mine\n"),
    lambda folder: print("\udc80\x1b[31m", file=sys.stderr, end=""),
]

numbers = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([np.float32(1.5), np.array([2.5]), torch.tensor(3.5), True]),
)
yields = st.builds(lambda value: Step({"loss": value}, "report", value), numbers)
counted = st.builds(
    lambda epoch, value: Step({"epoch": epoch, "loss": value, "a b/%": math.inf}, "report", value),
    st.integers(0, 2 * MAX_EPOCHS),
    numbers,
)
wrong = st.one_of(
    st.sampled_from(NO_LINES),
    st.sampled_from(NO_NUMBERS).map(lambda value: {"loss": value}),
    st.sampled_from(NO_NUMBERS).map(lambda value: {"loss": 1.0, "beside": value}),
    st.sampled_from(NO_EPOCHS).map(lambda epoch: {"loss": 1.0, "epoch": epoch}),
).map(lambda line: Step(line, "fail"))
raises = st.sampled_from(RAISED).map(lambda error: Step(error, "fail"))
does = st.sampled_from(DOINGS).map(lambda doing: Step(doing, "nothing"))
scripts = st.lists(st.one_of(yields, yields, counted, does, wrong, raises), max_size=8)

SCRIPT: list[Step] = []


def train(config: dict[str, Any], folder: Path) -> Iterator[Any]:
    """Follow the script."""
    for step in SCRIPT:
        if isinstance(step.act, BaseException):
            raise step.act
        if callable(step.act):
            step.act(folder)
        else:
            yield step.act


def expected(script: list[Step]) -> tuple[TrialState, dict[int, float]]:
    """The state and the values by epoch that a plain reading of the script gives."""
    values: dict[int, float] = {}
    said, from_zero = 0, False
    for step in script:
        if step.means == "fail":
            return TrialState.FAIL, values
        if step.means == "nothing":
            continue
        epoch = step.act.get("epoch")
        from_zero = from_zero or (epoch == 0 and not said)
        epoch = said + 1 if epoch is None else epoch + from_zero
        if epoch <= said:
            continue
        said = epoch
        value = step.value.item() if hasattr(step.value, "item") else float(step.value)
        values[epoch] = value if math.isfinite(value) else math.nan
        if not math.isfinite(value):
            return TrialState.PRUNED, values
        if epoch >= MAX_EPOCHS:
            return TrialState.COMPLETE, values
    return (TrialState.COMPLETE if values else TrialState.FAIL), values


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """One study for all functions, started in a folder of its own."""
    mapping = {
        "task": f"{__name__}:train",
        "objective": {"minimize": "loss"},
        "parameters": {"x": {"float": [0, 1]}},
        "search": {"scheduler": "none", "sampler": "random"},
        "budget": {"trials": 10**6, "max_epochs": MAX_EPOCHS},
    }
    before, folder = Path.cwd(), tmp_path_factory.mktemp("any")
    space = space_from_mapping(mapping, name="any", file=folder / "any.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.chdir(folder)
        study = Study(StudyFolder(folder / "runs"), space, LOSS)
        yield study
        assert len(study.trials()) >= 500
        read_journal(study.folder.journal, space, LOSS)
    os.chdir(before)
    gc.unfreeze()
    logging.disable(logging.NOTSET)
    multiprocessing.set_start_method(None, force=True)
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def trainer() -> LocalTrainer:
    return LocalTrainer()


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=scripts)
def test_its_state_and_values_are_those_of_a_plain_reading(
    study: Study, trainer: LocalTrainer, script: list[Step]
) -> None:
    SCRIPT[:] = script
    gc.freeze()  # The trainer collects garbage after each: not again among what others have left.
    trial = study.next_trial()
    assert trial is not None
    reason = run(study, trainer, trial)
    state, values = expected(script)
    found = study.trials()[trial.number]
    assert found.state == state
    assert {epoch: repr(value) for epoch, value in found.intermediate_values.items()} == {
        epoch: repr(value) for epoch, value in values.items()
    }
    if reason is not None:
        assert not any(
            f"({file}.py:" in reason for file in ("function", "job", "training", "trial_folder")
        ), reason
        assert "\n" not in reason


def run(study: Study, trainer: LocalTrainer, trial: FrozenTrial) -> str | None:
    """Train as a search does, to the end; gives why it failed."""
    trainer.take(study.job(trial))
    while True:
        outcome = trainer.step()
        assert outcome.halt is None
        if outcome.failed is not None:
            study.fail(trial.number, outcome.failed)
            return outcome.failed
        if outcome.report is None:
            study.end(trial.number)
            return None
        if outcome.report.warning:
            study.warn(trial.number, outcome.report.warning)
        if not study.report(trial.number, outcome.report.epoch, outcome.report.metrics["loss"]):
            return None
