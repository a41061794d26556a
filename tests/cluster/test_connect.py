"""Proves that the trials at once are those that fit: pytest tests/cluster/test_connect.py."""

from typing import Literal

import pytest

from cluster.connect import Cluster, Node
from results.study.folder import StudyError
from search_spaces import Resources


def machine(cpus: float, gpus: float = 0, **others: float) -> Node:
    return Node(offers={"CPU": cpus, "GPU": gpus, "memory": 16e9, **others})


def cluster(cpus: float, gpus: float = 0) -> Cluster:
    return Cluster(nodes=(machine(cpus, gpus),))


@pytest.mark.parametrize(
    ("cpus", "gpus", "per_trial", "expected"),
    [
        (16, 0, 1, 0),
        (16, 1, 1, 0.25),  # At most four to a GPU,
        (3, 1, 1, 1 / 3),  # as far as its CPUs go;
        (2, 1, 1, 1 / 2),
        (1, 1, 1, 1),
        (1, 1, 2, 1),
        (16, 8, 1, 1 / 2),
        (16, 8, 4, 1),
        (16, 4, 0.5, 0.25),
    ],
)
def test_auto_shares_each_gpu_as_far_as_its_cpus_go(
    cpus: float, gpus: float, per_trial: float, expected: float
) -> None:
    assert cluster(cpus, gpus).needs(Resources(cpus=per_trial))["GPU"] == pytest.approx(expected)


@pytest.mark.parametrize("asked", [0, 0.5, 1, 2])
def test_a_number_of_gpus_is_taken_as_it_is(asked: float) -> None:
    assert cluster(8, 4).needs(Resources(gpus=asked))["GPU"] == asked


@pytest.mark.parametrize(
    ("cpus", "gpus", "each_cpus", "each_gpus", "slots"),
    [
        (2, 0, 1, "auto", 2),
        (2, 0, 0.1, "auto", 20),  # 2 / 0.1 is just below 20 in some of these,
        (3, 0, 0.3, 0, 10),  # and must not lose a slot.
        (7, 0, 2, "auto", 3),
        (16, 1, 1, "auto", 4),
        (3, 1, 1, "auto", 3),
        (16, 2, 1, "auto", 8),
        (16, 8, 1, 2, 4),
        (16, 2, 1, 0, 16),
        (16, 2, 1, 0.4, 4),  # Two fit on each GPU: a trial can't take its share from both.
        (16, 3, 1, 0.7, 3),
        (2, 8, 1, 0.5, 2),
    ],
)
def test_slots_are_what_fits(
    cpus: float, gpus: float, each_cpus: float, each_gpus: float | Literal["auto"], slots: int
) -> None:
    assert cluster(cpus, gpus).slots(Resources(cpus=each_cpus, gpus=each_gpus)) == slots


@pytest.mark.parametrize(("wanted", "slots"), [(None, 4), (1, 1), (3, 3), (4, 4), (100, 4)])
def test_slots_are_at_most_those_wanted(wanted: int | None, slots: int) -> None:
    assert cluster(4).slots(Resources(), wanted) == slots


@pytest.mark.parametrize(
    ("cpus", "gpus", "resources", "arithmetic"),
    [
        (
            2,
            0,
            Resources(cpus=4),
            "each needs 4 CPUs and 0 GPUs on one machine; the machines have 2 CPUs and 0 GPUs",
        ),
        (
            2,
            0,
            Resources(gpus=1),
            "each needs 1 CPUs and 1 GPUs on one machine; the machines have 2 CPUs and 0 GPUs",
        ),
        (
            8,
            1,
            Resources(gpus=2),
            "each needs 1 CPUs and 2 GPUs on one machine; the machines have 8 CPUs and 1 GPUs",
        ),
        (
            8,
            0,
            Resources(gpus=0.25),
            "each needs 1 CPUs and 0.25 GPUs on one machine; the machines have 8 CPUs and 0 GPUs",
        ),
    ],
)
def test_what_never_fits_is_refused_with_the_arithmetic(
    cpus: float, gpus: float, resources: Resources, arithmetic: str
) -> None:
    with pytest.raises(StudyError) as caught:
        cluster(cpus, gpus).slots(resources, 3)
    assert arithmetic in str(caught.value)
    assert "lower resources.cpus or gpus" in str(caught.value)


