"""Proves that fANOVA gives the numbers of Optuna's: pytest tests/results/report/test_fanova.py."""

import numpy as np
import optuna
import pytest
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from results.report.fanova import fanova
from search_spaces import space_from_mapping
from search_spaces.suggest import corners, distribution

SPACE = space_from_mapping(
    {
        "task": "gpt2_classifier",
        "budget": {"trials": 9, "max_epochs": 9},
        "parameters": {
            "z": {"float": [1e-4, 1e-1], "log": True},
            "a": {"int": [2, 40], "step": 2},
            "kind": {"choice": [True, 1.5, None, "x"]},
            "unused": {"float": [0, 0.5]},
        },
    },
    name="s",
    file="s.yaml",
)


@pytest.mark.parametrize(("trials", "depth"), [(12, 2), (60, 6), (150, 64)])
def test_the_shares_are_optunas(trials: int, depth: int) -> None:
    generator = np.random.default_rng(trials)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=trials))
    distributions = {each.name: distribution(each) for each in SPACE.parameters}
    for _ in range(trials):
        params = study.ask(distributions).params
        value = params["a"] ** 2 / 100 + 5 * (params["kind"] == "x") + generator.normal()
        study.add_trial(create_trial(params=params, distributions=distributions, value=value))
    made = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    expected = get_param_importances(
        study, evaluator=FanovaImportanceEvaluator(n_trees=8, max_depth=depth, seed=0)
    )
    found = fanova(
        SPACE.parameters,
        [trial.params for trial in made],
        [trial.value or 0.0 for trial in made],
        trees=8,
        depth=depth,
    )
    assert found == pytest.approx(expected, abs=1e-12)
    assert sum(found.values()) == pytest.approx(1)


def test_equal_targets_explain_nothing() -> None:
    configurations = list(corners(SPACE))
    found = fanova(SPACE.parameters, configurations, [0.5] * len(configurations), trees=4, depth=3)
    assert found == dict.fromkeys(["a", "kind", "unused", "z"], 0.0)
