"""Proves that each private name of Ray that Rungs uses is where it is expected, and does its part.

pytest tests/cluster/test_ray_private.py
"""

import ast
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune
from ray._common import utils
from ray._private import ray_constants, services
from ray._private.authentication import authentication_token_setup as token_setup
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.autoscaler.v2 import sdk
from ray.autoscaler.v2.schema import ClusterStatus, NodeInfo
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayTaskError
from ray.experimental import internal_kv
from ray.tune.execution.tune_controller import TrialRunnerWrapper, TuneController
from ray.tune.experiment import Trial
from ray.tune.utils.object_cache import _ObjectCache

from cluster import ray_private

SLOT = tune.PlacementGroupFactory([{"CPU": 1, "memory": 1}])


def attributes_set_in_init(cls: type) -> set[str]:
    """The attributes that a class's `__init__` gives to `self`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls.__init__)))  # type: ignore[misc]
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
    }


def test_ray_is_the_release_that_these_names_were_read_in() -> None:
    assert ray.__version__.startswith("2.60."), "read ray_private.py again beside the new source"


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (utils.get_default_ray_temp_dir, []),
        (token_setup.AuthenticationTokenLoader.instance, []),
        (token_setup.AuthenticationTokenLoader.has_token, ["self", "ignore_auth_mode"]),
        (token_setup.AuthenticationTokenLoader.reset_cache, ["self"]),
        (sdk.get_cluster_status, ["address"]),
        (internal_kv._internal_kv_get, ["key"]),
        (internal_kv.internal_kv_get_gcs_client, []),
        (is_autoscaler_v2, []),
        (RayActorManager._actor_task_failed, ["self", "task", "error"]),
        (_ObjectCache.increase_max, ["self", "slot"]),
        (_ObjectCache.decrease_max, ["self", "slot"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_a_function_takes_what_it_is_given(function: Any, arguments: list[str]) -> None:
    inspect.signature(function).bind(*arguments)


def test_ray_reads_the_constants_that_are_changed() -> None:
    assert isinstance(ray_constants.ENABLE_RAY_CLUSTER, bool)
    assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR == "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    assert "ray_constants.ENABLE_RAY_CLUSTER" in inspect.getsource(services)
    assert isinstance(ray_constants.DEBUG_AUTOSCALING_STATUS, str)


def test_the_machines_status_names_their_types() -> None:
    assert {"active_nodes", "idle_nodes"} <= set(ClusterStatus.__dataclass_fields__)
    assert "ray_node_type_name" in NodeInfo.__dataclass_fields__


def test_a_controller_keeps_its_trials_where_they_are_let_go() -> None:
    kept = {"_trials", "_stopped_trials", "_failed_trials", "_trials_to_cache", "_actor_cache"}
    assert kept <= attributes_set_in_init(TuneController)
    assert "_tune_controller" in attributes_set_in_init(TrialRunnerWrapper)
    assert "self._actor_cache = _ObjectCache(" in inspect.getsource(TuneController.__init__)


def test_an_idle_actor_is_kept_until_it_is_let_go() -> None:
    cache: Any = _ObjectCache(may_keep_one=False)
    controller = SimpleNamespace(_tune_controller=SimpleNamespace(_actor_cache=cache))
    ray_private.keep_actor(controller, SLOT)
    assert cache.cache_object(SLOT, "actor")
    assert not list(cache.flush_cached_objects())
    ray_private.let_actor_go(controller, SLOT)
    assert list(cache.flush_cached_objects()) == ["actor"]


def test_trials_that_are_over_are_let_go_and_the_others_kept() -> None:
    over, running = Trial("any", stub=True), Trial("any", stub=True)
    over.set_status(Trial.TERMINATED)
    running.set_status(Trial.RUNNING)
    trials = [over, running]
    inner = SimpleNamespace(
        _trials=trials, _stopped_trials={over}, _failed_trials={over}, _trials_to_cache={over}
    )
    ray_private.forget_finished_trials(SimpleNamespace(_tune_controller=inner))
    assert inner._trials is trials == [running], "Tune's own list, as others hold it too"
    assert not (inner._stopped_trials or inner._failed_trials or inner._trials_to_cache)


class Failed:
    """A task of an actor that failed, as `RayActorManager` tracks it; keeps what it is told."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self._tracked_actor = SimpleNamespace(actor_id=1, _on_error=None)

    def _on_error(self, tracked_actor: Any, exception: Exception) -> None:
        self.errors.append(exception)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An actor manager that has no actors and needs no Ray."""
    original = RayActorManager._actor_task_failed
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", original)
    monkeypatch.setattr(RayActorManager, "_cleanup_actor", lambda self, tracked_actor: None)
    manager = RayActorManager.__new__(RayActorManager)
    manager._failed_actor_ids = set()
    yield manager


def test_ray_itself_ends_a_search_at_a_process_that_needs_too_much_memory(manager: Any) -> None:
    with pytest.raises(RuntimeError, match="unexpected exception"):
        manager._actor_task_failed(Failed(), OutOfMemoryError("too much"))


def test_such_a_process_counts_as_a_dead_one(manager: Any) -> None:
    ray_private.mend_out_of_memory()
    ray_private.mend_out_of_memory()
    task = Failed()
    manager._actor_task_failed(task, OutOfMemoryError("too much"))
    (error,) = task.errors
    assert isinstance(error, RayActorError)
    assert str(error).startswith("out of memory: ") and str(error).count("out of memory: ") == 1


def test_other_errors_stay_what_they_are(manager: Any) -> None:
    ray_private.mend_out_of_memory()
    for error in (ActorDiedError(), RayTaskError("f", "a traceback", ValueError("x"))):
        task = Failed()
        manager._actor_task_failed(task, error)
        assert task.errors == [error]


def test_a_process_is_named() -> None:
    code = (
        "from pathlib import Path\n"
        "from cluster.ray_private import name_process\n"
        "name_process('trial 3 lr=0.1')\n"
        "print(Path('/proc/self/cmdline').read_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ray::trial 3 lr=0.1" in done.stdout, done.stderr
