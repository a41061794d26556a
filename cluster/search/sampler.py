"""The samplers: what they suggest follows from the study's seed and its journal alone.

So a study that was interrupted goes on as if it had not been: each is made anew for every trial,
seeded by the trial's number.
"""

import math
from functools import cached_property
from random import Random
from typing import Any

import numpy as np
from cmaes import CMA
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from cluster.search.freeze_thaw import FreezeThaw
from cluster.search.scheduler import Scheduler
from cluster.search.seen import generation_losses, seen_trials, study_of, with_values
from search_spaces.grid import grid_points
from search_spaces.parameter import Parameter
from search_spaces.space import Objective, Space
from search_spaces.suggest import distribution
from search_spaces.unit import place_of, value_at
from trainables.seeding import derive_seed

RANDOM_EVERY = 5
MOST_SEEN = 300  # TPE takes 100 ms to look at 1,000 trials with 12 parameters.
MOST_SEEN_BY_GP = 100
CMA_SIGMA = 0.2  # Of the range: the first generation covers most of it.


def make_sampler(
    space: Space, objective: Objective, scheduler: Scheduler | None = None
) -> BaseSampler:
    """The sampler that a space names; some schedulers are their own."""
    if space.search.sampler == "curves":
        assert isinstance(scheduler, FreezeThaw)
        return Curves(space, objective, scheduler)
    return _SAMPLERS[space.search.sampler](space, objective)


