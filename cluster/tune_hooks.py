"""What Ray Tune asks while it runs a search: a searcher, a scheduler, a stopper and a callback.

Each only hands the question to the study and the answer back, because Tune's own ways would not do:
its Optuna searcher tells Optuna that a stopped trial is complete, its ASHA forgets all rungs when a
search is resumed and never stops a trial at NaN, and its saved state lags behind the journal.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ray.tune import PlacementGroupFactory, Stopper
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from cluster.metrics import Metrics
from cluster.ray_private import forget_finished_trials, keep_actor, let_actor_go
from cluster.search.study import Study
from cluster.slots import Slots
from results.study.database import database_errors
from results.text import short_names, values_text


class View(Protocol):
    """Whoever wants to show how the search goes."""

    def refresh(self) -> None:
        """Called many times a second."""


class Unpickled:
    """Is pickled as nothing.

    Tune pickles its searcher, scheduler and callbacks now and then, to restore an experiment by. A
    study is resumed from its journal, and what holds a storage or a live view can't be pickled.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Nothing."""
        return {}


class Halt(Unpickled, Stopper):
    """Ends the search before its budget is used up: when asked to, or when the time is over.

    Attributes:
        reason: Why; None while the search goes on.
    """

    def __init__(self, time_s: float | None):
        self._deadline = None if time_s is None else time.monotonic() + time_s
        self.reason: str | None = None

    def request(self, reason: str) -> None:
        """End the search; the first reason stays."""
        self.reason = self.reason or reason

    def seconds_left(self) -> float | None:
        """Until the time is over; None without a limit."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @contextmanager
    def on_write_error(self) -> Iterator[None]:
        """End the search if the study can't be written.

        What is in the journal then is whole, and can be resumed.
        """
        try:
            yield
        except Exception as error:
            if not isinstance(error, (OSError, *database_errors())):
                raise
            self.request(f"the study can't be written: {error}")

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never: single trials are the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Asked by Tune at every turn of its loop."""
        if self.seconds_left() == 0:
            self.request("time")
        return self.reason is not None


class StudySearcher(Unpickled, Searcher):
    """Hands the study's trials to Tune, each with the slot that it is to train in.

    What Tune calls a trial is one sitting in a slot; the study's numbers are in its `config`.

    Args:
        study: Gives the trials.
        slots: Where they train.
        metrics: Times the suggestions.
        halt: Once it is requested, no more trials are handed out.
        after_last: Called when the last trial has been handed out.
    """

    def __init__(
        self,
        study: Study,
        slots: Slots,
        metrics: Metrics,
        halt: Halt,
        after_last: Callable[[], None],
    ):
        super().__init__(metric="value", mode="max")
        self._study, self._slots, self._metrics, self._halt = study, slots, metrics, halt
        self._after_last = after_last
        self._names = short_names(parameter.name for parameter in study.space.parameters)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's job; None while all slots are taken, or no trial is to begin yet."""
        self._study.slots = self._slots.room
        bundle = None if self._halt.reason else self._slots.take(trial_id)
        if bundle is None:
            return None
        trial = None
        with self._halt.on_write_error(), self._metrics.suggesting():
            trial = self._study.next_trial()
        if trial is None:
            self._slots.leave(trial_id)
            if self._halt.reason or not self._is_over():
                return None
            self._after_last()
            return Searcher.FINISHED
        alone = self._slots.share_gpus and self._study.is_alone(trial.number)
        if alone:
            bundle = self._slots.with_whole_gpu(trial_id)
        job, values = self._study.job(trial), values_text(trial.params, self._names)
        return {
            "number": trial.number,
            "title": f"trial {trial.number} {values}",
            "slot": f"{self._study.space.name}, slot {self._slots.place_of(trial_id)}",
            "job": job,
            "bundle": bundle,
            "alone": alone,
            "group": self._slots.group,
        }

    def _is_over(self) -> bool:
        """Whether there is no more to hand out; who shares a GPU may yet have to train again."""
        may_come_back = self._slots.share_gpus and self._slots.taken > 0
        return not may_come_back and self._study.is_over()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A slot is free again."""
        self._slots.leave(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal has everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal has everything."""


