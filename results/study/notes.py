"""The notes that the journal keeps with a trial; their keys are spelt here alone."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, Self

from optuna.trial import FrozenTrial

REPEATS_KEY = "repeats"
START_POINT_KEY = "start"
CODE_KEY = "code"
REASON_KEY = "reason"
WARNING_KEY = "warning"
PASSED_KEY = "passed"
FROZEN_KEY = "frozen"
ALONE_KEY = "alone"
SECOND_KEY = "second@"  # and an epoch
EXPECTED_KEY = "expected@"  # and an epoch


@dataclass(frozen=True, slots=True)
class Expected:
    """What a model expected of a trial when it chose it.

    Attributes:
        epoch: At which epoch: where the trial was to be compared with others next.
        low: The least objective there, as far as the model is sure (`results.curves.model.BAND`).
        value: The objective that is most likely.
        high: The greatest.
    """

    epoch: int
    low: float
    value: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Notes:
    """What is noted of a trial beside its parameters and the values of its epochs."""

    start_point: int | None = None
    """Which of the space's start points it is; None: it was suggested."""
    repeats: int | None = None
    """The number of the failed trial whose configuration it has; None: it is no repeat."""
    reason: str | None = None
    """Why it failed."""
    code: str | None = None
    """If it failed: a digest of the task's code that it was trained by; None: not known."""
    warning: str | None = None
    """What its training warned of."""
    passed_epoch: int | None = None
    """The last epoch at which it was compared with others and went on, or was thawed."""
    frozen_epoch: int | None = None
    """The last epoch at which it was frozen."""
    alone: bool = False
    """Whether it ran out of GPU memory beside others, and is to be trained with none beside it."""
    second_values: Mapping[int, float] = field(default_factory=dict)
    """The second objective's value from an epoch on, for each epoch at which it changed."""
    expected: Mapping[int, Expected] = field(default_factory=dict)
    """What a model expected, by the epoch after which it chose the trial to train (on)."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> Self:
        """Read a trial's notes."""
        attrs = trial.user_attrs
        return cls(
            start_point=attrs.get(START_POINT_KEY),
            repeats=attrs.get(REPEATS_KEY),
            reason=attrs.get(REASON_KEY),
            code=attrs.get(CODE_KEY),
            warning=attrs.get(WARNING_KEY),
            passed_epoch=attrs.get(PASSED_KEY),
            frozen_epoch=attrs.get(FROZEN_KEY),
            alone=attrs.get(ALONE_KEY, False),
            second_values={
                epoch: value
                for key, value in attrs.items()
                if (epoch := second_epoch(key)) is not None
            },
            expected={
                epoch: Expected(*value)
                for key, value in attrs.items()
                if (epoch := expected_epoch(key)) is not None
            },
        )

    def to_attrs(self) -> dict[str, Any]:
        """The attributes in which the journal keeps them."""
        attrs: dict[str, Any] = {
            REPEATS_KEY: self.repeats,
            START_POINT_KEY: self.start_point,
            REASON_KEY: self.reason,
            CODE_KEY: self.code,
            WARNING_KEY: self.warning,
            PASSED_KEY: self.passed_epoch,
            FROZEN_KEY: self.frozen_epoch,
            ALONE_KEY: self.alone or None,
        }
        attrs |= {f"{SECOND_KEY}{epoch}": value for epoch, value in self.second_values.items()}
        attrs |= {f"{EXPECTED_KEY}{at}": list(astuple(each)) for at, each in self.expected.items()}
        return {key: value for key, value in attrs.items() if value is not None}

    def second_at(self, epoch: int) -> float | None:
        """The second objective's value at an epoch; None if there was none yet."""
        changed = [at for at in self.second_values if at <= epoch]
        return self.second_values[max(changed)] if changed else None


def repeats_trial(trial: FrozenTrial) -> int | None:
    """`Notes.repeats` alone: a search asks thousands of trials for it at each decision."""
    number: int | None = trial.user_attrs.get(REPEATS_KEY)
    return number


def frozen_epoch(trial: FrozenTrial) -> int | None:
    """The epoch at which an unfinished trial is frozen; None: it isn't.

    One that was thawed has passed that epoch, even before it reports another one.
    """
    at = trial.user_attrs.get(FROZEN_KEY)
    if at is None or trial.state.is_finished() or at != max(trial.intermediate_values):
        return None
    return None if trial.user_attrs.get(PASSED_KEY) == at else at


def second_epoch(key: str) -> int | None:
    """From which epoch on the value of an attribute is the second objective's; None: it is none."""
    return _epoch_after(SECOND_KEY, key)


def expected_epoch(key: str) -> int | None:
    """After which epoch an attribute says what was expected; None: it doesn't."""
    return _epoch_after(EXPECTED_KEY, key)


def _epoch_after(prefix: str, key: str) -> int | None:
    epoch = key.removeprefix(prefix)
    return int(epoch) if key.startswith(prefix) and epoch.isdecimal() else None
