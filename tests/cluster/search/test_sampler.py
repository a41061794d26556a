"""Proves that suggestions follow from the journal alone.

pytest tests/cluster/search/test_sampler.py
"""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from cluster.search.sampler import RANDOM_EVERY, ReplayableSampler
from search_spaces import Space
from search_spaces.suggest import suggest
from tests.cluster.search.toy_study import toy_space, value_at
from trainables.seeding import derive_seed

TRIALS = 24  # TPE's model takes part from the tenth on.


@pytest.fixture
def space() -> Space:
    return toy_space(start=[], parameters={"kind": {"choice": ["steady", "fading", "ending"]}})


def one_trial(study: optuna.Study, space: Space) -> dict[str, Any]:
    """Suggest and finish one trial, as ASHA might; every third is stopped early."""
    trial = study.ask()
    values = suggest(space, trial)
    value = value_at(values, 1)
    trial.report(value, 1)
    study.tell(
        trial, None if trial.number % 3 else value, state=TrialState(1 + bool(trial.number % 3))
    )
    return values


def in_memory(space: Space, sampler: BaseSampler, trials: int = TRIALS) -> list[dict[str, Any]]:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    return [one_trial(study, space) for _ in range(trials)]


def test_the_same_seed_suggests_the_same_and_another_does_not(space: Space) -> None:
    first = in_memory(space, ReplayableSampler("tpe", 0))
    assert first == in_memory(space, ReplayableSampler("tpe", 0))
    assert not any(
        a == b for a, b in zip(first, in_memory(space, ReplayableSampler("tpe", 1)), strict=True)
    )
    assert len({str(values) for values in first}) == TRIALS


def test_reopening_the_journal_before_every_trial_changes_no_suggestion(
    space: Space, tmp_path: Path
) -> None:
    reopened = []
    for _ in range(TRIALS):
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
        study = optuna.create_study(
            storage=storage,
            study_name="s",
            direction="maximize",
            sampler=ReplayableSampler("tpe", 0),
            load_if_exists=True,
        )
        reopened.append(one_trial(study, space))
    assert reopened == in_memory(space, ReplayableSampler("tpe", 0))


def test_conditions_hold_in_every_suggestion(space: Space) -> None:
    suggested = in_memory(space, ReplayableSampler("tpe", 0))
    assert {values["kind"] for values in suggested} == {"steady", "fading", "ending"}
    for values in suggested:
        assert ("momentum" in values) == (values["kind"] != "ending")
        assert 1e-4 <= values["lr"] <= 1e-1
        assert values["batch"] == 16


def from_random(study: optuna.Study, number: int, seed: int) -> Any:
    """What the random sampler gives to that trial."""
    sampler = RandomSampler(seed=derive_seed(seed, "sampler", number, "x"))
    return sampler.sample_independent(study, study.trials[number], "x", FloatDistribution(0, 1))


@pytest.mark.parametrize(
    ("kind", "random_ones"), [("tpe", {14, 19, 24}), ("random", set(range(11, 25)))]
)
def test_every_fifth_suggestion_is_random_and_the_others_learn(
    kind: str, random_ones: set[int]
) -> None:
    study = optuna.create_study(sampler=ReplayableSampler(kind, 7))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=25)
    found = {
        trial.number
        for trial in study.trials[11:]
        if trial.params["x"] == from_random(study, trial.number, 7)
    }
    assert found == random_ones
    assert RANDOM_EVERY == 5


def test_tpe_learns_from_the_journal() -> None:
    study = optuna.create_study(sampler=ReplayableSampler("tpe", 0))
    study.optimize(lambda trial: abs(trial.suggest_float("x", 0, 1) - 0.7), n_trials=60)
    learned = [
        trial.value
        for trial in study.trials[30:]
        if trial.number % RANDOM_EVERY != RANDOM_EVERY - 1
    ]
    assert sorted(value for value in learned if value is not None)[len(learned) // 2] < 0.1
