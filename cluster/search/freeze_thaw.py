"""Freeze-thaw search: a model of the curves says which frozen trial goes on, or what begins."""

import math
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from optuna.trial import TrialState
from scipy.spatial.distance import cdist

from cluster.search.scheduler import Decision, Scheduler, Searched
from results.curves.encoding import Encoding
from results.curves.model import CurveModel, Observations
from results.curves.seen import SeenCurves
from results.study.notes import Expected
from results.study.repeats import counted
from search_spaces import Space
from search_spaces.space import Objective
from trainables.seeding import derive_seed

ENOUGH_TRIALS = 10
RANDOM_SHARE = 0.2
BOLDEST = 6.0  # Standard deviations.
DRAWN, MUTATED, REFINED, REFINEMENTS = 300, 300, 150, 2
PARENTS, REFINED_PARENTS = 6, 10
REFINED_STEP = 0.2
TOO_CLOSE = 0.1
MOST_FROZEN = 100
GROWTH_UNTIL_REFIT = 1.1
FIRST_ITERATIONS, ITERATIONS = 30, 8
MODEL_KEY = "rungs:curve model"

_Moment = tuple[int, int]


@dataclass(frozen=True)
class _Choice:
    """A frozen trial or a new configuration, chosen after so many reports and trials."""

    moment: _Moment
    number: int | None = None
    places_D: np.ndarray | None = None
    by_model: bool = True


@dataclass(frozen=True)
class _Hope:
    """What candidates are judged by: what they may reach within so many epochs, at best.

    Attributes:
        horizon: Epochs from where a trial is.
        boldness: How many standard deviations better than expected.
    """

    model: CurveModel
    horizon: int
    boldness: float


