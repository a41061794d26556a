"""Proves when machines are asked for, and that they are given back; the slow tests start some.

pytest tests/cluster/test_autoscaler.py
"""

from collections.abc import Callable
from io import StringIO

import pytest

from cluster import autoscaler
from cluster.autoscaler import machines_for, scales
from cluster.connect import Cluster, Node
from cluster.tune_hooks import Halt
from results.console import Console
from results.study.folder import StudyError
from search_spaces import Resources

ONE_CPU = {"CPU": 1}
FULL = Cluster(nodes=(Node(offers={"CPU": 0}),))
ROOM = Cluster(nodes=(Node(offers={"CPU": 2}),))
Asked = list[list[dict[str, float]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """All that Ray's autoscaler was asked for, in a cluster that scales."""
    requests: Asked = []
    monkeypatch.setattr(autoscaler, "request_resources", lambda bundles: requests.append(bundles))
    monkeypatch.setattr(autoscaler, "machine_types", lambda: ["head"])
    monkeypatch.setattr(autoscaler, "POLL_S", 0.0)
    return requests


@pytest.fixture
def shows(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the cluster be these, one after the other at each look; the last one stays."""

    def show(*clusters: Cluster) -> None:
        coming = list(clusters)
        monkeypatch.setattr(
            autoscaler,
            "current_cluster",
            lambda: coming.pop(0) if len(coming) > 1 else coming[0],
        )

    return show


def console() -> Console:
    return Console(file=StringIO(), width=200)


@pytest.mark.parametrize(
    ("types", "expected"),
    [([], False), (["node_0a1b2c"], False), (["node_0a1b2c", "gpu.worker"], True)],
)
def test_a_cluster_scales_if_its_machines_have_types(
    monkeypatch: pytest.MonkeyPatch, types: list[str], expected: bool
) -> None:
    monkeypatch.setattr(autoscaler, "machine_types", lambda: types)
    assert scales() == expected


def test_a_cluster_that_does_not_scale_is_asked_for_nothing(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoscaler, "machine_types", lambda: ["node_0a1b2c"])
    with machines_for(Resources(), 8, Halt(None), console()) as after_last:
        after_last()
    assert asked == []


def test_machines_for_all_are_asked_for_and_given_back(
    asked: Asked, shows: Callable[..., None]
) -> None:
    shows(ROOM)
    with machines_for(Resources(workers=2), 3, Halt(None), console()) as after_last:
        assert asked == [[ONE_CPU] * 6]
        after_last()
    assert asked[1:] == [[], []]


def test_without_a_number_only_room_for_one_is_asked_for_and_waited_for(
    asked: Asked, shows: Callable[..., None]
) -> None:
    shows(FULL, FULL, ROOM)
    with machines_for(Resources(), None, Halt(None), console()):
        assert asked == [[ONE_CPU]]


def test_a_search_that_is_to_end_waits_no_longer(asked: Asked, shows: Callable[..., None]) -> None:
    shows(FULL)
    halt = Halt(None)
    halt.request("interrupted")
    with machines_for(Resources(), None, halt, console()):
        pass
    assert asked == [[ONE_CPU], []]


def test_a_machine_that_never_comes_is_told_and_not_asked_for_any_more(
    asked: Asked, shows: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shows(FULL)
    monkeypatch.setattr(autoscaler, "WAIT_S", -1.0)
    with (
        pytest.raises(StudyError, match=r"no machine came in .* each needs 1 CPUs"),
        machines_for(Resources(), None, Halt(None), console()),
    ):
        pytest.fail("it would have begun")
    assert asked == [[ONE_CPU], []]