class RandomSearch(BaseSampler):
    """Each value at random.

    The others suggest some parameters jointly, which are known before a trial begins, and those
    that are left one after the other.
    """

    def __init__(self, space: Space, objective: Objective):
        self._space = space
        self._objective = objective
        self._distributions = {p.name: distribution(p) for p in self.joint(space)}

    def joint(self, space: Space) -> list[Parameter]:
        """The parameters that are suggested jointly."""
        return []

    def values(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Values of the joint parameters; one that is left out is suggested by itself."""
        return {}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The joint parameters, in Optuna's terms."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of the joint parameters; none for a trial that goes on, which has them."""
        return {} if search_space.keys() <= trial.params.keys() else self.values(study, trial)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One parameter's value."""
        sampler = RandomSampler(seed=self.seed(trial, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def seed(self, trial: FrozenTrial, *names: str) -> int:
        """Of one random choice for a trial."""
        return derive_seed(self._space.seed, "sampler", trial.number, *names)


class Tpe(RandomSearch):
    """Optuna's TPE, each parameter by itself.

    This suits conditions, and did better under early stopping than the multivariate kind. Every
    fifth trial is random, so that the model never starves on its own suggestions. With two
    objectives each trial looks for the best by another weighing of the two.
    """

    _learned: tuple[int, Study] | None = None

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """One parameter's value."""
        if not self.learns(study, trial):
            return super().sample_independent(study, trial, param_name, param_distribution)
        sampler = TPESampler(
            seed=self.seed(trial, param_name), multivariate=False, n_startup_trials=0
        )
        learned = self.learned(study, trial)
        return sampler.sample_independent(learned, trial, param_name, param_distribution)

    def learns(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether there is enough to learn from, and it isn't a random trial's turn."""
        is_random = trial.number % RANDOM_EVERY == RANDOM_EVERY - 1
        return not is_random and bool(self.learned(study, trial).get_trials(deepcopy=False))

    def learned(self, study: Study, trial: FrozenTrial) -> Study:
        """The study as this trial sees it: with one loss for each trial."""
        if self._learned is None or self._learned[0] != trial.number:
            weight = Random(derive_seed(self._space.seed, "weight", trial.number)).random()
            others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
            seen = seen_trials(others, self._space, self._objective, weight)
            self._learned = trial.number, study_of(best_and_latest(seen, MOST_SEEN))
        return self._learned[1]


class Gp(Tpe):
    """Optuna's Gaussian process over the parameters without conditions; TPE for the others.

    Its time grows with the cube of the trials it looks at, so these are bounded.
    """

    def joint(self, space: Space) -> list[Parameter]:
        """The parameters that take part in every trial."""
        return [parameter for parameter in space.parameters if not parameter.when]

    def values(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Where the expected improvement is highest."""
        if not self.learns(study, trial):
            return {}
        seen = best_and_latest(
            self.learned(study, trial).get_trials(deepcopy=False), MOST_SEEN_BY_GP
        )
        sampler = GPSampler(seed=self.seed(trial), n_startup_trials=0)
        return sampler.sample_relative(study_of(seen), trial, self._distributions)


class CmaEs(Tpe):
    """CMA-ES over the ranges without conditions (package cmaes); TPE for the others.

    Hansen 2016, https://arxiv.org/abs/1604.00772. Its state is no part of the journal, but comes
    from it: trials in the order of their numbers are generations, and all of them are told again.
    Trials of a generation are compared at the highest rung that all of them have reached.
    """

    def joint(self, space: Space) -> list[Parameter]:
        """The ranges that take part in every trial."""
        return [parameter for parameter in space.parameters if parameter.is_free_range]

    def values(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """A draw from the distribution that the trials so far have led to."""
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        cma = self._retold(with_values(others))
        cma.reseed_rng(self.seed(trial))
        places = cma.ask().tolist()
        parameters = self.joint(self._space)
        return {p.name: value_at(p, place) for p, place in zip(parameters, places, strict=True)}

    def _retold(self, trials: list[FrozenTrial]) -> CMA:
        parameters = self.joint(self._space)
        bounds_D2 = np.tile([0.0, 1.0], (len(parameters), 1))
        cma = CMA(mean=np.full(len(parameters), 0.5), sigma=CMA_SIGMA, bounds=bounds_D2, seed=0)
        size = cma.population_size
        for begin in range(0, len(trials) - size + 1, size):
            generation = trials[begin : begin + size]
            points = [
                [place_of(p, trial.params[p.name]) for p in parameters] for trial in generation
            ]
            losses = generation_losses(generation, self._objective)
            cma.tell(list(zip(np.array(points), losses, strict=True)))
        return cma


class Sobol(RandomSearch):
    """Sobol's sequence over all parameters, scrambled by the seed; a trial's number is its place.

    A parameter that takes no part in a trial has its dimension all the same.
    """

    def joint(self, space: Space) -> list[Parameter]:
        """All parameters."""
        return list(space.parameters)

    def values(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """The trial's point of the sequence."""
        from scipy.stats import qmc  # It takes a second.

        parameters = self._space.parameters
        sequence = qmc.Sobol(len(parameters), rng=self._space.seed)
        if trial.number:
            sequence.fast_forward(trial.number)
        places = sequence.random()[0].tolist()
        return {p.name: value_at(p, place) for p, place in zip(parameters, places, strict=True)}


class Grid(RandomSearch):
    """Every point of the grid once, in an order that the seed shuffles, so that any part is fair.

    A point that a start point has tried is left out.
    """

    def joint(self, space: Space) -> list[Parameter]:
        """All parameters."""
        return list(space.parameters)

    def values(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """The first point that no earlier trial has."""
        trials = study.get_trials(deepcopy=False)
        taken = {frozenset(t.params.items()) for t in trials if t.number < trial.number}
        return next((point for key, point in self._points if key not in taken), {})

    @cached_property
    def _points(self) -> list[tuple[frozenset[tuple[str, Any]], dict[str, Any]]]:
        points = grid_points(self._space.parameters)
        Random(derive_seed(self._space.seed, "grid")).shuffle(points)
        return [(frozenset(point.items()), point) for point in points]


class Curves(RandomSearch):
    """What the model of freeze-thaw search chose when it decided that a new trial begins."""

    def __init__(self, space: Space, objective: Objective, scheduler: FreezeThaw):
        super().__init__(space, objective)
        self._scheduler = scheduler

    def joint(self, space: Space) -> list[Parameter]:
        """All parameters."""
        return list(space.parameters)

    def values(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """The chosen configuration."""
        return self._scheduler.newcomer(trial.number)


def best_and_latest(trials: list[FrozenTrial], most: int) -> list[FrozenTrial]:
    """So many trials: a quarter of them the best, the others the latest."""
    by_loss = sorted(trials, key=lambda trial: trial.values[0] if trial.values else math.inf)
    best, others = by_loss[: most // 4], by_loss[most // 4 :]
    latest = sorted(others, key=lambda trial: trial.number)[len(best) - most :]
    return sorted([*best, *latest], key=lambda trial: trial.number)


_SAMPLERS = {
    "tpe": Tpe,
    "gp": Gp,
    "cmaes": CmaEs,
    "sobol": Sobol,
    "grid": Grid,
    "random": RandomSearch,
    "none": RandomSearch,  # For what start points leave out.
}
