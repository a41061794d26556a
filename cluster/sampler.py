"""The sampler: what it suggests is a function of the journal alone, so a resumed study goes on as if never stopped."""

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from trainables.seeding import derive_seed

RANDOM_EVERY = 5


class ReplayableSampler(BaseSampler):
    """TPE (or random), seeded anew for each trial and parameter from the study's seed.

    Parameters are sampled independently of each other, which suits conditions and did better under early stopping
    than the multivariate kind; every fifth trial is random, so that the model never starves on its own suggestions.
    """

    def __init__(self, kind: str, seed: int):
        self._kind = kind
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing: all parameters are sampled independently."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing: all parameters are sampled independently."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """One parameter's value."""
        seed = derive_seed(self._seed, "sampler", trial.number, param_name)
        sampler: BaseSampler
        if self._kind == "random" or trial.number % RANDOM_EVERY == RANDOM_EVERY - 1:
            sampler = RandomSampler(seed=seed)
        else:
            sampler = TPESampler(seed=seed, multivariate=False, n_startup_trials=10)
        return sampler.sample_independent(study, trial, param_name, param_distribution)
