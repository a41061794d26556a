"""Proves that there are as many places as the cluster has room for, at any time.

pytest tests/cluster/test_slots.py
"""

from typing import Any

import pytest

from cluster import slots as module
from cluster.connect import Cluster, Node
from cluster.slots import Slots
from results.study.folder import StudyError
from search_spaces import Resources


class Changing:
    """A cluster of machines with one CPU each, whose number changes."""

    def __init__(self, machines: int):
        self.machines = machines

    def __call__(self) -> Cluster:
        return Cluster(
            nodes=tuple(Node(offers={"CPU": 1, "memory": 8e9}) for _ in range(self.machines))
        )


@pytest.fixture
def changing(monkeypatch: pytest.MonkeyPatch) -> Changing:
    monkeypatch.setattr(module, "REFRESH_S", 0.0)
    return Changing(3)


def slots_of(changing: Changing, wanted: int | None = None) -> Slots:
    return Slots(Resources(), changing(), wanted=wanted, current_cluster=changing)


def places(slots: Slots) -> list[int]:
    """The places of the slots that lie free without room."""
    return sorted(int(factory.bundles[0]["memory"]) - 1 for factory in slots.without_room())


def test_no_two_places_ask_for_the_same(changing: Changing) -> None:
    slots = slots_of(changing)
    bundles = [slots.take(str(trial)) for trial in range(3)]
    assert [bundle and bundle["memory"] for bundle in bundles] == [1, 2, 3]
    assert slots.take("4") is None


def test_a_place_that_was_left_is_taken_next_because_its_actor_is_warm(changing: Changing) -> None:
    slots = slots_of(changing)
    for trial in "abc":
        slots.take(trial)
    slots.leave("a")
    slots.leave("c")
    assert [slots.take("d"), slots.take("e")] == [slots.bundle(2), slots.bundle(0)]


def test_a_cluster_that_grows_is_used(changing: Changing) -> None:
    slots = slots_of(changing)
    taken = [slots.take(str(trial)) for trial in range(3)]
    assert slots.take("d") is None
    changing.machines = 5
    taken += [slots.take("d"), slots.take("e")]
    assert len({bundle["memory"] for bundle in taken if bundle}) == 5
    assert slots.take("f") is None


def test_it_grows_to_what_is_wanted_and_no_further(changing: Changing) -> None:
    slots = slots_of(changing, wanted=4)
    changing.machines = 9
    assert [slots.take(str(trial)) is not None for trial in range(5)] == [
        True,
        True,
        True,
        True,
        False,
    ]


def test_when_a_machine_is_lost_the_next_place_that_is_left_is_let_go(changing: Changing) -> None:
    slots = slots_of(changing)
    for trial in "abc":
        slots.take(trial)
    assert places(slots) == []
    changing.machines = 2  # "b" was on it: it waits for room
    assert slots.take("d") is None
    slots.leave("a")
    assert slots.take("d") is None
    assert places(slots) == [0], "what the place's actor holds is for b"
    slots.leave("b")
    assert slots.take("d") == slots.bundle(1)
    changing.machines = 3
    assert slots.take("e") == slots.bundle(0)


def test_with_no_machine_left_nothing_is_taken_until_one_comes(changing: Changing) -> None:
    slots = slots_of(changing)
    changing.machines = 0
    assert slots.take("a") is None
    changing.machines = 1
    assert slots.take("a") is not None


def test_a_trial_that_never_fits_is_refused_at_the_start(changing: Changing) -> None:
    with pytest.raises(StudyError, match="no trial can ever be placed"):
        Slots(Resources(cpus=2), changing())


def test_a_trial_that_is_to_be_alone_gets_a_whole_gpu_and_the_idle_ones_go() -> None:
    cluster = Cluster(nodes=(Node(offers={"CPU": 4, "GPU": 1, "memory": 8e9}),))
    slots = Slots(Resources(), cluster)
    assert slots.share_gpus
    shares = [slots.take(trial) for trial in "abc"]
    assert [share and share["GPU"] for share in shares] == [0.25] * 3
    for trial in "abc":
        slots.leave(trial)
    slots.take("d")
    assert slots.with_whole_gpu("d") == {"CPU": 1, "GPU": 1, "memory": 3}
    assert places(slots) == [0, 1, 2, 3], "its own slot's actor holds a part of the GPU, too"
    assert slots.take("e") is None
    slots.leave("d")
    assert places(slots) == []
    assert slots.take("e") == shares[2], "the GPU is shared again"


@pytest.mark.parametrize("gpus", [0, 1, "auto"])
def test_gpus_are_not_shared_where_each_trial_has_its_own_or_is_the_only_one(gpus: Any) -> None:
    cluster = Cluster(nodes=(Node(offers={"CPU": 4, "GPU": 2, "memory": 8e9}),))
    wanted = 1 if gpus == "auto" else None
    assert not Slots(Resources(gpus=gpus), cluster, wanted=wanted).share_gpus


def test_places_that_set_memory_aside_differ_too_and_fit_all_the_same(changing: Changing) -> None:
    slots = Slots(Resources(memory_gb=8), changing())
    bundles = [slots.take(str(trial)) for trial in range(3)]
    assert [bundle and bundle["memory"] for bundle in bundles] == [8e9, 8e9 - 1, 8e9 - 2]