class StudyScheduler(Unpickled, FIFOScheduler):
    """Passes every result to the study, and its decision to Tune."""

    def __init__(self, study: Study, slots: Slots, metrics: Metrics, halt: Halt):
        super().__init__()
        self._study, self._slots, self._metrics, self._halt = study, slots, metrics, halt
        self._warm_slots: set[PlacementGroupFactory] = set()

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Have Tune keep the actor of the trial's slot when the trial is over.

        Not that of a trial which has a whole GPU: those that share it come next.
        """
        forget_finished_trials(tune_controller)  # Here, as it is called once for each new trial.
        slot, finished = trial.placement_group_factory, tune_controller.search_alg.is_finished()
        if slot not in self._warm_slots and not trial.config["alone"] and not finished:
            self._warm_slots.add(slot)
            keep_actor(tune_controller, slot)
        super().on_trial_add(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """The pending trial with the smallest number; idle actors that get no more are let go.

        A trial that lost its machine may be waiting for the room of such an actor. Only trials that
        are alive are looked at: `FIFOScheduler` goes through all that ever ran, at each turn of
        Tune's loop.
        """
        finished = tune_controller.search_alg.is_finished()
        leaving = (
            self._warm_slots
            if finished
            else self._warm_slots.intersection(self._slots.without_room())
        )
        for slot in list(leaving):
            let_actor_go(tune_controller, slot)
            self._warm_slots.discard(slot)
        pending = [
            trial
            for trial in tune_controller.get_live_trials()
            if trial.status == TuneTrial.PENDING
        ]
        return min(pending, key=lambda trial: trial.config["number"], default=None)

    def on_trial_result(
        self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]
    ) -> str:
        """Write the result to the journal, and go on or stop."""
        # If the study can't be written, the search ends with this trial unfinished.
        with self._halt.on_write_error():
            if self._goes_on(trial.config["number"], result):
                return self.CONTINUE
        return self.STOP

    def _goes_on(self, number: int, result: dict[str, Any]) -> bool:
        if "warning" in result:
            self._study.warn(number, result["warning"])
        if "failed" in result:
            self._fail(number, result["failed"], out_of_memory=result["out_of_memory"])
        elif "halt" in result:
            self._halt.request(result["halt"])  # The trial goes on when there is room again.
        elif "ended" in result:
            self._study.end(number)
        else:
            with self._metrics.reporting():
                return self._study.report(
                    number, result["epoch"], result["value"], result.get("second")
                )
        return False

    def _fail(self, number: int, reason: str, *, out_of_memory: bool) -> None:
        """Fail a trial; one that others may have left too little memory is tried alone first."""
        if out_of_memory and self._slots.share_gpus and not self._study.is_alone(number):
            self._study.set_apart(number, reason)
        else:
            self._study.fail(number, reason)
            stop_if_hopeless(self._study, self._halt)


class StudyCallback(Unpickled, TrialProgressCallback):
    """Shows the progress, and fails the trials whose process died more often than it may.

    It takes the place of Tune's own progress callback, which keeps every trial for ever.
    """

    def __init__(self, study: Study, view: View, metrics: Metrics, halt: Halt):
        super().__init__()
        self._study, self._view, self._metrics, self._halt = study, view, metrics, halt

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """Refresh what is seen of the search."""
        self._view.refresh()
        self._metrics.refresh()

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Nothing: the view has it from the study."""

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Nothing: the view has it from the study."""

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """The process died, and its retries are used up."""
        with self._halt.on_write_error():
            self._study.fail(trial.config["number"], death_reason(trial))
            stop_if_hopeless(self._study, self._halt)


def stop_if_hopeless(study: Study, halt: Halt) -> None:
    """End the search when every trial so far failed for the same reason."""
    reason = study.hopeless()
    if reason is not None:
        halt.request(f"every trial so far failed in the same way: {reason}")


def death_reason(trial: TuneTrial) -> str:
    """Why a trial's process died for the last time, in one line."""
    failures = Path(trial.error_file).read_text(encoding="utf-8").split("Failure # ")
    lines = failures[-1].splitlines()[1:]
    return (
        f"its process died {len(failures) - 1} times: "
        f"{lines[0] if lines else 'Ray does not say why'}"
    )
