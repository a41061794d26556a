"""Proves that each private name of Optuna that Rungs uses is what it is taken for.

pytest tests/results/study/test_optuna_private.py
"""

import json
import os
from pathlib import Path

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from results.study.optuna_private import JournalOperation, can_hold


def test_optuna_is_the_release_that_these_names_were_read_in() -> None:
    assert optuna.__version__.startswith("5.0."), "read optuna_private.py again beside the source"


def test_a_journal_is_told_in_these_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # No power fails here.
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    study = optuna.create_study(storage=storage)
    study.set_user_attr("key", 1)
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(0.5, 1)
    trial.set_user_attr("key", 1)
    study.tell(trial, state=TrialState.PRUNED)
    lines = (tmp_path / "journal.log").read_text().splitlines()
    assert [JournalOperation(json.loads(line)["op_code"]).name for line in lines] == [
        "CREATE_STUDY",
        "SET_STUDY_USER_ATTR",
        "CREATE_TRIAL",
        "SET_TRIAL_PARAM",
        "SET_TRIAL_INTERMEDIATE_VALUE",
        "SET_TRIAL_USER_ATTR",
        "SET_TRIAL_STATE_VALUES",
    ]


def test_operations_are_numbers_that_stay() -> None:
    assert {operation.name: int(operation) for operation in JournalOperation} == {
        "CREATE_STUDY": 0,
        "DELETE_STUDY": 1,
        "SET_STUDY_USER_ATTR": 2,
        "SET_STUDY_SYSTEM_ATTR": 3,
        "CREATE_TRIAL": 4,
        "SET_TRIAL_PARAM": 5,
        "SET_TRIAL_STATE_VALUES": 6,
        "SET_TRIAL_INTERMEDIATE_VALUE": 7,
        "SET_TRIAL_USER_ATTR": 8,
        "SET_TRIAL_SYSTEM_ATTR": 9,
        "DISCARD_TRIALS": 10,
    }


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (IntDistribution(1, 9, step=2), [1, 3, 9], [0, 2, 11]),
        (FloatDistribution(0.5, 2.0), [0.5, 1.0, 2.0], [0.4, 2.1]),
        (CategoricalDistribution(("a", "b")), [0, 1], [-1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_distribution_says_what_it_can_hold(
    distribution: BaseDistribution, inside: list[float], outside: list[float]
) -> None:
    assert all(can_hold(distribution, value) for value in inside)
    assert not any(can_hold(distribution, value) for value in outside)
