"""What trials have reported, as observations for a model of curves."""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from results.curves.encoding import Encoding
from results.curves.model import Observations
from search_spaces.space import Objective

MOST = 300  # A decision's time grows with the square of their number.
WORST = math.inf


@dataclass
class _Curve:
    """A trial's best score by each look that it has reached, and by its last epoch."""

    scores: dict[int, tuple[float, ...]] = field(default_factory=dict)
    last: int = 0
    is_bad: bool = False


class SeenCurves:
    """The reports of all trials.

    Args:
        looks: The epochs at which trials are compared.
        max_epochs: The full budget of a trial.
        objective: What is compared.
    """

    def __init__(self, looks: Sequence[int], max_epochs: int, objective: Objective):
        self._looks, self._max_epochs, self._objective = looks, max_epochs, objective
        self._kept = frozenset(looks[::2])  # Looks lie close; every second one tells enough.
        self._curves: dict[int, _Curve] = {}
        self.reports = 0

    def __len__(self) -> int:
        return len(self._curves)

    def record(self, number: int, epoch: int, value: float, second: float | None) -> None:
        """Take a report."""
        self.reports += 1
        curve = self._curves.setdefault(number, _Curve())
        if not math.isfinite(value):
            curve.is_bad = True
            return
        before = curve.scores.get(curve.last)
        if curve.last not in self._kept:
            curve.scores.pop(curve.last, None)
        scores = self._objective.scores(value, second)
        # Of two objectives no epoch is the best one for every weight.
        curve.scores[epoch] = max(before, scores) if before and len(scores) == 1 else scores
        curve.last = epoch

    def failed(self, numbers: Iterable[int]) -> None:
        """These trials crashed: nothing like them is wanted."""
        for number in numbers:
            self._curves.setdefault(number, _Curve()).is_bad = True

    def time(self, epochs: np.ndarray) -> np.ndarray:
        """Epochs on the model's scale."""
        scaled: np.ndarray = np.log(epochs) / math.log(max(2, self._max_epochs))
        return scaled

    def observations(
        self,
        places: Mapping[int, np.ndarray],
        encoding: Encoding,
        weight: float,
        rng: np.random.Generator,
    ) -> Observations | None:
        """What a model learns from: of many reports the best half of `MOST`, and others by chance.

        A trial that diverged or failed has the worst loss of all, from then on to the end of the
        budget. None before a finite value.

        Args:
            places: Of each trial's configuration.
            encoding: Makes features of them.
            weight: Of the first of two objectives.
            rng: Chooses.
        """
        rows = [
            (number, epoch, scores)
            for number, curve in self._curves.items()
            for epoch, scores in curve.scores.items()
        ]
        if not rows:
            return None
        losses_N = np.array(losses_of([scores for _, _, scores in rows], weight))
        bad = [
            (number, epoch)
            for number, curve in self._curves.items()
            if curve.is_bad
            for epoch in (curve.last + 1, self._max_epochs)
        ]
        numbers_N = np.array([number for number, *_ in (*rows, *bad)])
        epochs_N = np.array([epoch for _, epoch, *_ in (*rows, *bad)])
        losses_N = np.concatenate([losses_N, np.full(len(bad), WORST)])
        chosen_N = _most_telling(losses_N, rng)
        numbers_N = numbers_N[chosen_N]
        return Observations(
            features_NF=encoding.features(np.array([places[number] for number in numbers_N])),
            times_N=self.time(epochs_N[chosen_N]),
            trials_N=numbers_N,
            losses_N=losses_N[chosen_N],
        )

    def last(self, number: int) -> int:
        """The last epoch that a trial has reported."""
        return self._curves[number].last

    def worst_first(self, numbers: Collection[int]) -> list[int]:
        """Trials by how many of those that came as far have no better first objective there."""
        at_epoch: dict[int, list[tuple[float, ...]]] = {}
        for curve in self._curves.values():
            for epoch, scores in curve.scores.items():
                at_epoch.setdefault(epoch, []).append(scores)
        ordered = {epoch: sorted(scores) for epoch, scores in at_epoch.items()}

        def standing(number: int) -> float:
            curve = self._curves[number]
            rivals = ordered[curve.last]
            return bisect_right(rivals, curve.scores[curve.last]) / len(rivals)

        return sorted(numbers, key=standing)


def losses_of(scores: Sequence[tuple[float, ...]], weight: float) -> list[float]:
    """One loss for each trial's scores, of which larger ones are better.

    Two scores are scaled to 0 ... 1 (the best); the loss is the larger of the two weighed distances
    from 1, plus a little of their sum: the augmented Tchebycheff function, whose minima for all
    weights are the Pareto front (ParEGO, Knowles 2006, https://doi.org/10.1109/TEVC.2005.851274).
    """
    scores_NK = np.array(scores)
    if scores_NK.shape[1] == 1:
        return (-scores_NK[:, 0]).tolist()
    low, high = scores_NK.min(axis=0), scores_NK.max(axis=0)
    distances = (high - scores_NK) / np.maximum(high - low, 1e-12) * (weight, 1 - weight)
    return (distances.max(axis=1) + 0.05 * distances.sum(axis=1)).tolist()


def _most_telling(losses_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    order_N = np.argsort(losses_N, kind="stable")
    if len(order_N) <= MOST:
        return order_N
    others_N = rng.choice(order_N[MOST // 2 :], MOST - MOST // 2, replace=False)
    return np.concatenate([order_N[: MOST // 2], others_N])
