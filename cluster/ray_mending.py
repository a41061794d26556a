"""What Ray 2.60 gets wrong and a search can't live with, mended in place."""

from typing import Any

from ray.air.execution._internal import actor_manager
from ray.exceptions import OutOfMemoryError, RayActorError


def mend_out_of_memory() -> None:
    """Let Tune take a process that Ray's memory monitor killed for a dead process.

    As it is, it ends the whole search.

    `RayActorManager` knows errors of actors and of tasks, and raises at `OutOfMemoryError`, which
    is neither.
    """
    original = actor_manager.RayActorManager._actor_task_failed
    if getattr(original, "mended", False):
        return

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=f"out of memory: {exception}")
        original(self, tracked_actor_task, exception)

    failed.mended = True  # type: ignore[attr-defined]
    actor_manager.RayActorManager._actor_task_failed = failed
