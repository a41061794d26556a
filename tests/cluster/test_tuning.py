"""Proves that what Tune calls keeps nothing of finished trials: pytest tests/cluster/test_tuning.py."""

import weakref
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.utils.callback import _create_default_callbacks

from cluster.search import TUNE_SETTINGS
from cluster.tuning import Halt, StudyCallback


@pytest.fixture
def callback() -> StudyCallback:
    unused: Any = None
    return StudyCallback(unused, unused, unused, Halt(None))


def test_no_other_callback_watches_the_trials(callback: StudyCallback, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TUNE_SETTINGS.items():
        monkeypatch.setenv(name, value)
    assert _create_default_callbacks([callback]) == [callback]


def test_a_finished_trial_is_let_go(callback: StudyCallback, capsys: pytest.CaptureFixture[str]) -> None:
    trial = Trial("any", stub=True)
    known, result = weakref.ref(trial), {"done": True, "value": 1.0}
    callback.on_trial_result(1, [trial], trial, result)
    callback.on_trial_complete(2, [trial], trial)
    del trial
    assert known() is None
    assert capsys.readouterr().out == ""
