"""Proves that several workers give the curve of one: pytest -m slow tests/slow/test_team.py."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from trainables.job import Job, run
from trainables.task import Task, load_task
from trainables.team import ProcessTeam
from trainables.trial_folder import TrialFolder

WORKERS = 2
GPT2: dict[str, Any] = {
    "model.layers": 1,
    "model.width": 16,
    "model.heads": 2,
    "model.dropout": 0.0,
    "model.attention_dropout": 0.0,
    "model.head_dropout": 0.0,
    "data.batch_size": 100,
    "optim.lr": 1e-2,
}
UNUSUAL = {
    "optim.accumulation": 3,
    "optim.ema_decay": 0.9,
    "optim.clip_norm": 1.0,
    "optim.freeze_epochs": 1,
}
LINE = {
    "optim.lr": 0.1,
    "optim.scheduler": "constant",
    "data.batch_size": 13,
}  # 40 rows: the last batch has one


def job_of(task: str, values: dict[str, Any], folder: Path) -> Job:
    name = "tests.trainables.test_training:Line" if task == "line" else task
    loaded = load_task(name)
    assert isinstance(loaded, Task)
    objective = loaded.objective
    return Job(
        task=name,
        objective=objective,
        values=values,
        seed=1,
        split_seed=0,
        max_epochs=3,
        folder=folder,
    )


def work(rank: int, jobs: list[Job], folder: Path) -> None:
    """One worker's process: each job twice, first interrupted after two epochs.

    What it tells goes to a file.
    """
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=WORKERS
    )
    team, told = ProcessTeam(), []
    for job in jobs:
        first = [report.metrics for _, report in zip(range(2), run(job, team), strict=False)]
        told.append((first, [report.metrics for report in run(job, team)]))
    torch.save(told, folder / f"told-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_workers_give_the_curve_of_one_also_after_an_interruption(tmp_path: Path) -> None:
    cases = [("gpt2_classifier", GPT2), ("gpt2_classifier", GPT2 | UNUSUAL), ("line", LINE)]
    jobs = [
        job_of(task, values, tmp_path / f"together-{i}") for i, (task, values) in enumerate(cases)
    ]
    start_processes(work, args=(jobs, tmp_path), nprocs=WORKERS, start_method="spawn")
    told = [torch.load(tmp_path / f"told-{rank}.pt", weights_only=True) for rank in range(WORKERS)]
    assert told[0] == told[1], "all workers tell the same"
    for job, (first, second) in zip(jobs, told[0], strict=True):
        alone = [
            report.metrics
            for report in run(replace(job, folder=tmp_path / "alone" / job.folder.name))
        ]
        assert second[:2] == first
        assert [line["epoch"] for line in TrialFolder(job.folder).read_metrics()] == [1, 2, 3], (
            "the leader alone writes"
        )
        for one, two in zip(alone, second, strict=True):
            assert one.keys() == two.keys()
            for name, value in one.items():
                assert math.isclose(two[name], value, rel_tol=2e-3, abs_tol=2e-3), (
                    name,
                    value,
                    two[name],
                )
