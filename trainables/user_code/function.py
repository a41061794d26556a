"""Anyone's training function: how it is run, and what its reports may say.

```python
def train(config, seed, folder):
    for epoch in range(10):
        yield {"loss": 0.5}
```
"""

import copy
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search_spaces.problems import MAX_WHOLE
from search_spaces.space import Objective
from trainables.config import TaskError
from trainables.seeding import seed_everything
from trainables.task import Report, TrainFunction
from trainables.user_code.signature import accepted

MAX_LEFT_OUT = 1000
FROM_ZERO = {"epochs_counted_from": 0}


def function_reports(
    function: TrainFunction,
    values: Mapping[str, Any],
    *,
    task: str,
    objective: Objective,
    context: Mapping[str, Any],
    past: Sequence[Report] = (),
) -> Iterator[Report]:
    """What a function yields, as reports.

    It is seeded as a `Task` is, so its seed gives its values again.

    Epochs are counted from 1 unless it says its own `epoch`; one that counts from 0 is understood.
    An epoch that is reported twice or after a later one is left out, with a warning; that a
    function which goes on from its own checkpoint reports `past` epochs again goes without saying.

    Args:
        function: The user's.
        values: The configuration, by flat dotted names; the function may change its copy.
        task: Its name, for messages.
        objective: What it must report.
        context: What it may take by keyword, `seed` among it.
        past: What it reported before it was interrupted.

    Raises:
        TaskError: when it doesn't yield, or yields no dict of numbers with the objective.
    """
    seed_everything(context["seed"])
    lines = function(copy.deepcopy(dict(values)), **accepted(function, context))
    if not isinstance(lines, Iterator):
        raise TaskError(
            f"{task} must be a generator: yield a dict after each epoch, got {shown(lines)}"
        )
    order = _EpochOrder(task, past)
    for line in lines:
        metrics = _metrics(line, task, objective)
        epoch = order.next(line.get("epoch"))
        if epoch is not None:
            report = Report(
                epoch=epoch, metrics=metrics, details=order.details, warning=order.take_warning()
            )
            yield report
            past = [report]
    if past and (warning := order.take_warning()):
        yield Report(epoch=past[-1].epoch, metrics=past[-1].metrics, warning=warning)


class _EpochOrder:
    """Turns a function's own count of epochs into 1, 2, 3, ..., each once."""

    def __init__(self, task: str, past: Sequence[Report]):
        self._task = task
        self._known = past[-1].epoch if past else 0
        self._from_zero = bool(past) and past[-1].details == FROM_ZERO
        self._all_known = bool(past) and self._known == len(past)
        self._last: int | None = None
        self._warning: str | None = None
        self._left_out = 0

    @property
    def details(self) -> dict[str, Any]:
        """What must be remembered of the count."""
        return dict(FROM_ZERO) if self._from_zero else {}

    def next(self, told: Any) -> int | None:
        """The epoch of a report that says `told`; None when it is to be left out."""
        own = (self._last or 0) + 1 if told is None else self._whole(told) + self._from_zero
        if own == 0 and self._last is None:
            self._from_zero, own = True, 1
        if own <= (self._last or 0):
            self._warn(own)
            return None
        self._last = own
        if own <= self._known:
            return None
        if self._all_known and own > self._known + 1:
            self._warning = self._warning or _lost_text(self._known + 1, own - 1)
        self._all_known = False  # Only the first report after an interruption tells of a loss.
        self._known, self._left_out = own, 0
        return own

    def take_warning(self) -> str | None:
        """What the user should know, once."""
        warning, self._warning = self._warning, None
        return warning

    def _whole(self, told: Any) -> int:
        epoch = number("epoch", told)
        if not (epoch.is_integer() and 0 <= epoch <= MAX_WHOLE):
            raise TaskError(
                f"{self._task}: epoch must be a whole number from 1 (or counted from 0), got "
                f"{shown(told)}"
            )
        return int(epoch)

    def _warn(self, epoch: int) -> None:
        self._left_out += 1
        again = "again" if epoch == self._last else f"after epoch {self._last}"
        text = (
            f"epoch {epoch} was reported {again} and is left out; each epoch is reported once, "
            "in order"
        )
        self._warning = self._warning or text
        if self._left_out >= MAX_LEFT_OUT:
            raise TaskError(
                f"{self._task}: {self._left_out} reports in a row were of past epochs: {text}"
            )


def _lost_text(first: int, last: int) -> str:
    epochs = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    return (
        f"{epochs} went unreported when the trial was interrupted: save a checkpoint after the "
        "`yield`, not before it"
    )


def number(name: str, value: Any) -> float:
    """A metric's value as a float: a number, or an array or tensor that holds one.

    Raises:
        TaskError: names the metric and what it was.
    """
    try:
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, str | bytes | bytearray):
            raise TypeError
        return float(plain)
    except Exception:  # The value's class is anyone's code.
        raise TaskError(f"{name} must be a number, got {shown(value)}") from None


def shown(value: Any) -> str:
    """A value of the user's as Python writes it, cut short; its class may fail at that."""
    try:
        return " ".join(reprlib.repr(value).split())
    except Exception:
        return f"a {type(value).__name__}"


def _metrics(line: Any, task: str, objective: Objective) -> dict[str, float]:
    if not isinstance(line, Mapping):
        raise TaskError(f"{task} must yield a dict of metrics for each epoch, got {shown(line)}")
    for name in line:
        if not (isinstance(name, str) and _is_text(name)):
            raise TaskError(f"{task}: a metric's name must be text, got {shown(name)}")
    for each in (objective, objective.second):
        if each and each.name not in line:
            raise TaskError(
                f"{task} must yield the objective {each.name!r}, got {', '.join(line) or 'nothing'}"
            )
    return {name: number(name, value) for name, value in line.items() if name != "epoch"}


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False
