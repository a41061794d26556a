"""Which parameters mattered: trials are compared at one epoch that nearly all of them reached, stopped or not."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy import stats

from results.report.facts import Facts
from search_spaces.suggest import distribution

REACHED = 0.8
LEAST_TRIALS = 8
MOST_TRIALS = 200
TREES, DEPTH = 24, 6
PARTS = 4  # each is left out once, for a range


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """A parameter's share of what explains the differences between trials.

    Attributes:
        name: The parameter's.
        share: From 0 to 1; those of unconditional parameters add up to 1.
        low: The least of the shares when a part of the trials is left out.
        high: The greatest of those.
        trials: How many were compared.
        conditional: Whether it takes part in some trials only; then its share is one among those.
    """

    name: str
    share: float
    low: float
    high: float
    trials: int
    conditional: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Trials at equal epochs.

    Attributes:
        epoch: The one at which they are compared; 0 if none has a value.
        values: The objective there, by trial number; failed trials and values that aren't finite
            are left out.
        reporting: How many trials reported anything.
    """

    epoch: int
    values: Mapping[int, float]
    reporting: int


def compare_at_epoch(facts: Facts) -> Comparison:
    """All trials at the last epoch that at least four in five of them reached."""
    lengths = sorted((trial.epochs for trial in facts.trials if trial.best), reverse=True)
    epoch = lengths[math.ceil(REACHED * len(lengths)) - 1] if lengths else 0
    at_epoch = {
        trial.number: trial.values[epoch]
        for trial in facts.trials
        if trial.best and epoch in trial.values
    }
    finite = {number: value for number, value in at_epoch.items() if math.isfinite(value)}
    return Comparison(epoch=epoch, values=finite, reporting=len(lengths))


def importances(facts: Facts, comparison: Comparison) -> list[Importance]:
    """The parameters, the most important first, unconditional ones before the others.

    None if the trials are too few.

    fANOVA (Hutter et al. 2014, https://proceedings.mlr.press/v32/hutter14.html) by Optuna, on the
    ranks of the values, so that a few that diverged don't decide alone. A conditional parameter is
    compared among the trials that have it.
    """
    numbers = _sample(sorted(comparison.values))
    common = [
        one.name
        for one in facts.space.parameters
        if all(one.name in _params(facts, n) for n in numbers)
    ]
    found = _shares(facts, comparison, numbers, common, common, conditional=False)
    for parameter in facts.space.parameters:
        if parameter.name not in common:
            having = [number for number in numbers if parameter.name in _params(facts, number)]
            names = [*common, parameter.name]
            found += _shares(facts, comparison, having, names, [parameter.name], conditional=True)
    return sorted(found, key=lambda one: (one.conditional, -one.share))


def _params(facts: Facts, number: int) -> Mapping[str, object]:
    return facts.trials[number].params


def _sample(numbers: list[int]) -> list[int]:
    """All, or so many that it stays quick, evenly from the first to the last."""
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_TRIALS)).round()
    return [numbers[int(place)] for place in places]


def _shares(
    facts: Facts,
    comparison: Comparison,
    numbers: list[int],
    names: list[str],
    wanted: list[str],
    *,
    conditional: bool,
) -> list[Importance]:
    values = [comparison.values[number] for number in numbers]
    if len(numbers) < LEAST_TRIALS or len(set(values)) < 2 or not names:
        return []
    trials = [
        _trial(facts, number, rank, names)
        for number, rank in zip(numbers, _ranks(values), strict=True)
    ]
    whole = _fanova(trials, names)
    parts = [
        _fanova([t for i, t in enumerate(trials) if i % PARTS != part], names)
        for part in range(PARTS)
    ]
    return [
        Importance(
            name=name,
            share=whole[name],
            low=min([whole[name], *(part[name] for part in parts)]),
            high=max([whole[name], *(part[name] for part in parts)]),
            trials=len(numbers),
            conditional=conditional,
        )
        for name in wanted
    ]


def _ranks(values: list[float]) -> list[float]:
    """From 0 for the least to 1 for the greatest; equals share the middle of their ranks."""
    return ((stats.rankdata(values) - 1) / max(1, len(values) - 1)).tolist()


def _trial(facts: Facts, number: int, rank: float, names: list[str]) -> FrozenTrial:
    searched = {one.name: distribution(one) for one in facts.space.parameters if one.name in names}
    params = {name: facts.trials[number].params[name] for name in searched}
    return create_trial(
        state=TrialState.COMPLETE, value=rank, params=params, distributions=searched
    )


def _fanova(trials: list[FrozenTrial], names: list[str]) -> dict[str, float]:
    if len({trial.value for trial in trials}) < 2:
        return dict.fromkeys(names, 0.0)
    evaluator = FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=0)
    with _quiet():
        study = optuna.create_study()
        study.add_trials(trials)
        shares = get_param_importances(study, evaluator=evaluator, params=names)
    return {name: float(share) for name, share in shares.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna would announce the study."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)
