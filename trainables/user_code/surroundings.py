"""What training code finds around it, and may change, in a process that trains job after job."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.job import Job
from trainables.task import load_task
from trainables.user_code.importing import import_from, task_folder

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


class Surroundings:
    """A worker process as the launcher's user would have it: their folder, their modules.

    What one job changed (the current folder, the start method of processes, signal handlers, how
    tensors are made, how a GPU computes, what is printed to, which warnings raise) is put back for
    the next as it was when the task had just been imported: what its modules set up there stays.
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
        with contextlib.suppress(
            BaseException
        ):  # Why it can't be imported is told by its training.
            load_task(job.task)
        os.chdir(task_folder())
        self._put_back = _as_they_are()


def _as_they_are() -> list[Callable[[], object]]:
    """What brings the things that user code may change back to how they are now."""
    umask = os.umask(0)
    os.umask(umask)
    put_back: list[Callable[[], object]] = [
        partial(os.chdir, Path.cwd()),
        partial(os.umask, umask),
        partial(setattr, sys, "stdout", sys.stdout),
        partial(setattr, sys, "stderr", sys.stderr),
        partial(_set_filters, list(warnings.filters)),
        partial(
            multiprocessing.set_start_method,
            multiprocessing.get_start_method(allow_none=True),
            force=True,
        ),
        partial(np.seterr, **np.geterr()),
        partial(torch.set_default_dtype, torch.get_default_dtype()),
        partial(torch.set_grad_enabled, torch.is_grad_enabled()),
        partial(torch.autograd.set_detect_anomaly, torch.is_anomaly_enabled()),
        partial(_set_default_device, torch.get_default_device()),
        partial(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()),
        partial(torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled()),
        *(
            partial(setattr, torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))
            for name in ("allow_tf32", "benchmark")
        ),
    ]
    if threading.current_thread() is threading.main_thread():  # Others may not set handlers.
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        put_back += [
            partial(signal.signal, *pair) for pair in handlers.items() if pair[1] is not None
        ]
        put_back.append(partial(signal.alarm, 0))
    return put_back


def _set_default_device(device: torch.device) -> None:
    if torch.get_default_device() != device:  # Setting one slows down the making of all tensors.
        torch.set_default_device(None if device.type == "cpu" else device)


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    with warnings.catch_warnings():
        pass  # On leaving it has Python look at the filters anew.
