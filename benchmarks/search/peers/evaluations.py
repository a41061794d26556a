"""For libraries that ask for a configuration's value at a fidelity, and wait for it.

An evaluation is a training up to an epoch. One of a configuration that was trained before goes on
from where it was, and one of a configuration that is being trained prolongs it: more than some of
the libraries ask for.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.search.setting import Trial


@dataclass(frozen=True)
class Evaluation:
    """What a library asks for.

    Attributes:
        configuration: Equal for evaluations of the same configuration.
        token: What the library wants to have back with the value.
    """

    configuration: Hashable
    params: Mapping[str, float]
    epoch: int
    token: Any


class Evaluations(ABC):
    """A library's optimizer as a search."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._losses: dict[int, dict[int, float]] = {}
        self._running: dict[int, list[Evaluation]] = {}
        self._failed: set[int] = set()

    @abstractmethod
    def ask(self) -> Evaluation:
        """The next evaluation that the library wants."""

    @abstractmethod
    def tell(self, evaluation: Evaluation, loss: float | None) -> None:
        """Its loss; None: it failed."""

    def next_trial(self) -> Trial:
        """Ask until a training is to begin or to go on."""
        while True:
            asked = self.ask()
            number = self._numbers.setdefault(asked.configuration, len(self._numbers))
            losses = self._losses.setdefault(number, {})
            if asked.epoch in losses or number in self._failed:
                self.tell(asked, losses.get(asked.epoch))
            elif number in self._running:
                self._running[number].append(asked)
            else:
                self._running[number] = [asked]
                return Trial(number, asked.params)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """On, until the last epoch that was asked for."""
        self._losses[number][epoch] = value
        running = self._running[number]
        for evaluation in [e for e in running if e.epoch == epoch]:
            running.remove(evaluation)
            self.tell(evaluation, value)
        if not running:
            del self._running[number]
        return bool(running)

    def end(self, number: int) -> None:  # noqa: B027
        """Never: no evaluation is longer than a curve."""

    def fail(self, number: int, reason: str) -> None:
        """It fails at all later epochs too."""
        self._failed.add(number)
        for evaluation in self._running.pop(number):
            self.tell(evaluation, None)
