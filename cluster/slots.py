"""The places where trials train: as many as the cluster has room for, also while it grows and shrinks."""

import time
from collections.abc import Callable

from ray.tune import PlacementGroupFactory

from cluster.connect import Cluster
from cluster.group import GroupSpec
from search_spaces import Resources

LOOK_S = 3.0


class Slots:
    """Places that trials take and leave.

    Each has its own actor, which stays warm for the next trial.

    No two places ask for equal resources (they differ by a byte of memory): Tune keeps a warm actor
    for trials that ask
    for just what it has, so a trial finds its place's actor, and never takes one that another place
    is waiting for.

    Args:
        resources: Of a trial.
        cluster: What there is at the start.
        wanted: At most so many places; None: as many as fit.
        group: The workers that train each trial, if there are several.
        look: Gives what the cluster has by now.

    Raises:
        StudyError: when not even one trial can be placed.
    """

    def __init__(
        self,
        resources: Resources,
        cluster: Cluster,
        *,
        wanted: int | None = None,
        group: GroupSpec | None = None,
        look: Callable[[], Cluster] | None = None,
    ):
        self.group = group
        self.room = cluster.slots(resources, wanted)
        self._resources, self._wanted, self._look = resources, wanted, look or (lambda: cluster)
        self._needs = cluster.needs(resources)
        self._looked_s = time.monotonic()
        self._free = list(reversed(range(self.room)))
        self._taken: dict[str, int] = {}

    @property
    def taken(self) -> int:
        """How many places are."""
        return len(self._taken)

    def take(self, trial_id: str) -> dict[str, float] | None:
        """A free place's resources, of the one left last if there are several.

        None while there is no room.
        """
        self._look_again()
        if len(self._taken) >= self.room:
            return None
        slot = self._taken[trial_id] = self._free.pop() if self._free else len(self._taken)
        return self.bundle(slot)

    def place_of(self, trial_id: str) -> int:
        """The number of the place that a trial has taken."""
        return self._taken[trial_id]

    def leave(self, trial_id: str) -> None:
        """A place is free again."""
        self._free.append(self._taken.pop(trial_id))

    def without_room(self) -> list[PlacementGroupFactory]:
        """Free places that can't be taken now: a trial whose node was lost may be waiting for what they hold."""
        if len(self._taken) < self.room:
            return []
        return [PlacementGroupFactory([self.bundle(slot)]) for slot in self._free]

    def bundle(self, slot: int) -> dict[str, float]:
        """What a place asks for."""
        if self.group is not None:
            return {
                "memory": slot + 1
            }  # Ray Train places the workers; the actor that drives them needs nothing.
        memory = self._needs["memory"] - slot if self._needs["memory"] else slot + 1
        return {**self._needs, "memory": memory}

    def _look_again(self) -> None:
        if time.monotonic() - self._looked_s < LOOK_S:
            return
        self._looked_s = time.monotonic()
        self.room = self._look().places(self._resources, self._wanted)
