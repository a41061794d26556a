"""Configurations as rows of numbers, for models that can't take anything else."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search_spaces.parameter import Parameter, active
from search_spaces.unit import place_of, snap, value_at

STEP_SIZES = (0.003, 0.5)  # Of a mutated range, drawn evenly in the logarithm.
MUTATED_SHARES = (0.2, 0.5, 1.0)


class Encoding:
    """The parameters of a space as the columns of a matrix.

    A configuration's places are a row with a number of 0 ... 1 for each parameter, NaN for one that
    takes no part. Its features are what distances are measured between: a column for a range, in
    whose middle those without it lie, and a column for each choice; two different choices are as
    far apart as the ends of a range.

    Attributes:
        owner_F: The parameter, by its place in the list, that each feature belongs to.
    """

    def __init__(self, parameters: Sequence[Parameter]):
        self._parameters = parameters
        self._column = {parameter.name: i for i, parameter in enumerate(parameters)}
        widths = [max(1, len(parameter.choices)) for parameter in parameters]
        self.owner_F = np.repeat(np.arange(len(parameters)), widths)

    def places(self, values: Mapping[str, Any]) -> np.ndarray:
        """A configuration as a row."""
        return np.array(
            [
                place_of(parameter, values[parameter.name]) if parameter.name in values else np.nan
                for parameter in self._parameters
            ]
        )

    def values(self, places_D: np.ndarray) -> dict[str, Any]:
        """The configuration of a row, without the parameters that take no part."""
        values: dict[str, Any] = {}
        for parameter, place in zip(self._parameters, places_D.tolist(), strict=True):
            if active(parameter, values):
                values[parameter.name] = value_at(parameter, place)
        return values

    def drawn(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """So many random configurations."""
        return self._possible(rng.random((count, len(self._parameters))))

    def mutated(
        self, parents_PD: np.ndarray, count: int, rng: np.random.Generator, *, largest: float = 1.0
    ) -> np.ndarray:
        """So many configurations that each differ from a parent in some parameters.

        Args:
            parents_PD: Their places.
            count: How many.
            rng: Draws them.
            largest: Of the steps of ranges, as a part of the usual largest one.
        """
        parents_ND = parents_PD[rng.integers(len(parents_PD), size=count)]
        drawn_ND = rng.random(parents_ND.shape)
        parents_ND = np.where(np.isnan(parents_ND), drawn_ND, parents_ND)
        low, high = np.log(STEP_SIZES[0]), np.log(STEP_SIZES[1] * largest)
        steps_N1 = np.exp(rng.uniform(low, high, size=(count, 1)))
        moved_ND = np.clip(parents_ND + steps_N1 * rng.normal(size=parents_ND.shape), 0, 1)
        is_choice_D = np.array([parameter.kind == "choice" for parameter in self._parameters])
        changes_ND = rng.random(parents_ND.shape) < rng.choice(MUTATED_SHARES, size=(count, 1))
        return self._possible(
            np.where(changes_ND, np.where(is_choice_D, drawn_ND, moved_ND), parents_ND)
        )

    def features(self, places_ND: np.ndarray) -> np.ndarray:
        """The features of rows of places."""
        columns = [
            self._feature(parameter, places_N)
            for parameter, places_N in zip(self._parameters, places_ND.T, strict=True)
        ]
        return np.concatenate(columns, axis=1)

    def _feature(self, parameter: Parameter, places_N: np.ndarray) -> np.ndarray:
        if parameter.kind != "choice":
            return np.where(np.isnan(places_N), 0.5, places_N)[:, None]
        choices = [place_of(parameter, choice) for choice in parameter.choices]
        return np.isclose(places_N[:, None], choices) / np.sqrt(2)

    def _possible(self, places_ND: np.ndarray) -> np.ndarray:
        """Rows moved to the nearest possible values, NaN where a parameter takes no part."""
        rows = places_ND.T.copy()
        for i, parameter in enumerate(self._parameters):
            rows[i] = snap(parameter, rows[i])
            for name, allowed in parameter.when.items():
                column = self._column[name]
                places = [place_of(self._parameters[column], value) for value in allowed]
                takes_part_N = np.isclose(rows[column][:, None], places).any(axis=1)
                rows[i] = np.where(takes_part_N, rows[i], np.nan)
        return rows.T
