"""What a scheduler is: it says of each report whether the trial goes on, and who is thawed."""

from collections.abc import Mapping, Set
from enum import Enum, auto
from typing import Any, ClassVar, Protocol

from optuna.trial import FrozenTrial

from results.study.notes import Expected


class Decision(Enum):
    """What becomes of a trial that has just reported."""

    GO_ON = auto()
    """It trains on."""
    FREEZE = auto()
    """It leaves its slot, with its checkpoint, and may come back."""
    STOP = auto()
    """It is over."""


class Searched(Protocol):
    """What a scheduler may see of the study, beyond the reports that it is told."""

    slots: int
    """How many trials train at once."""

    def trials(self) -> list[FrozenTrial]:
        """All trials: parameters, the value at each epoch, states."""

    def newcomers(self) -> int:
        """How many new trials may still begin, in the epochs that are left."""

    def epochs_left(self) -> float:
        """How many epochs of all trials together may still be trained; infinite without a limit."""

    def noted(self, key: str) -> Any:
        """What was noted with the study under a key; None: nothing."""

    def note(self, key: str, value: Any) -> None:
        """Note something with the study, in its journal."""


class Scheduler:
    """Stops nobody; those that do override what they need.

    A scheduler decides by what it was told alone, so that a study that is read back from its
    journal goes on as if it had never been interrupted.

    Attributes:
        freezes: Whether trials may come back. If not, a search ends with its last newcomer.
    """

    freezes: ClassVar[bool] = False

    def record(
        self,
        number: int,
        epoch: int,
        value: float,
        second: float | None = None,
        *,
        after: int | None = None,
    ) -> None:
        """Take a report, also one that is read back from a journal.

        The trial's report before was at epoch `after` (default: the one before): whoever reports
        now and then is judged at the first report beyond a rung.
        """

    def decide(self, number: int, epoch: int, *, after: int | None = None) -> Decision:
        """What becomes of a trial right after its report was recorded.

        One that is to be frozen goes on in its slot if it would be the next to be thawed.
        """
        return Decision.GO_ON

    def passed(self, number: int, epoch: int) -> None:
        """Be told that a trial goes on from a rung, or was thawed; also when read back."""

    def thaw(self, frozen: Mapping[int, int], *, closing: bool = False) -> int | None:
        """Whom a free slot goes on with; None: rather a new trial, or nobody now.

        Args:
            frozen: The last epoch of each frozen trial.
            closing: Nothing trains and nothing new will: who isn't thawed now never will be.
        """
        return None

    def expected(self, number: int, epoch: int) -> Expected | None:
        """What it expects of a trial that it has just had begin or go on after an epoch."""
        return None

    def out_of_reach(
        self, frozen: Mapping[int, int], under_way: Set[int], newcomers: int
    ) -> list[int]:
        """The frozen trials that can never be thawed, however the others fare.

        Args:
            frozen: The last epoch of each frozen trial.
            under_way: Those that train, or that an interruption left.
            newcomers: How many new ones may still begin.
        """
        return []
