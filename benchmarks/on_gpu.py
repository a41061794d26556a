"""What only a GPU can show, in at most six minutes on one.

    python -m benchmarks.on_gpu [--cpu]

Prints a row for each check, and exits with 1 if one failed. With --cpu those checks are tried, in
some two minutes, that a CPU can stand in for.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from benchmarks.side_by_side import ROOT
from benchmarks.training_loop.__main__ import SYSTEMS, hardware, in_own_process
from cluster.trainer import LocalTrainer
from search_spaces import load_space
from trainables.config import build_config
from trainables.job import Job
from trainables.machine import default_device
from trainables.task import Task, load_task
from trainables.team import ALONE, ProcessTeam, Team
from trainables.training import train

DEADLINE_S = 330
"""No check begins later: the last ones take less than 30 seconds each."""
TRIALS_AT_ONCE = 4
MEASURE_S = 3.0
CLOSE = 0.05


class Failed(Exception):
    """What a check found."""


def job_of(space_name: str, folder: Path, **more: Any) -> Job:
    """Two epochs of a built-in space's first start point; `more` has `__` for the dot."""
    space = load_space(space_name)
    task = load_task(space.task)
    assert isinstance(task, Task)
    changed = {name.replace("__", "."): value for name, value in more.items()}
    return Job(
        task=space.task,
        objective=task.objective,
        values={**space.fixed, **space.start[0], **changed},
        seed=0,
        split_seed=0,
        max_epochs=2,
        folder=folder,
    )


def losses(space_name: str, team: Team = ALONE, **more: Any) -> list[float]:
    """The validation loss after each epoch of that."""
    job = job_of(space_name, Path(os.devnull), **more)
    task: Any = load_task(job.task)
    config, device = build_config(task.Config, job.values), default_device()
    reports = train(task, config, seed=0, device=device, max_epochs=job.max_epochs, team=team)
    return [report.metrics["validation_loss"] for report in reports]


def compared(found: list[float], expected: list[float], *, within: float = CLOSE) -> str:
    """How far two curves are apart.

    Raises:
        Failed: when that is more than it may be.
    """
    apart = max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))
    if not apart <= within:
        raise Failed(f"{found}, expected {expected}")
    return f"loss {found[-1]:.4f}, {apart:.2%} from {expected[-1]:.4f}"


# Checks -------------------------------------------------------------------------------------------


def shorter_type(dtype: torch.dtype) -> str:
    """Training in it ends near the training in float32."""
    with patch("trainables.training.amp_dtype", lambda device: dtype):
        short = losses("nailong", optim__lr=1e-3)
    return compared(short, losses("nailong", optim__lr=1e-3, optim__amp=False))


def tf32() -> str:
    """Training with it ends near the training without."""
    without = losses("low_rank", optim__amp=False)
    return compared(losses("low_rank", optim__amp=False, optim__tf32=True), without)


def compiled() -> str:
    """A compiled model ends near the plain one."""
    return compared(losses("v6", optim__compile=True), losses("v6"))


def deterministic() -> str:
    """The same seed gives the same value, to the last digit."""
    for space_name in SYSTEMS:
        first, second = (losses(space_name, optim__deterministic=True) for _ in range(2))
        compared(first, second, within=0)
    return f"{len(SYSTEMS)} systems, to the last digit"


def freed_memory() -> str:
    """A trial that is stopped leaves no memory behind."""
    trainer, held = LocalTrainer(), []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(3):
            trainer.take(replace(job_of("nailong", Path(folder) / str(i)), seed=i))
            outcome = trainer.step()
            if outcome.report is None:
                raise Failed(outcome.failed or "no report")
            peak = allocated()
            trainer.drop()
            held.append(allocated())
    if held[2] > held[1]:
        raise Failed(f"{held} bytes after each trial")
    return f"{peak / 2**20:.0f} MiB in a trial, {held[-1] / 2**20:.0f} after it (the data)"


def allocated() -> int:
    """The bytes of a GPU that this process's tensors fill."""
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


def four_at_once() -> str:
    """Four trials share the GPU."""
    seconds = []
    for processes in (1, TRIALS_AT_ONCE):
        begun_s = time.monotonic()
        start_processes(_one_of_many, nprocs=processes, start_method="spawn")
        seconds.append(time.monotonic() - begun_s)
    return f"{TRIALS_AT_ONCE} in {seconds[1]:.1f} s, one alone in {seconds[0]:.1f} s"


def _one_of_many(rank: int) -> None:
    torch.set_num_threads(1)
    if not torch.tensor(losses("nailong")).isfinite().all():
        raise Failed("a loss is not finite")


def group_of_one() -> str:
    """A group of one worker, by NCCL where there is a GPU, ends as a training without a group."""
    with tempfile.TemporaryDirectory() as folder:
        start_processes(_in_a_group, args=(Path(folder),), nprocs=1, start_method="spawn")
        together = torch.load(Path(folder) / "losses.pt")
    return compared(together, losses("nailong"))


def _in_a_group(rank: int, folder: Path) -> None:
    meet = f"file://{folder / 'meet'}"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=1)
    torch.save(losses("nailong", ProcessTeam()), folder / "losses.pt")
    dist.destroy_process_group()


def no_waits() -> str:
    """No step waits for the GPU; without one, no step reads a tensor's value."""
    tests = ["tests/trainables/test_on_gpu.py"]
    if not torch.cuda.is_available():
        tests = ["tests/trainables/test_conformance.py", "-k", "host_reads_nothing"]
    command = [sys.executable, "-m", "pytest", "-q", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stdout)
    return done.stdout.splitlines()[-1]


def speed(system: str, *, full: bool, seconds: float) -> str:
    """Samples a second by our loop, and by the source's."""
    ours, source = (
        in_own_process(Path(sys.executable), system, loop, full=full, seconds=seconds)
        for loop in ("ours", "source")
    )
    times = ours.samples_per_second / source.samples_per_second
    idle = f"idle {ours.idle_share:.0%} and {source.idle_share:.0%}"
    return f"{ours.samples_per_second:.1f} samples/s, {times:.2f} times the source's; {idle}"


def checks(on_gpu: bool) -> Iterator[tuple[str, Callable[[], str]]]:
    """What is checked, by its name."""
    yield "no step waits", no_waits
    yield "bfloat16", partial(shorter_type, torch.bfloat16)
    yield "float16 with a scaler", partial(shorter_type, torch.float16)
    yield "memory after a trial", freed_memory
    yield "four trials at once", four_at_once
    yield "a group of one", group_of_one
    if on_gpu:
        yield "TensorFloat-32", tf32
        yield "deterministic", deterministic
        yield "compiled", compiled
    for system in SYSTEMS if on_gpu else SYSTEMS[:1]:
        seconds = MEASURE_S if on_gpu else 0.1
        yield f"speed of {system}", partial(speed, system, full=on_gpu, seconds=seconds)


def main() -> None:
    """Check all and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu", action="store_true", help="try what a CPU can stand in for")
    on_gpu = not parser.parse_args().cpu
    if on_gpu and not torch.cuda.is_available():
        raise SystemExit("there is no GPU; --cpu tries what a CPU can stand in for")
    print(hardware())
    begun_s, failures = time.monotonic(), 0
    for name, check in checks(on_gpu):
        started_s = time.monotonic()
        if started_s - begun_s > DEADLINE_S:
            print(f"{name:24} left out: the time is over")
            continue
        try:
            told = check()
        except Exception as error:
            told, failures = f"FAILED: {type(error).__name__}: {error}", failures + 1
        print(f"{name:24}{time.monotonic() - started_s:7.1f} s  {told}", flush=True)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
