"""One configuration trained by several workers, outside of any search."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import ray

from cluster.connect import connect
from cluster.group import Group, GroupSpec
from search_spaces import Resources
from trainables.job import Job
from trainables.task import Report


def train_together(workers: int) -> Callable[[Job], Iterator[Report]]:
    """What trains a job by so many workers: on the cluster of `$RAY_ADDRESS`, else on this machine.

    Its generator raises `StudyError` when they can't be placed, `RuntimeError` when the training
    raises.
    """

    def train(job: Job) -> Iterator[Report]:
        job = replace(job, folder=job.folder.resolve(), working_folder=Path.cwd())
        resources = Resources(cpus=job.cpus, workers=workers)
        cluster = connect(os.environ.get("RAY_ADDRESS"))
        try:
            cluster.slots(resources)
            with tempfile.TemporaryDirectory(dir=job.folder, prefix=".scratch-") as scratch:
                spec = GroupSpec(
                    workers=workers, needs=cluster.needs(resources), scratch=Path(scratch)
                )
                group = Group(spec)
                try:
                    yield from _epochs(group, job)
                finally:
                    group.end()
        finally:
            ray.shutdown()

    return train


def _epochs(group: Group, job: Job) -> Iterator[Report]:
    group.take(job)
    while True:
        outcome = group.step()
        if outcome.failed or outcome.halt:
            raise RuntimeError(outcome.failed or outcome.halt)
        if outcome.report is None:
            return
        yield outcome.report
