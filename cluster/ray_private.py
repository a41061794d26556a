"""Every private name of Ray that Rungs uses, each in a function that says what for.

Ray may rename or remove these in any release, so the version is pinned. Whoever moves the pin runs
`pytest tests/cluster/test_ray_private.py`, which names what is no longer where it was.
"""

import json
import os
from typing import Any

from ray._common.utils import get_default_ray_temp_dir
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import AuthenticationTokenLoader
from ray._raylet import setproctitle  # type: ignore[attr-defined]
from ray.air.execution._internal import actor_manager
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.experimental.internal_kv import _internal_kv_get, internal_kv_get_gcs_client
from ray.tune import PlacementGroupFactory

# This process, and a Ray that is started here


def name_process(title: str) -> None:
    """Give this worker process a title, by which `ps` and Ray's dashboard show it.

    Ray sets `ray::CLASS.METHOD` before each call of an actor's method, with no public way to change
    it. We want the trial's number and values there.
    """
    setproctitle(f"ray::{title}")


def default_ray_folder() -> str:
    """Where Ray would keep its sockets and logs if it were not told: `$TMPDIR/ray`, or `/tmp/ray`.

    Ray looks at this folder itself and fails late, with a traceback, when its path is too long for
    a socket or can't be written. We look first.
    """
    return get_default_ray_temp_dir()


def listen_on_loopback() -> None:
    """Have the Ray that this process starts listen on loopback alone, as on Windows and macOS.

    On Linux Ray listens on the machine's address in the network, so that others can join. A search
    on one machine needs no others, and should not be open to them.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # For the processes to come;
    ray_constants.ENABLE_RAY_CLUSTER = False  # this one has read it already, at import.


def has_token() -> bool:
    """Whether there is a token for Ray, in the environment or in `~/.ray/auth_token`."""
    return AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)


def forget_token() -> None:
    """Have Ray look for its token anew: it keeps what it found first, also that there was none."""
    AuthenticationTokenLoader.instance().reset_cache()


# The cluster


def machine_types() -> list[str]:
    """The type of each machine that Ray's autoscaler knows of, as its status tells it.

    Ray says in public what each machine offers, but not whether an autoscaler is there to start
    more of them. In a cluster without one, the types are names made of the machines' ids.
    """
    if is_autoscaler_v2():
        status = get_cluster_status(internal_kv_get_gcs_client().address)
        return [node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)]
    status_json = _internal_kv_get(ray_constants.DEBUG_AUTOSCALING_STATUS) or "{}"
    report = json.loads(status_json).get("autoscaler_report", {})
    return list(report.get("active_nodes", {}))


# Ray Tune


def keep_actor(scheduler_controller: Any, slot: PlacementGroupFactory) -> None:
    """Have Tune keep one more idle actor for trials that ask for a slot's resources.

    With `reuse_actors=True` Tune keeps an idle actor only while a trial waits for it, and ends it
    when its trial ends while others are starting: a warm process, with all it has imported, would
    be lost for nothing.

    Args:
        scheduler_controller: What Tune hands to a scheduler, a wrapper of its `TuneController`.
        slot: What the actor was started with.
    """
    scheduler_controller._tune_controller._actor_cache.increase_max(slot)


def let_actor_go(scheduler_controller: Any, slot: PlacementGroupFactory) -> None:
    """Take `keep_actor` back: Tune ends the idle actor, and its resources are free."""
    scheduler_controller._tune_controller._actor_cache.decrease_max(slot)


def forget_finished_trials(scheduler_controller: Any) -> None:
    """Have Tune let go of trials that are over.

    Tune keeps every trial for a table at the end, tens of kilobytes each, and walks through all of
    them at each turn of its loop: a search of many thousands would grow and become slow. The study
    has all that we need of a finished trial.
    """
    controller = scheduler_controller._tune_controller
    controller._trials[:] = [trial for trial in controller._trials if not trial.is_finished()]
    controller._stopped_trials.clear()
    controller._failed_trials.clear()
    controller._trials_to_cache.clear()


def mend_out_of_memory() -> None:
    """Let Tune take a process that Ray's memory monitor killed for a dead process.

    `RayActorManager` handles errors of actors and of tasks, and raises anything else in the driver.
    Ray 2.60's `OutOfMemoryError` is neither, so one trial that needs too much memory would end the
    whole search.
    """
    original = actor_manager.RayActorManager._actor_task_failed
    if getattr(original, "is_mended", False):
        return

    def mended(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=f"out of memory: {exception}")
        original(self, tracked_actor_task, exception)

    mended.is_mended = True  # type: ignore[attr-defined]
    actor_manager.RayActorManager._actor_task_failed = mended
