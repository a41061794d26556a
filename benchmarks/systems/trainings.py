"""Trainings on fresh seeds, side by side, each in a process of its own."""

import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.factorizers import REFERENCES, Problem, measured
from benchmarks.systems.rows import Key, Store, Trained, configuration_of
from results.confirm.candidates import metrics_on_test
from search_spaces import Objective, Space
from trainables.job import Job, is_best, run
from trainables.machine import usable_cpus
from trainables.seeding import derive_seed
from trainables.task import Report

Values = Mapping[str, Any]


def jobs_of(
    space: Space, objective: Objective, configurations: Iterable[Values], splits: range, seeds: int
) -> dict[Key, Job]:
    """Each configuration on each split by each seed; the seeds are the same for all."""
    return {
        Key(space.name, configuration_of(space, values), split, seed): Job(
            task=space.task,
            objective=objective,
            values={**space.fixed, **values},
            seed=derive_seed("fresh", seed),
            split_seed=split,
            max_epochs=space.budget.max_epochs,
            folder=Path(),
            cpus=space.resources.cpus,
        )
        for values in configurations
        for split in splits
        for seed in range(seeds)
    }


def train_missing(jobs: Mapping[Key, Job], store: Store) -> None:
    """Run the trainings that the store lacks; each is kept as soon as it is over."""
    done = store.trained()
    missing = {key: job for key, job in jobs.items() if key not in done}
    if not missing:
        return
    cpus = max(job.cpus for job in missing.values())
    at_once = max(1, int(usable_cpus() / cpus))
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(train, key, job) for key, job in missing.items()]
        for future in as_completed(futures):
            row = future.result()
            store.add(row)
            print(row, flush=True)


def measure_references(space: Space, split: int, seeds: int, store: Store) -> None:
    """What of the task `low_rank` needs no training, beside what is trained."""
    problem, done = Problem(space.fixed, split), store.trained()
    for (name, make), seed in product(REFERENCES.items(), range(seeds)):
        key = Key(space.name, name, split, seed)
        if key not in done:
            validation, test = map(rounded, measured(make(problem, seed), problem))
            store.add(Trained(key=key, epoch=0, validation=validation, test=test))


def train(key: Key, job: Job) -> Trained:
    """Train to the end; measure the best epoch's model on the test split."""
    with tempfile.TemporaryDirectory() as path:
        job = replace(job, folder=Path(path))
        best = best_report(job)
        return Trained(
            key=key,
            epoch=best.epoch,
            validation=rounded(best.metrics),
            test=rounded(metrics_on_test(job)),
        )


def best_report(job: Job) -> Report:
    """That of the best epoch.

    Raises:
        ValueError: when no epoch has a finite objective.
    """
    best, values = None, list[float]()
    for report in run(job):
        value = report.metrics[job.objective.name]
        best = report if is_best(value, values, job.objective) else best
        values.append(value)
    if best is None:
        raise ValueError(f"no epoch has a finite {job.objective.name}: {job.values}")
    return best


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Six digits tell all that there is to tell, in small files."""
    return {name: float(f"{value:.6g}") for name, value in metrics.items()}
