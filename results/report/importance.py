"""Which parameters mattered, judged at one epoch that nearly all trials reached, stopped or not."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from results.report.facts import Facts
from results.report.fanova import fanova
from search_spaces import Parameter

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

    None if the trials are too few. fANOVA is on the ranks of the values, so that a few that
    diverged don't decide alone. A conditional parameter is compared among the trials that have it.
    """
    numbers = _sample(sorted(comparison.values))
    common = [
        parameter
        for parameter in facts.space.parameters
        if all(parameter.name in facts.trials[number].params for number in numbers)
    ]
    found = _shares(facts, comparison, numbers, common, common, conditional=False)
    for parameter in facts.space.parameters:
        if parameter not in common:
            having = [n for n in numbers if parameter.name in facts.trials[n].params]
            searched = [*common, parameter]
            found += _shares(facts, comparison, having, searched, [parameter], conditional=True)
    return sorted(found, key=lambda importance: (importance.conditional, -importance.share))


def _sample(numbers: list[int]) -> list[int]:
    """All, or so many that it stays quick, evenly from the first to the last."""
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_TRIALS)).round()
    return [numbers[int(place)] for place in places]


def _shares(
    facts: Facts,
    comparison: Comparison,
    numbers: list[int],
    searched: list[Parameter],
    wanted: list[Parameter],
    *,
    conditional: bool,
) -> list[Importance]:
    """The shares of the wanted parameters among those searched, by the trials of these numbers."""
    values = [comparison.values[number] for number in numbers]
    if len(numbers) < LEAST_TRIALS or len(set(values)) < 2 or not searched:
        return []
    configurations = [facts.trials[number].params for number in numbers]
    ranks = ((stats.rankdata(values) - 1) / (len(values) - 1)).tolist()

    def shares_without(part: int | None) -> dict[str, float]:
        kept = [index for index in range(len(numbers)) if index % PARTS != part]
        return fanova(
            searched,
            [configurations[index] for index in kept],
            [ranks[index] for index in kept],
            trees=TREES,
            depth=DEPTH,
        )

    whole = shares_without(None)
    parts = [whole, *map(shares_without, range(PARTS))]
    return [
        Importance(
            name=parameter.name,
            share=whole[parameter.name],
            low=min(part[parameter.name] for part in parts),
            high=max(part[parameter.name] for part in parts),
            trials=len(numbers),
            conditional=conditional,
        )
        for parameter in wanted
    ]
