"""Every private name of Optuna that Rungs uses, and what for.

Optuna may rename or remove these in any release, so the version is pinned. Whoever moves the pin
runs `pytest tests/results/study/test_optuna_private.py`, which names what is no longer as it was.
"""

from collections.abc import Callable, Container
from copy import copy

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState

__all__ = [
    "JournalOperation",
    "can_hold",
    "told_as",
]  # The operations by which a journal's lines are told.


def can_hold(distribution: BaseDistribution, internal_value: float) -> bool:
    """Whether a distribution has a value, told as the journal tells it: a choice by its index.

    Optuna asks this as a trial is used, and raises without a place; the journal's checker asks it
    line by line, to name the line.
    """
    return distribution._contains(internal_value)


def told_as(study: Study, tell: Callable[[FrozenTrial], FrozenTrial]) -> Study:
    """The study as a sampler is to see it: each trial as `tell` gives it.

    Samplers read trials by a method of the study that has no public name, and from the study alone.
    A study in memory with copies of all trials would take longer than a suggestion.
    """

    def get_trials(
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        told = map(tell, study.get_trials(deepcopy=deepcopy))
        return [trial for trial in told if states is None or trial.state in states]

    seen = copy(study)
    seen._get_trials = get_trials  # type: ignore[method-assign]
    return seen