def test_a_trial_is_never_spread_over_two_machines() -> None:
    two = Cluster(nodes=(machine(4, 0), machine(6, 0)))
    assert two.slots(Resources(cpus=4)) == 2
    assert two.slots(Resources(cpus=5)) == 1
    with pytest.raises(StudyError, match="4 CPUs and 0 GPUs; 6 CPUs"):
        two.slots(Resources(cpus=7))


@pytest.mark.parametrize(
    ("nodes", "resources", "slots"),
    [
        ([(2, 0)], Resources(workers=2), 1),
        ([(3, 0)], Resources(workers=2, cpus=0.5), 3),
        ([(1, 0), (1, 0), (1, 0)], Resources(workers=2), 1),  # A group may be spread over machines,
        ([(3, 0), (3, 0)], Resources(workers=2, cpus=2), 1),  # a worker may not.
        ([(8, 2), (8, 2)], Resources(workers=4), 1),  # A whole GPU each.
        ([(8, 8)], Resources(workers=4), 2),
        ([(8, 0)], Resources(workers=4), 2),
        ([(8, 8)], Resources(workers=2, gpus=2), 2),
    ],
)
def test_slots_of_groups_are_the_places_of_workers_shared_out(
    nodes: list[tuple[float, float]], resources: Resources, slots: int
) -> None:
    assert Cluster(nodes=tuple(machine(c, g) for c, g in nodes)).slots(resources) == slots


def test_a_group_that_never_fits_is_refused_with_the_arithmetic() -> None:
    two = Cluster(nodes=(machine(4, 1), machine(4, 1)))
    with pytest.raises(StudyError) as caught:
        two.slots(Resources(workers=4))
    assert str(caught.value) == (
        "no trial can ever be placed: each needs 4 workers, a worker 1 CPUs and 1 GPUs on one "
        "machine; the machines have 4 CPUs and 1 GPUs; 4 CPUs and 1 GPUs, room for 2; lower "
        "resources.workers, cpus or gpus, or what else it asks for"
    )
    with pytest.raises(StudyError, match=r"need whole GPUs, got resources\.gpus=0\.5"):
        two.slots(Resources(workers=2, gpus=0.5))


@pytest.mark.parametrize(
    ("resources", "slots"),
    [
        (Resources(memory_gb=4), 4),
        (Resources(memory_gb=5), 3),
        (Resources(memory_gb=16), 1),
        (Resources(custom={"license": 1}), 3),
        (Resources(custom={"license": 0.5}, memory_gb=4), 4),
        (Resources(custom={"license": 0.5}), 6),
    ],
)
def test_memory_and_other_resources_are_counted(resources: Resources, slots: int) -> None:
    assert Cluster(nodes=(machine(8, 0, license=3),)).slots(resources) == slots


@pytest.mark.parametrize(
    ("resources", "arithmetic"),
    [
        (
            Resources(memory_gb=32),
            "each needs 1 CPUs, 0 GPUs and 32 GB of memory on one machine; the machines have 8 "
            "CPUs, 0 GPUs and 16 GB of memory, room for 0",
        ),
        (
            Resources(custom={"license": 1}),
            "each needs 1 CPUs, 0 GPUs and 1 license on one machine; the machines have 8 CPUs, 0 "
            "GPUs and 0 license",
        ),
    ],
)
def test_so_is_what_of_them_is_missing(resources: Resources, arithmetic: str) -> None:
    with pytest.raises(StudyError) as caught:
        cluster(8).slots(resources)
    assert arithmetic in str(caught.value)