class FreezeThaw(Scheduler):
    """Every trial is frozen at each look; the most promising one goes on, or a new one begins.

    A Gaussian process (`CurveModel`) is asked of every frozen trial and of some 900 new
    configurations what they may reach, trained some epochs longer: the mean and some standard
    deviations better. How many epochs and deviations is drawn anew each time, so that short and
    long views, caution and boldness take turns, and nothing has to be tuned. (Random horizons are
    ifBO's, Rakotoarison et al. 2024, https://arxiv.org/abs/2404.16795; with the probability of an
    improvement, which it asks for, all is hopeless once the best is an outlier.) A share of the
    choices begins a random trial instead, which keeps the model honest.

    Everything follows from the journal: the random numbers from how far the study has come, the
    model from the reports and from its `theta`, which is noted there each time it is learnt.

    Args:
        space: Gives the parameters, the looks (`space.rungs`) and the seed.
        objective: What is compared; of two, each choice weighs them anew.
        searched: The study.
    """

    freezes: ClassVar[bool] = True

    def __init__(self, space: Space, objective: Objective, searched: Searched):
        self._space, self._objective, self._searched = space, objective, searched
        self._encoding = Encoding(space.parameters)
        self._seen = SeenCurves(space.rungs, space.budget.max_epochs, objective)
        self._places: dict[int, np.ndarray] = {}
        self._tried: set[bytes] = set()
        self._choice: _Choice | None = None
        self._model: CurveModel | None = None
        self._refit_at = 0.0

    def record(
        self,
        number: int,
        epoch: int,
        value: float,
        second: float | None = None,
        *,
        after: int | None = None,
    ) -> None:
        """Remember a report."""
        self._seen.record(number, epoch, value, second)

    def decide(self, number: int, epoch: int, *, after: int | None = None) -> Decision:
        """It is frozen at each look."""
        before = epoch - 1 if after is None else after
        is_look = any(before < look <= epoch for look in self._space.rungs)
        return Decision.FREEZE if is_look else Decision.GO_ON

    def thaw(self, frozen: Mapping[int, int], *, closing: bool = False) -> int | None:
        """The frozen trial that is chosen; None: a new one is."""
        moment = self._seen.reports, len(self._searched.trials())
        choice = self._choice
        if choice is None or choice.moment != moment or choice.number not in (None, *frozen):
            self._choice = choice = self._choose(moment, frozen)
        return choice.number

    def newcomer(self, number: int) -> dict[str, Any]:
        """The configuration of the new trial that was chosen.

        Args:
            number: The trial's.
        """
        places_D = self._new_choice(number).places_D
        assert places_D is not None
        return self._encoding.values(places_D)

    def expected(self, number: int, epoch: int) -> Expected | None:
        """What the model expects of a trial that it chose; of two objectives it can't be said."""
        choice = self._choice if epoch else self._new_choice(number)
        if choice is None or not choice.by_model or self._objective.second is not None:
            return None
        assert self._model is not None
        places_D = self._places[number] if choice.places_D is None else choice.places_D
        looks = [*self._space.rungs, self._space.budget.max_epochs]
        look = next(look for look in looks if look > epoch)
        losses = self._model.band(
            self._encoding.features(places_D[None]),
            self._seen.time(np.array([look])),
            np.array([number]),
        )
        # The last digits depend on the order of the trials, which a resumed study need not keep.
        low, value, high = (float(f"{loss:.6g}") for loss in -self._objective.sign * losses[:, 0])
        return Expected(look, min(low, high), value, max(low, high))

    def out_of_reach(
        self, frozen: Mapping[int, int], under_way: Set[int], newcomers: int
    ) -> list[int]:
        """Where too many are frozen for the disk, those that do worst among who came as far."""
        too_many = len(frozen) - MOST_FROZEN
        return self._seen.worst_first(frozen)[:too_many] if too_many > 0 else []

    def _new_choice(self, number: int) -> _Choice:
        if self._choice is None or self._choice.moment != (self._seen.reports, number):
            self._choice = self._choose((self._seen.reports, number), {})
        return self._choice

    def _choose(self, moment: _Moment, frozen: Collection[int]) -> _Choice:
        rng = np.random.default_rng(derive_seed(self._space.seed, "freeze_thaw", *moment))
        frozen_M = np.array(sorted(frozen), dtype=int)
        may_begin = self._searched.newcomers() > 0 or not len(frozen_M)
        drawn_D = self._encoding.drawn(1, rng)[0]
        if may_begin and (len(self._seen) < ENOUGH_TRIALS or rng.random() < RANDOM_SHARE):
            return _Choice(moment, places_D=drawn_D, by_model=False)
        self._look_at_trials(before=moment[1])
        seen = self._seen.observations(self._places, self._encoding, rng.random(), rng)
        if seen is None:
            return _Choice(moment, places_D=drawn_D, by_model=False)
        hope = self._hope(seen, rng)
        promises_M = self._promises_of_frozen(frozen_M, hope)
        if may_begin:
            places_D, promise = self._best_new(seen, hope, rng)
            if promise > promises_M.max(initial=-math.inf):
                return _Choice(moment, places_D=places_D)
        return _Choice(moment, number=int(frozen_M[promises_M.argmax()]))

    def _look_at_trials(self, *, before: int) -> None:
        """Take in trials, without the one that is chosen: a kill may have left it a part only."""
        trials = self._searched.trials()[:before]
        for trial in trials:
            if trial.number not in self._places and trial.params:
                self._places[trial.number] = self._encoding.places(trial.params)
                self._tried.update(_digests(self._places[trial.number][None]))
        if any(trial.state == TrialState.FAIL for trial in trials):
            failed = [trial for trial in counted(trials) if trial.state == TrialState.FAIL]
            self._seen.failed(trial.number for trial in failed if trial.params)

    def _hope(self, seen: Observations, rng: np.random.Generator) -> _Hope:
        most = min(
            self._space.budget.max_epochs, self._searched.epochs_left() / self._searched.slots
        )
        horizon = int(rng.integers(1, max(1, math.ceil(most)) + 1))
        return _Hope(self._fitted(seen), horizon, rng.uniform(0, BOLDEST))

    def _fitted(self, seen: Observations) -> CurveModel:
        """The model of what was seen; when there is a tenth more of it, it is learnt anew."""
        if self._model is None and (noted := self._searched.noted(MODEL_KEY)):
            self._refit_at = noted["reports"] * GROWTH_UNTIL_REFIT
            self._model = CurveModel(self._encoding.owner_F, np.array(noted["theta"]))
        is_due = self._seen.reports >= self._refit_at
        iterations = 0 if not is_due else ITERATIONS if self._model else FIRST_ITERATIONS
        self._model = self._model or CurveModel(self._encoding.owner_F)
        self._model.fit(seen, iterations=iterations)
        if is_due:
            self._refit_at = self._seen.reports * GROWTH_UNTIL_REFIT
            theta = self._model.theta.tolist()
            self._searched.note(MODEL_KEY, {"reports": self._seen.reports, "theta": theta})
        return self._model

    def _promises_of_frozen(self, frozen_M: np.ndarray, hope: _Hope) -> np.ndarray:
        if not len(frozen_M):
            return np.zeros(0)
        features_MF = self._encoding.features(np.array([self._places[n] for n in frozen_M]))
        epochs_M = np.array([self._seen.last(number) for number in frozen_M]) + hope.horizon
        return self._promises(features_MF, epochs_M, hope, frozen_M)

    def _best_new(
        self, seen: Observations, hope: _Hope, rng: np.random.Generator
    ) -> tuple[np.ndarray, float]:
        """The most promising of many new configurations; the best of them are refined twice."""
        best_first = dict.fromkeys(seen.trials_N[np.argsort(seen.losses_N, kind="stable")].tolist())
        parents_PD = np.array([self._places[number] for number in list(best_first)[:PARENTS]])
        places_MD = np.concatenate(
            [self._encoding.drawn(DRAWN, rng), self._encoding.mutated(parents_PD, MUTATED, rng)]
        )
        running_RF = self._running_features()
        promises_M = self._new_promises(places_MD, hope, running_RF)
        for _ in range(REFINEMENTS):
            best_P = np.argsort(-promises_M, kind="stable")[:REFINED_PARENTS]
            refined_MD = self._encoding.mutated(
                places_MD[best_P], REFINED, rng, largest=REFINED_STEP
            )
            places_MD = np.concatenate([places_MD[best_P], refined_MD])
            refined_M = self._new_promises(refined_MD, hope, running_RF)
            promises_M = np.concatenate([promises_M[best_P], refined_M])
        best = int(promises_M.argmax())
        return places_MD[best], float(promises_M[best])

    def _running_features(self) -> np.ndarray:
        running = [t.number for t in self._searched.trials() if t.state == TrialState.RUNNING]
        running_RD = [self._places[number] for number in running if number in self._places]
        return self._encoding.features(np.array(running_RD)) if running_RD else np.zeros((0, 0))

    def _new_promises(
        self, places_MD: np.ndarray, hope: _Hope, running_RF: np.ndarray
    ) -> np.ndarray:
        """None for what is being tried, or was: close to what trains, or the same as another."""
        features_MF = self._encoding.features(places_MD)
        promises_M = self._promises(features_MF, np.full(len(places_MD), hope.horizon), hope)
        if len(running_RF):
            promises_M[cdist(features_MF, running_RF).min(axis=1) < TOO_CLOSE] = -math.inf
        promises_M[[digest in self._tried for digest in _digests(places_MD)]] = -math.inf
        return promises_M

    def _promises(
        self,
        features_MF: np.ndarray,
        epochs_M: np.ndarray,
        hope: _Hope,
        trials_M: np.ndarray | None = None,
    ) -> np.ndarray:
        """How good each may get; larger is better."""
        times_M = self._seen.time(np.minimum(epochs_M, self._space.budget.max_epochs))
        means_M, stds_M = hope.model.predict(features_MF, times_M, trials_M)
        promises_M: np.ndarray = hope.boldness * stds_M - means_M
        return promises_M


def _digests(places_MD: np.ndarray) -> list[bytes]:
    """What tells configurations apart, whatever the last digits say."""
    return [places_D.tobytes() for places_D in places_MD.round(9)]
