"""Proves what the small study trains by which the best are confirmed; the slow tests run one.

pytest tests/cluster/test_confirm.py
"""

from pathlib import Path

from cluster.confirm import confirming, digest
from results.confirm.candidates import select_candidates
from results.study.description import Description
from results.study.record import read_study
from tests.cluster.search.toy_study import Open, drive, toy_objective


def test_it_trains_each_candidate_so_often_and_nothing_else(opened: Open, unsynced: None) -> None:
    study = opened(start=[{"lr": 1e-4, "width": 64}], budget={"trials": 6})
    drive(study)
    parent = Description(
        space=study.space,
        objective=toy_objective(study.space),
        import_paths=(),
        origin={},
        begun_in="/once/here",
    )
    parent.write(study.folder)
    to_confirm = select_candidates(read_study(study.folder), 2)
    assert len(to_confirm) == 3, "the best two, and the start point"
    small = confirming(parent, to_confirm, 3)
    expected = [dict(candidate.values) for candidate in to_confirm for _ in range(3)]
    assert [dict(point) for point in small.space.start] == expected
    assert (small.space.budget.trials, small.space.budget.max_epochs) == (9, 4)
    assert (small.space.search.sampler, small.space.search.scheduler) == ("none", "none")
    assert small.space.budget.keep == 9, "each one's best epoch is read again for the test split"
    assert small.split_seed == study.space.seed != small.space.seed
    assert small.begun_in == f"/once/here/confirm/{digest(small.space)}"
    assert digest(confirming(parent, to_confirm, 2).space) != digest(small.space)
    assert Path(str(small.begun_in)).name == digest(small.space)
