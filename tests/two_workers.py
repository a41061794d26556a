"""Two processes that train together, for the tests."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist

from trainables.team import ProcessTeam

T = TypeVar("T")
WORKERS = 2
LIMIT_S = 120


def by_two_workers(work: Callable[[ProcessTeam], T], folder: Path) -> list[T]:
    """What `work` gives in each of two processes, by rank.

    They are forks, so it may be any function, and what a test has patched stays patched.
    """
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_work, args=(rank, work, folder), daemon=True)
        for rank in range(WORKERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT_S)
    assert [process.exitcode for process in processes] == [0] * WORKERS
    files = [folder / f"given-{rank}.pt" for rank in range(WORKERS)]
    return [torch.load(file, weights_only=False) for file in files]


def _work(rank: int, work: Callable[[ProcessTeam], T], folder: Path) -> None:
    torch.set_num_threads(1)  # A fork must not wait for the threads that its parent had.
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=WORKERS
    )
    torch.save(work(ProcessTeam()), folder / f"given-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
