"""A group of workers that stays warm: one Ray Train run, whose workers train one job after another.

Starting a `TorchTrainer` takes many seconds, so it is started once, with a training function that
loops: it asks a mailbox for an order, carries it out, and answers. An order is a job to take or the
wish for its next epoch; all workers carry out the same orders in the same sequence, which keeps
their collective operations in step.
"""

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from cluster.trainer import LocalTrainer, Outcome
from trainables.job import Job
from trainables.team import ProcessTeam

POLL_S = 1.0
STRAGGLERS_S = 15.0
END_S = 15.0

Order = Job | Literal["step", "drop", "end"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupSpec:
    """What a group is made of.

    Attributes:
        workers: How many processes.
        needs: Of each, by Ray's names.
        scratch: A folder that all nodes reach, for what Ray Train notes of itself.
    """

    workers: int
    needs: dict[str, float]
    scratch: Path


class Group:
    """Workers that train together; started when the first job comes, and anew after a loss.

    It drives them from the actor of a slot, and looks from there like a `LocalTrainer`.
    """

    def __init__(self, spec: GroupSpec):
        self._spec = spec
        self._mailbox: Any = None
        self._run: _TrainRun | None = None

    def take(self, job: Job) -> None:
        """Begin with another job.

        Raises:
            GroupLostError: when a worker died.
        """
        if self._run is None:
            self._mailbox = ray.remote(num_cpus=0)(_Mailbox).remote(self._spec.workers)
            self._run = _TrainRun(self._spec, self._mailbox)
        self._ask(job)

    def step(self) -> Outcome:
        """Train an epoch: what the leader has to tell, or why one of the workers failed.

        Raises:
            GroupLostError: when a worker died.
        """
        outcomes = self._ask("step")
        troubles = [outcome for outcome in outcomes.values() if outcome.failed or outcome.halt]
        return troubles[0] if troubles else outcomes[0]

    def drop(self) -> None:
        """End the job at hand."""
        self._ask("drop")

    def end(self) -> None:
        """End the workers and give their resources back."""
        run, mailbox, self._run = self._run, self._mailbox, None
        if run is not None:
            ray.get(mailbox.post.remote("end"))
            run.join(END_S)
            ray.kill(mailbox)

    def _ask(self, order: Order) -> dict[int, Outcome]:
        """Have all workers carry out an order; gives what each answers.

        When one fails while the others wait for it in a collective operation, they never answer:
        the group is ended.
        """
        assert self._run is not None
        number, troubled_since = ray.get(self._mailbox.post.remote(order)), None
        while True:
            outcomes = ray.get(self._mailbox.answers.remote(number, POLL_S))
            if len(outcomes) == self._spec.workers:
                return outcomes
            self._run.check()
            if any(outcome.failed or outcome.halt for outcome in outcomes.values()):
                troubled_since = troubled_since or time.monotonic()
                if time.monotonic() - troubled_since > STRAGGLERS_S:
                    self._kill()
                    return outcomes

    def _kill(self) -> None:
        # A worker that asks it for an order fails, and then Ray Train ends those that hang.
        ray.kill(self._mailbox)
        self._run = None


class GroupLostError(RuntimeError):
    """A group whose Ray Train run has ended though nobody asked it to."""


class _TrainRun:
    """A `TorchTrainer.fit()` in a thread of its own, as it returns only when the workers end."""

    def __init__(self, spec: GroupSpec, mailbox: Any):
        self._error: BaseException | None = None
        self._trainer = TorchTrainer(
            work,
            train_loop_config={"mailbox": mailbox},
            torch_config=TorchConfig(backend="gloo"),  # `ProcessTeam` adds NCCL on GPUs.
            scaling_config=ScalingConfig(
                num_workers=spec.workers,
                use_gpu=spec.needs["GPU"] > 0,
                resources_per_worker={
                    name: amount for name, amount in spec.needs.items() if amount
                },
            ),
            run_config=RunConfig(
                storage_path=str(spec.scratch),
                name=f"group-{ray.get_runtime_context().get_actor_id() or 'of-the-driver'}",
                failure_config=FailureConfig(max_failures=0),
            ),
        )
        self._thread = threading.Thread(target=self._fit, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise `GroupLostError` if the run has ended."""
        if not self._thread.is_alive():
            raise GroupLostError(
                f"the group of workers ended: {self._error or 'no reason is known'}"
            )

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def _fit(self) -> None:
        try:
            self._trainer.fit()
        except BaseException as error:
            self._error = error


def work(settings: dict[str, Any]) -> None:
    """What each worker does, until it is told to end."""
    mailbox, rank = settings["mailbox"], ray.train.get_context().get_world_rank()
    if torch.cuda.is_available():
        torch.cuda.set_device(get_device())
    trainer = LocalTrainer(ProcessTeam())
    number, order = ray.get(mailbox.order_after.remote(-1))
    while order != "end":
        outcome = Outcome()
        if isinstance(order, Job):
            trainer.take(order)
        elif order == "step":
            outcome = trainer.step()
        else:
            trainer.drop()
        ray.get(mailbox.answer.remote(number, rank, outcome))
        number, order = ray.get(mailbox.order_after.remote(number))


class _Mailbox:
    """The latest order, and what each worker answered to it; an actor of its own.

    The workers run inside Ray Train, where nobody can call them: they have no handle, and stay in
    one call of `work` for good. So they and the group meet at an actor that both can call. Waiting
    is on a condition, not by polling: an order is there within milliseconds.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._number = -1
        self._order: Order | None = None
        self._answers: dict[int, Outcome] = {}
        self._changed = asyncio.Condition()

    async def post(self, order: Order) -> int:
        """Give the next order, once all have answered the one before; gives its number."""
        async with self._changed:
            self._number, self._order, self._answers = self._number + 1, order, {}
            self._changed.notify_all()
            return self._number

    async def order_after(self, number: int) -> tuple[int, Any]:
        """The order that follows one, as soon as it is there, and its number."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._number > number)
            return self._number, self._order

    async def answer(self, number: int, rank: int, outcome: Outcome) -> None:
        """What a worker has to say to an order."""
        async with self._changed:
            if number == self._number:
                self._answers[rank] = outcome
                self._changed.notify_all()

    async def answers(self, number: int, timeout_s: float) -> dict[int, Outcome]:
        """The answers by rank: everybody's, or those that are there when the time is over."""

        async def everybody() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: len(self._answers) == self._workers)

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(everybody(), timeout_s)
        return dict(self._answers)
