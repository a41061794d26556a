"""The sampler: what it suggests follows from the journal alone.

So a study that was interrupted goes on as if it had not been.
"""

from copy import copy
from random import Random
from typing import Any

import numpy as np
from optuna import create_study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from results.study.best import best_epoch
from results.study.notes import Notes
from results.study.optuna_private import told_as
from search_spaces.space import Objective
from trainables.seeding import derive_seed

RANDOM_EVERY = 5


class ReplayableSampler(BaseSampler):
    """TPE (or random), seeded anew for each trial and parameter from the study's seed.

    Parameters are sampled independently of each other, which suits conditions and did better under
    early stopping than the multivariate kind; every fifth trial is random, so that the model never
    starves on its own suggestions. With two objectives each trial looks for the best by another
    weighing of the two.
    """

    def __init__(self, kind: str, seed: int, objective: Objective | None = None):
        self._kind = kind
        self._seed = seed
        self._objective = objective if objective and objective.second else None
        self._weighed: dict[int, Study] = {}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing: all parameters are sampled independently."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing: all parameters are sampled independently."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One parameter's value."""
        seed = derive_seed(self._seed, "sampler", trial.number, param_name)
        sampler: BaseSampler
        if self._kind == "random" or trial.number % RANDOM_EVERY == RANDOM_EVERY - 1:
            sampler = RandomSampler(seed=seed)
        else:
            sampler = TPESampler(seed=seed, multivariate=False, n_startup_trials=10)
            study = self._one_objective(told_as(study, as_it_stands), trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _one_objective(self, study: Study, trial: FrozenTrial) -> Study:
        """The study as this trial sees it: with one objective."""
        if self._objective is None:
            return study
        if trial.number not in self._weighed:
            weight = Random(derive_seed(self._seed, "weight", trial.number)).random()
            self._weighed = {
                trial.number: weighed(study.get_trials(deepcopy=False), self._objective, weight)
            }
        return self._weighed[trial.number]


def as_it_stands(trial: FrozenTrial) -> FrozenTrial:
    """A trial that was ever frozen counts by what it has shown, be it frozen or thawed now.

    TPE leaves out trials that wait, and takes those that run for poor ones.
    """
    if trial.state.is_finished() or Notes.of(trial).frozen_epoch is None:
        return trial
    shown = copy(trial)
    shown.state = TrialState.PRUNED
    return shown


def weighed(trials: list[FrozenTrial], objective: Objective, weight: float) -> Study:
    """A study in memory of the finished trials, whose value is one loss made of two scores.

    Both scores are scaled to 0 ... 1 (the best); the loss is the larger of the two weighed
    distances from 1, plus a little of their sum: the augmented Tchebycheff function, whose minima
    for all weights are the Pareto front (ParEGO, Knowles 2006,
    https://doi.org/10.1109/TEVC.2005.851274).
    """
    finished = [
        trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    ]
    bests = [best_epoch(trial, objective) for trial in finished]
    scores = np.array(
        [objective.scores(best.value, best.second) if best else (np.nan, np.nan) for best in bests]
    )
    study = create_study(direction="minimize")
    if not len(scores) or np.isnan(scores).all():
        return study
    low, high = np.nanmin(scores, axis=0), np.nanmax(scores, axis=0)
    distances = (high - scores) / np.maximum(high - low, 1e-12) * (weight, 1 - weight)
    losses = distances.max(axis=1) + 0.05 * distances.sum(axis=1)
    for trial, loss in zip(finished, losses.tolist(), strict=True):
        study.add_trial(
            create_trial(
                state=trial.state,
                params=trial.params,
                distributions=trial.distributions,
                value=loss if trial.state == TrialState.COMPLETE else None,
                intermediate_values={max(trial.intermediate_values): loss}
                if trial.intermediate_values
                else {},
            )
        )
    return study
