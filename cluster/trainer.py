"""Training one job after another in a process that stays warm."""

import contextlib
import errno
import gc
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import torch

from trainables.job import Job, run
from trainables.mirror import mirror_at
from trainables.task import Report
from trainables.team import ALONE, Team
from trainables.trial_folder import TrialFolder
from trainables.user_code.importing import describe
from trainables.user_code.surroundings import Surroundings

NO_MEMORY_TEXTS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a step of a training gave: one of these; none when there is nothing more to report.

    Attributes:
        report: Of an epoch, without its state.
        failed: Why the training raised.
        out_of_memory: Whether that was because the GPU's memory ran out.
        halt: Why no training could go on.
    """

    report: Report | None = None
    failed: str | None = None
    out_of_memory: bool = False
    halt: str | None = None


class Trainer(Protocol):
    """Whatever trains jobs, an epoch a step: this process, or a group of others."""

    def take(self, job: Job) -> None:
        """Begin with another job."""

    def step(self) -> Outcome:
        """Train an epoch of it."""

    def drop(self) -> None:
        """End the job at hand and free its memory; another one may follow."""

    def end(self) -> None:
        """End for good."""


class LocalTrainer:
    """Trains in this process.

    An exception of the user's code costs its job, not the imported libraries and data.
    """

    def __init__(self, team: Team = ALONE):
        self._team = team
        self._surroundings = Surroundings()
        self._reports: Iterator[Report] = iter(())
        # The imported libraries are very many objects, which stay for good. Frozen, they are left
        # out of the collection at each trial's end, which would look at all of them.
        gc.freeze()

    def take(self, job: Job) -> None:
        """Begin with another job."""
        self.drop()
        self._job = job
        self._surroundings.enter(job)
        self._reports = run(job, self._team)

    def step(self) -> Outcome:
        """Train one epoch.

        Raises:
            torch.AcceleratorError: when the device's context is broken, and this process with it.
        """
        try:
            report = next(self._reports, None)
        except BaseException as error:  # The user's code may also exit, or raise an interrupt.
            outcome = self._failure(error)
        else:
            return Outcome(report=report and without_state(report))
        self.drop()  # Not sooner: by its traceback the error held on to all that was trained.
        return outcome

    def _failure(self, error: BaseException) -> Outcome:
        """What to tell of an error; one that leaves this process useless is raised again."""
        out_of_memory = is_out_of_memory(error)
        if isinstance(error, torch.AcceleratorError) and not out_of_memory:
            raise error  # The process ends, and Tune starts another: no later trial could use it.
        if is_disk_full(error):  # So it would be for every trial: nothing is to be failed.
            return Outcome(halt=f"{error.strerror}: {self._job.folder}")
        self._keep_traceback(error)
        return Outcome(failed=describe(error), out_of_memory=out_of_memory)

    def drop(self) -> None:
        """End the training at hand and free its memory, the GPU's too."""
        self._reports = iter(())  # The generator is closed, and what it held can be freed.
        gc.collect()  # Now, as models are full of cycles and the next one needs the room.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def end(self) -> None:
        """End the training at hand."""
        self.drop()

    def _keep_traceback(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        with contextlib.suppress(OSError):  # The reason is told in any case.
            self._job.folder.mkdir(parents=True, exist_ok=True)
            TrialFolder(self._job.folder).error.write_text(
                text, encoding="utf-8", errors="backslashreplace"
            )
            mirror_at(self._job.mirror).push(self._job.folder)


def without_state(report: Report) -> Report:
    """What the launcher needs of a report."""
    return Report(epoch=report.epoch, metrics=report.metrics, warning=report.warning)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the GPU has no memory left; what runs beside PyTorch's allocator says so in words."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_MEMORY_TEXTS)


def is_disk_full(error: BaseException) -> TypeGuard[OSError]:
    """Whether the trial is not to blame: there is no room to write."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
