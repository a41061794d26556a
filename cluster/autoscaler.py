"""Machines that a cluster starts when they are asked for."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ray.autoscaler.sdk import request_resources

from cluster.connect import Cluster, current_cluster
from cluster.ray_private import machine_types
from cluster.tune_hooks import Halt
from results.console import Console
from results.study.folder import StudyError
from search_spaces import Resources

WAIT_S, POLL_S = 1800.0, 3.0
NO_TYPE = re.compile("node_[0-9a-f]+")


@contextmanager
def machines_for(
    resources: Resources, wanted: int | None, halt: Halt, console: Console
) -> Iterator[Callable[[], None]]:
    """Have a cluster that can start machines start those for `wanted` trials at once.

    Waits until there is room for one trial, or the search is to end. The other machines may join
    while the search runs.

    Args:
        resources: Of a trial.
        wanted: How many trials at once; None: as many as there is room for, at least one.
        halt: Ends the waiting.
        console: Says that a machine is waited for.

    Yields:
        What to call when no more trials will come: machines that become idle may go then.

    Raises:
        StudyError: when there is no room for a trial after half an hour.
    """
    if not scales():
        yield lambda: None
        return
    cluster = current_cluster()
    try:
        if not cluster.places(resources):
            ask_for(cluster, resources, wanted or 1)
            console.say(
                "no room for a trial yet; waiting for machines (`ray status` says which come)"
            )
            cluster = _with_room(resources, halt)
        if wanted:
            ask_for(cluster, resources, wanted)
        yield ask_for_nothing
    finally:
        ask_for_nothing()


def _with_room(resources: Resources, halt: Halt) -> Cluster:
    """The cluster, once a trial fits or the search is to end."""
    deadline = time.monotonic() + WAIT_S
    while not (cluster := current_cluster()).places(resources) and not halt.stop_all():
        if time.monotonic() > deadline:
            raise StudyError(
                f"no machine came in {WAIT_S / 60:g} minutes: {cluster.shortage(resources)}"
            )
        time.sleep(POLL_S)
    return cluster


def ask_for(cluster: Cluster, resources: Resources, trials: int) -> None:
    """Ask for room for so many trials at once, in place of what was asked for before."""
    needs = {name: amount for name, amount in cluster.needs(resources).items() if amount}
    request_resources(bundles=[needs] * (trials * resources.workers))


def ask_for_nothing() -> None:
    """Machines that become idle may go."""
    request_resources(bundles=[])


def scales() -> bool:
    """Whether an autoscaler looks after the cluster, and can start machines.

    Its machines have types, named in its configuration; others are named after their ids.
    """
    return any(not NO_TYPE.fullmatch(name) for name in machine_types())
