"""A search on a virtual clock: the real decisions, on curves that are known already.

Nothing trains and nothing waits: a heap of slots says who reports next.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from time import process_time
from typing import Any, Protocol, TypeVar

Curve = Sequence[tuple[float, float]]
_Decided = TypeVar("_Decided")
CurveOf = Callable[[Mapping[str, Any]], Curve]


class Handed(Protocol):
    """A trial that is to be trained, from the epoch after the last one that it reported."""

    @property
    def number(self) -> int:
        """Which one; a thawed trial comes again under its number."""

    @property
    def params(self) -> Mapping[str, Any]:
        """Its configuration."""


class Search(Protocol):
    """Whatever hands out trials and decides on their reports: a `Study`, or a peer."""

    def next_trial(self) -> Handed | None:
        """A trial to train; None when there is none now."""

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Take a value, and say whether the slot goes on with this trial."""

    def end(self, number: int) -> None:
        """A trial's curve ended by itself."""

    def fail(self, number: int, reason: str) -> None:
        """A trial crashed for good."""


@dataclass(frozen=True)
class Machine:
    """A cluster that is imagined.

    Attributes:
        slots: How many trials train at once.
        start_s: Until a slot's process is warm.
        switch_s: Between two trials in a slot.
        waits_for_decisions: Whether the processor time that the search takes here for each decision
            counts: there is one driver, which takes them one after the other.
        failure_rate: The chance that an epoch crashes its trial for good.
        time_s: When it ends; None: when the search has no more trials.
        max_epochs: The same, in epochs of all trials together.
        seed: Of the failures.
    """

    slots: int
    start_s: float = 0.0
    switch_s: float = 0.0
    waits_for_decisions: bool = False
    failure_rate: float = 0.0
    time_s: float | None = None
    max_epochs: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """An epoch that a trial reported, when, and how long it took."""

    time_s: float
    seconds: float
    slot: int
    number: int
    epoch: int
    value: float


@dataclass
class Simulation:
    """What a simulated search did.

    Attributes:
        steps: Every report, in the order of the clock.
        end_s: When the last slot came to rest.
        busy_s: Of all slots together, in training.
        starts: How often a trial began or was thawed in a slot.
    """

    steps: list[Step] = field(default_factory=list)
    end_s: float = 0.0
    busy_s: float = 0.0
    starts: int = 0


@dataclass(frozen=True, order=True)
class _Ready:
    """A slot whose trial reports `epoch` at a time; without a trial, one that is to get one."""

    time_s: float
    order: int
    slot: int = field(compare=False)
    number: int | None = field(compare=False, default=None)
    epoch: int = field(compare=False, default=0)


def simulate(search: Search, curve_of: CurveOf, machine: Machine) -> Simulation:
    """Run a search to its end, or to the machine's.

    A curve is the value and the seconds of each epoch; one that is shorter than the search wants
    ends its trial.
    """
    return _Clock(search, curve_of, machine).run()


class _Clock:
    def __init__(self, search: Search, curve_of: CurveOf, machine: Machine):
        self._search, self._curve_of, self._machine = search, curve_of, machine
        self._curves: dict[int, Curve] = {}
        self._trained: dict[int, int] = {}
        self._queue: list[_Ready] = []
        self._order = 0
        self._driver_free_s = 0.0
        self._idle: list[int] = []
        self._random = Random(machine.seed)
        self._result = Simulation()

    def run(self) -> Simulation:
        for slot in range(self._machine.slots):
            self._push(self._machine.start_s, slot)
        while self._queue and not self._over(self._queue[0].time_s):
            ready = heappop(self._queue)
            self._result.end_s = ready.time_s
            if ready.number is None:
                self._hand_out(ready.time_s, ready.slot)
            else:
                self._report(ready, ready.number)
        return self._result

    def _over(self, time_s: float) -> bool:
        machine = self._machine
        if machine.max_epochs is not None and len(self._result.steps) >= machine.max_epochs:
            return True
        return machine.time_s is not None and time_s > machine.time_s

    def _push(self, time_s: float, slot: int, number: int | None = None, epoch: int = 0) -> None:
        self._order += 1
        heappush(self._queue, _Ready(time_s, self._order, slot, number, epoch))

    def _hand_out(self, time_s: float, slot: int) -> None:
        handed, decided_s = self._driver(time_s, self._search.next_trial)
        if handed is None:
            self._idle.append(slot)
            return
        self._result.starts += 1
        if handed.number not in self._curves:
            self._curves[handed.number] = self._curve_of(handed.params)
        self._train(decided_s + self._machine.switch_s, slot, handed.number)

    def _driver(self, time_s: float, decide: Callable[[], _Decided]) -> tuple[_Decided, float]:
        """What the search decides, and when it has."""
        begun = process_time()
        decided = decide()
        took_s = process_time() - begun if self._machine.waits_for_decisions else 0.0
        self._driver_free_s = max(time_s, self._driver_free_s) + took_s
        return decided, self._driver_free_s

    def _train(self, time_s: float, slot: int, number: int) -> None:
        epoch = self._trained.get(number, 0) + 1
        curve = self._curves[number]
        if epoch > len(curve):
            self._search.end(number)
            self._push(time_s, slot)
            return
        self._result.busy_s += curve[epoch - 1][1]
        self._push(time_s + curve[epoch - 1][1], slot, number, epoch)

    def _report(self, ready: _Ready, number: int) -> None:
        if self._random.random() < self._machine.failure_rate:
            self._search.fail(number, "the process died")
            self._leave(ready.slot, ready.time_s)
            return
        value, seconds = self._curves[number][ready.epoch - 1]
        self._trained[number] = ready.epoch
        step = Step(ready.time_s, seconds, ready.slot, number, ready.epoch, value)
        self._result.steps.append(step)
        goes_on, decided_s = self._driver(
            ready.time_s, lambda: self._search.report(number, ready.epoch, value)
        )
        if goes_on:
            self._train(decided_s, ready.slot, number)
        else:
            self._leave(ready.slot, decided_s)

    def _leave(self, slot: int, time_s: float) -> None:
        """The slot is free; those that found nothing to do before look again."""
        for each in [slot, *self._idle]:
            self._push(time_s, each)
        self._idle = []
