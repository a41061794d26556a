"""What is compared of a space, and what each reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from benchmarks.factorizers import REFERENCES
from benchmarks.systems.rows import Found, Key, Store, Trained, configuration_of
from benchmarks.systems.searches import CHOSEN, RANDOM, SHIPPED, SPLIT, WAYS
from benchmarks.systems.trainings import Values
from results.confirm.candidates import welch_p
from search_spaces import Objective, Space

HAND, RESCALED = "by hand", "rescaled"
SETTINGS = (HAND, RESCALED, RANDOM, SHIPPED, CHOSEN)
SHOWN = {"low_rank": Objective(name="gap", direction="minimize")}
"""By task: what is shown of it, where that isn't its objective but ranks the same."""

Part = Literal["validation", "test"]


@dataclass(frozen=True, slots=True)
class Results:
    """What the settings of a space reached.

    Attributes:
        space: Its name.
        shown: The metric that is shown.
        found: What each search found, by way and seed.
        configurations: Of each setting the digests of its configurations: of a way to search one
            for each seed of the search; of those by hand the best.
        trained: Every training of the space.
    """

    space: str
    shown: Objective
    found: Mapping[tuple[str, int], Found]
    configurations: Mapping[str, Sequence[str]]
    trained: Mapping[Key, Trained]

    @property
    def label(self) -> str:
        """The space, the metric, and which way is better where that isn't the usual one."""
        less = " (less is better)" if self.shown.sign < 0 else ""
        return f"{self.space}, {self.shown.name}{less}"

    def each(self, setting: str, part: Part, split: int = SPLIT) -> list[list[float]]:
        """The shown metric of each of the setting's configurations that was trained, by seed."""
        of_each = [
            [
                float(getattr(row, part)[self.shown.name])
                for key, row in sorted(self.trained.items())
                if (key.configuration, key.split) == (configuration, split)
            ]
            for configuration in self.configurations[setting]
        ]
        return [values for values in of_each if values]

    def sample(self, setting: str, part: Part, split: int = SPLIT) -> list[float]:
        """Values whose mean is the setting's.

        Those of all seeds; where the search was run several times, the mean of each one's winner,
        as seeds of one winner tell nothing of how searches differ.
        """
        of_each = self.each(setting, part, split)
        return of_each[0] if len(of_each) == 1 else [fmean(values) for values in of_each]

    def gain(self, setting: str) -> tuple[float, float] | None:
        """By how much it is better than the rescaled setting, and Welch's p.

        None where either has fewer than two values.
        """
        samples = [self.sample(each, "validation") for each in (setting, RESCALED)]
        if min(map(len, samples)) < 2:
            return None
        means = [fmean(sample) for sample in samples]
        return self.shown.sign * (means[0] - means[1]), welch_p(*samples)

    def best(self, settings: Sequence[str]) -> str | None:
        """The one with the best mean; None where none was trained."""
        means = {
            setting: self.shown.sign * fmean(sample)
            for setting in settings
            if (sample := self.sample(setting, "validation"))
        }
        return max(means, key=means.__getitem__, default=None)


def finalists(results: Results) -> list[str]:
    """What is trained on other splits too: this search's better way, and the rescaled setting."""
    best = results.best((SHIPPED, CHOSEN))
    return [RESCALED] if best is None else [RESCALED, best]


def configurations_of(space: Space, store: Store) -> dict[str, list[Values]]:
    """What each setting is: the last start point is the rescaled one, the others are by hand."""
    *hand, rescaled = space.start
    rows = [row for row in store.found().values() if row.space == space.name]
    searched: dict[str, list[Values]] = {
        way: [row.values for row in rows if row.way == way] for way in WAYS
    }
    return {HAND: [*hand], RESCALED: [rescaled], **searched}


def results_of(space: Space, objective: Objective, store: Store) -> Results:
    """What the store has of a space."""
    configurations = {
        setting: [configuration_of(space, each) for each in values]
        for setting, values in configurations_of(space, store).items()
    }
    references = REFERENCES if space.task == "low_rank" else ()
    found = [row for row in store.found().values() if row.space == space.name]
    results = Results(
        space=space.name,
        shown=SHOWN.get(space.task, objective),
        found={(row.way, row.seed): row for row in found},
        configurations={**configurations, **{name: [name] for name in references}},
        trained={key: row for key, row in store.trained().items() if key.space == space.name},
    )
    return replace(results, configurations={**results.configurations, HAND: best_hand(results)})


def best_hand(results: Results) -> list[str]:
    """Of the settings by hand the one with the best mean on fresh seeds."""
    by_hand = {each: [each] for each in results.configurations[HAND]}
    best = replace(results, configurations=by_hand).best(list(by_hand))
    return [best] if best else []
