"""What a model of the curves expected of trials and what came, and what it believes at the end."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from results.curves.encoding import Encoding
from results.curves.model import BAND, CurveModel
from results.curves.seen import SeenCurves
from results.report.facts import Facts, TrialFacts
from results.study.notes import Expected, Notes
from search_spaces import Parameter
from search_spaces.unit import place_of

LEAST_TRIALS = 10
GRID = 25
ITERATIONS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Foretold:
    """A choice of the model, and what came of it.

    Attributes:
        trial: The trial's number.
        after: The epoch after which it was chosen to go on; 0: it began.
        expected: What was expected.
        came: The best objective that it had reached by that epoch; None: it has not come so far.
    """

    trial: int
    after: int
    expected: Expected
    came: float | None

    @property
    def is_within(self) -> bool:
        """Whether it came as expected."""
        return self.came is not None and self.expected.low <= self.came <= self.expected.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Belief:
    """The objective on the full budget by one parameter, the others as the best trial has them.

    Attributes:
        parameter: Which.
        places: 0 ... 1 in what is searched.
        low: Below it are few trainings, at each place.
        value: The most likely, at each place.
        high: Above it are few.
    """

    parameter: Parameter
    places: list[float]
    low: list[float]
    value: list[float]
    high: list[float]


def foretold(facts: Facts) -> list[Foretold]:
    """Every choice that the model made in the search, by trial."""
    return [
        Foretold(
            trial=trial.number, after=after, expected=expected, came=_came(trial, expected, facts)
        )
        for trial in facts.trials
        for after, expected in sorted(Notes.of(facts.record.trials[trial.number]).expected.items())
    ]


def _came(trial: TrialFacts, expected: Expected, facts: Facts) -> float | None:
    if trial.epochs < expected.epoch:
        return None
    values = [value for epoch, value in trial.finite() if epoch <= expected.epoch]
    return max(values, key=lambda value: facts.objective.sign * value, default=None)


def foretold_text(facts: Facts, found: list[Foretold]) -> str:
    """How many trials the model chose, and how often it was right."""
    if not found:
        return ""
    began = {each.trial for each in found if not each.after}
    starts = sum(trial.start is not None for trial in facts.trials)
    drawn = sum(trial.start is None and trial.number not in began for trial in facts.trials)
    text = (
        f"Of {len(facts.trials)} trials {starts} were start points, {drawn} were drawn at random, "
        f"and {len(began)} were chosen by a model of the curves, which had trials that were frozen "
        f"go on {len(found) - len(began)} times."
    )
    judged = [each for each in found if each.came is not None]
    within = sum(each.is_within for each in judged)
    return text + (
        f" Of {len(judged)} values that it foretold, {within} came within its band of {BAND:.0%} "
        f"({within / len(judged):.0%})."
        if judged
        else ""
    )


def beliefs(facts: Facts) -> list[Belief]:
    """What a model of all curves believes of each parameter that the best trial has.

    None with fewer trials than it takes, or with two objectives.
    """
    known = [trial for trial in facts.trials if trial.values]
    if facts.best is None or facts.objective.second or len(known) < LEAST_TRIALS:
        return []
    encoding = Encoding(facts.space.parameters)
    model = _model(facts, known, encoding)
    best_D = encoding.places(facts.trials[facts.best.number].params)
    return list(_beliefs(facts, encoding, model, best_D))


def _model(facts: Facts, known: list[TrialFacts], encoding: Encoding) -> CurveModel:
    seen = SeenCurves(facts.space.rungs, facts.space.budget.max_epochs, facts.objective)
    for trial in known:
        for epoch, value in sorted(trial.values.items()):
            seen.record(trial.number, epoch, value, None)
    places = {trial.number: encoding.places(trial.params) for trial in known}
    observations = seen.observations(places, encoding, 1.0, np.random.default_rng(0))
    assert observations is not None
    model = CurveModel(encoding.owner_F)
    model.fit(observations, iterations=ITERATIONS)
    return model


def _beliefs(
    facts: Facts, encoding: Encoding, model: CurveModel, best_D: np.ndarray
) -> Iterator[Belief]:
    for column, parameter in enumerate(facts.space.parameters):
        if math.isnan(best_D[column]):
            continue
        places_G = (
            np.array([place_of(parameter, choice) for choice in parameter.choices])
            if parameter.kind == "choice"
            else np.linspace(0, 1, GRID)
        )
        places_GD = np.tile(best_D, (len(places_G), 1))
        places_GD[:, column] = places_G
        losses_3G = model.band(encoding.features(places_GD), np.ones(len(places_G)))
        low, value, high = np.sort(-facts.objective.sign * losses_3G, axis=0).tolist()
        yield Belief(parameter=parameter, places=places_G.tolist(), low=low, value=value, high=high)
