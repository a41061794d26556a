"""Every private name of Optuna that Rungs uses, and what for.

Optuna may rename or remove these in any release, so the version is pinned. Whoever moves the pin
runs `pytest tests/results/study/test_optuna_private.py`, which names what is no longer as it was.
"""

from optuna.distributions import BaseDistribution
from optuna.storages.journal._storage import JournalOperation

__all__ = ["JournalOperation", "can_hold"]  # The operations by which a journal's lines are told.


def can_hold(distribution: BaseDistribution, internal_value: float) -> bool:
    """Whether a distribution has a value, told as the journal tells it: a choice by its index.

    Optuna asks this as a trial is used, and raises without a place; the journal's checker asks it
    line by line, to name the line.
    """
    return distribution._contains(internal_value)
