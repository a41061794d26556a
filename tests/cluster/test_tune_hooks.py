"""Proves that Tune's hooks keep nothing of finished trials, and name those that train.

pytest tests/cluster/test_tune_hooks.py
"""

import re
import weakref
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from ray.tune.search import Searcher
from ray.tune.utils.callback import _create_default_callbacks

from cluster.search.study import Study
from cluster.tune import TUNE_SETTINGS
from cluster.tune_hooks import Halt, StudyCallback, StudyScheduler, StudySearcher
from tests.results.report.studies import open_study, space


@pytest.fixture
def callback() -> StudyCallback:
    unused: Any = None
    return StudyCallback(unused, unused, unused, Halt(None))


def test_no_other_callback_watches_the_trials(
    callback: StudyCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in TUNE_SETTINGS.items():
        monkeypatch.setenv(name, value)
    assert _create_default_callbacks([callback]) == [callback]


def test_a_finished_trial_is_let_go(
    callback: StudyCallback, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial("any", stub=True)
    known, result = weakref.ref(trial), {"done": True, "value": 1.0}
    callback.on_trial_result(1, [trial], trial, result)
    callback.on_trial_complete(2, [trial], trial)
    del trial
    assert known() is None
    assert capsys.readouterr().out == ""


def slots(*, share_gpus: bool = False) -> Any:
    return SimpleNamespace(
        room=2,
        take=lambda trial: {"GPU": 0.5},
        with_whole_gpu=lambda trial: {"GPU": 1.0},
        leave=lambda trial: None,
        place_of=lambda trial: 0,
        share_gpus=share_gpus,
        taken=2,
        group=None,
    )


def searcher(study: Study, *, share_gpus: bool = False) -> StudySearcher:
    metrics: Any = SimpleNamespace(suggesting=nullcontext)
    return StudySearcher(study, slots(share_gpus=share_gpus), metrics, Halt(None), lambda: None)


def test_a_search_is_not_over_while_a_trial_may_yet_be_thawed(tmp_path: Path) -> None:
    promoting = space(start=[], search={"scheduler": "promotion"}, budget={"trials": 2})
    study = open_study(tmp_path, promoting)
    hooks = searcher(study)
    for number in range(2):
        suggested = hooks.suggest("any")
        assert isinstance(suggested, dict) and suggested["number"] == number
    assert study.slots == 2
    assert not study.report(0, 2, 0.9), "it is frozen"
    assert hooks.suggest("any") is None, "nothing now"
    study.fail(1, "crashed")
    thawed = hooks.suggest("any")
    assert isinstance(thawed, dict) and thawed["number"] == 0
    assert thawed["job"].known_epoch == 2
    study.end(0)
    assert hooks.suggest("any") == Searcher.FINISHED


@pytest.mark.parametrize("share_gpus", [True, False])
def test_who_ran_out_of_memory_beside_others_is_trained_alone_and_fails_if_that_is_not_enough(
    tmp_path: Path, share_gpus: bool
) -> None:
    study = open_study(tmp_path, space(start=[]))
    unused: Any = None
    scheduler = StudyScheduler(study, slots(share_gpus=share_gpus), unused, Halt(None))
    hooks = searcher(study, share_gpus=share_gpus)
    ran_out = {"failed": "OutOfMemoryError: CUDA out of memory", "out_of_memory": True}

    def suggested() -> tuple[int, float] | None:
        found = hooks.suggest("any")
        return (found["number"], found["bundle"]["GPU"]) if isinstance(found, dict) else None

    def told(number: int) -> str:
        trial: Any = SimpleNamespace(config={"number": number})
        return scheduler.on_trial_result(None, trial, ran_out)

    assert (suggested(), suggested()) == ((0, 0.5), (1, 0.5))
    assert told(1) == StudyScheduler.STOP
    if share_gpus:
        assert study.trials()[1].state == TrialState.WAITING
        assert suggested() is None, "trial 0 is still there"
        study.fail(0, "crashed")
        assert suggested() == (1, 1.0)
        assert told(1) == StudyScheduler.STOP
    assert study.trials()[1].state == TrialState.FAIL
    assert suggested() == (2, 0.5)


@pytest.mark.parametrize("share_gpus", [True, False])
def test_a_search_is_not_over_while_a_trial_may_yet_have_to_be_alone(
    tmp_path: Path, share_gpus: bool
) -> None:
    study = open_study(
        tmp_path, space(start=[], search={"scheduler": "asha"}, budget={"trials": 1})
    )
    hooks = searcher(study, share_gpus=share_gpus)
    assert isinstance(hooks.suggest("any"), dict)
    assert hooks.suggest("any") == (None if share_gpus else Searcher.FINISHED)


def test_a_process_is_named_by_what_it_trains(tmp_path: Path) -> None:
    x: dict[str, Any] = {"float": [0, 1]}
    parameters = {"gen.x": x, "disc.x": x, "gen.depth": x}
    study = open_study(tmp_path, space(parameters=parameters, start=[]))
    suggested = searcher(study).suggest("any")
    assert isinstance(suggested, dict)
    assert re.fullmatch(r"trial 0 gen\.x=\S+ disc\.x=\S+ depth=\S+", suggested["title"])
