"""Searches that train everything to the end: at random, and evenly spread (Sobol points)."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from scipy.stats import qmc

from benchmarks.search.curves import EPOCHS
from benchmarks.search.setting import Replay, Setting, Trial
from cluster.search.simulator import Step


class Newcomers:
    """Trials at the points of an endless stream."""

    def __init__(self, setting: Setting, points: Iterator[np.ndarray]):
        self._values_of, self._points = setting.problem.values, points
        self._number = -1

    def next(self) -> Trial:
        """One more."""
        self._number += 1
        return Trial(self._number, self._values_of(next(self._points)))


def random_newcomers(setting: Setting) -> Newcomers:
    """Drawn independently."""
    rng, dimensions = setting.rng(), len(setting.problem.ranges)
    return Newcomers(setting, (rng.random(dimensions) for _ in count()))


def sobol_newcomers(setting: Setting) -> Newcomers:
    """Scrambled Sobol points."""
    points = qmc.Sobol(len(setting.problem.ranges), rng=setting.rng())
    return Newcomers(setting, (points.random()[0] for _ in count()))


class FullLength:
    """Whatever is started ends."""

    def __init__(self, newcomers: Newcomers):
        self._newcomers = newcomers

    def next_trial(self) -> Trial | None:
        """A new one."""
        return self._newcomers.next()

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Always on."""
        return epoch < EPOCHS

    def end(self, number: int) -> None:
        """Nothing is remembered."""

    def fail(self, number: int, reason: str) -> None:
        """Nothing is remembered."""


def random(replay: Replay) -> Sequence[Step]:
    """Random search."""
    return replay.simulate(FullLength(random_newcomers(replay.setting)))


def sobol(replay: Replay) -> Sequence[Step]:
    """Quasi-random search."""
    return replay.simulate(FullLength(sobol_newcomers(replay.setting)))
