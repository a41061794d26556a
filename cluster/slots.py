"""The slots where trials train: as many as the cluster has room for, while it grows and shrinks."""

import time
from collections.abc import Callable

from ray.tune import PlacementGroupFactory

from cluster.connect import Cluster
from cluster.group import GroupSpec
from search_spaces import Resources

REFRESH_S = 3.0


class Slots:
    """Slots that trials take and leave; each has an actor of its own, warm for the next trial.

    Tune knows idle actors by the resources that they were started with, and gives one to any trial
    that asks for just these. If all slots asked for the same, a trial could be given the actor that
    is being started for another one, while the warm actor of its own slot lies idle. So no two
    slots ask for the same: they differ by a byte of memory, and a trial finds its slot's actor.

    Args:
        resources: Of a trial.
        cluster: What there is at the start.
        wanted: At most so many slots; None: as many as fit.
        group: The workers that train each trial, if there are several.
        current_cluster: Gives what the cluster has by now; default: what it had at the start.

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
        current_cluster: Callable[[], Cluster] | None = None,
    ):
        self.group = group
        self._room = cluster.slots(resources, wanted)
        self._resources, self._wanted = resources, wanted
        self._current_cluster = current_cluster or (lambda: cluster)
        self._needs = cluster.needs(resources)
        self._refreshed_s = time.monotonic()
        self._free = list(reversed(range(self._room)))
        self._taken: dict[str, int] = {}
        self._alone: str | None = None

    @property
    def room(self) -> int:
        """How many slots may be taken by now."""
        return self._room if self._alone is None else 1

    @property
    def share_gpus(self) -> bool:
        """Whether a trial may have others beside it on its GPU."""
        return 0 < self._needs["GPU"] < 1 and self._room > 1

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return len(self._taken)

    def take(self, trial_id: str) -> dict[str, float] | None:
        """What a free slot asks for; None while there is no room.

        Of several it is the one that was left last: its actor is warm, while that of a slot that
        was never taken has yet to be started.
        """
        self._refresh()
        if len(self._taken) >= self.room:
            return None
        slot = self._taken[trial_id] = self._free.pop() if self._free else len(self._taken)
        return self.bundle(slot)

    def with_whole_gpu(self, trial_id: str) -> dict[str, float]:
        """What the slot of a trial asks for that is to share its GPU with nobody.

        Until it is left there is room for no other, and idle actors, which hold parts of GPUs, are
        among those `without_room`.
        """
        self._alone = trial_id
        return {**self.bundle(self._taken[trial_id]), "GPU": 1.0}

    def place_of(self, trial_id: str) -> int:
        """The number of the slot that a trial has taken."""
        return self._taken[trial_id]

    def leave(self, trial_id: str) -> None:
        """A trial's slot is free again."""
        self._free.append(self._taken.pop(trial_id))
        if self._alone == trial_id:
            self._alone = None

    def without_room(self) -> list[PlacementGroupFactory]:
        """Slots that can't be taken now, as the cluster has shrunk or a trial is to be alone.

        Their idle actors still hold resources, which a trial whose machine was lost may wait for,
        or the one that is to have a whole GPU; the actor of this one's own slot is idle, too.
        """
        if len(self._taken) < self.room:
            return []
        own = [] if self._alone is None else [self._taken[self._alone]]
        return [PlacementGroupFactory([self.bundle(slot)]) for slot in [*self._free, *own]]

    def bundle(self, slot: int) -> dict[str, float]:
        """What a slot asks for; see the class for why each asks for something else."""
        if self.group is not None:
            # Ray Train places the workers. The actor that drives them needs nothing, but Tune
            # refuses a request for nothing.
            return {"memory": slot + 1}
        memory = self._needs["memory"] - slot if self._needs["memory"] else slot + 1
        return {**self._needs, "memory": memory}

    def _refresh(self) -> None:
        """See how much room there is by now, but not more often than every few seconds."""
        if time.monotonic() - self._refreshed_s < REFRESH_S:
            return
        self._refreshed_s = time.monotonic()
        self._room = self._current_cluster().places(self._resources, self._wanted)
