"""What training code finds around it in a process that trains one job after another, and may have changed."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from trainables.importing import import_from, task_folder
from trainables.job import Job
from trainables.task import load_task

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


class Surroundings:
    """A worker process as the launcher's user would have it: their folder, their modules.

    What one job changed (the current folder, the start method of processes, signal handlers, the type of new tensors)
    is put back for the next as it was when the task had just been imported: what its modules set up there stays.
    """

    def __init__(self) -> None:
        self._put_back: list[Callable[[], object]] = []

    def enter(self, job: Job) -> None:
        """Make the process ready for a job."""
        if self._put_back:
            for put_back in self._put_back:
                with contextlib.suppress(OSError):
                    put_back()
            return
        with contextlib.suppress(OSError):  # Another machine may lack the folder.
            os.chdir(job.working_folder or ".")
        import_from(job.import_paths)
        with contextlib.suppress(BaseException):  # Why it can't be imported is told by its training.
            load_task(job.task)
        os.chdir(task_folder())
        self._put_back = _as_they_are()


def _as_they_are() -> list[Callable[[], object]]:
    """What brings the things that user code may change back to how they are now."""
    folder, method = Path.cwd(), multiprocessing.get_start_method(allow_none=True)
    kind, with_gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    put_back: list[Callable[[], object]] = [
        lambda: os.chdir(folder),
        lambda: multiprocessing.set_start_method(method, force=True),
        lambda: torch.set_default_dtype(kind),
        lambda: torch.set_grad_enabled(with_gradients),
    ]
    if threading.current_thread() is threading.main_thread():  # Others may not set handlers.
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        put_back += [partial(signal.signal, *pair) for pair in handlers.items() if pair[1] is not None]
    return put_back
