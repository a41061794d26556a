"""Proves that a search gets the nearest recorded curve: pytest tests/cluster/search."""

import math
from pathlib import Path
from typing import Any

import pytest

from cluster.search.recorded import (
    STORED,
    Recorded,
    Recording,
    read_recording,
    stored_curves,
    write_table,
)
from cluster.search.simulator import Curve
from results.study.folder import StudyError, StudyFolder
from search_spaces import load_space
from tests.cluster.search.toy_study import toy_objective, toy_space
from tests.results.small_study import drive, open_study, small_space

SPACE = toy_space(start=[], budget={"max_epochs": 4})
STEADY = {"lr": 1e-3, "kind": "steady", "momentum": 0.0, "width": 8}


def trained(value: float, epochs: int = 4, ended: bool = False, **params: Any) -> Recorded:
    """A training whose every epoch has this value and takes two seconds."""
    return Recorded(params={**STEADY, **params}, curve=[(value, 2.0)] * epochs, ended=ended)


def recording(*trainings: Recorded) -> Recording:
    return Recording(space=SPACE, objective=toy_objective(SPACE), trainings=trainings)


def value_of(curve: Curve) -> float:
    return curve[-1][0]


def test_the_nearest_is_given_and_none_twice_before_all_were() -> None:
    curve_of = recording(trained(1, lr=1e-4), trained(2, lr=1e-3), trained(3, lr=1e-1)).begin(SPACE)
    asked = [curve_of({**STEADY, "lr": 2e-3}) for _ in range(4)]
    assert [value_of(curve) for curve in asked] == [2, 1, 3, 2]


def test_another_choice_is_as_far_as_a_whole_range_and_what_takes_no_part_counts_nothing() -> None:
    trainings = recording(trained(1, kind="ending"), trained(2, lr=1e-1, width=64, momentum=0.9))
    assert value_of(trainings.begin(SPACE)(STEADY)) == 1, "1 against 0.44 + 0.18 + 0.81"
    ending = {"lr": 1e-3, "kind": "ending", "width": 8}
    assert value_of(trainings.begin(SPACE)(ending)) == 1
    only = recording(trained(1, momentum=0.9), trained(2, kind="fading", momentum=0.0))
    assert value_of(only.begin(SPACE)(STEADY)) == 1


def test_a_curve_that_was_cut_off_goes_on_as_it_was_and_one_that_ended_does_not() -> None:
    cut, ended = trained(1, epochs=2), trained(1, epochs=2, ended=True)
    assert recording(cut).begin(SPACE)(STEADY) == [(1, 2.0)] * 4
    assert recording(ended).begin(SPACE)(STEADY) == [(1, 2.0)] * 2
    assert recording(trained(1, epochs=9)).begin(SPACE)(STEADY) == [(1, 2.0)] * 4


def test_a_table_reads_back_equal(tmp_path: Path) -> None:
    table = tmp_path / "a table.parquet"
    written = recording(trained(0.1), trained(math.inf, epochs=0, ended=True, kind="ending"))
    write_table(table, written, "a command")
    read = read_recording(table)
    assert list(read.trainings) == list(written.trainings)
    assert (read.space.to_dict(), read.objective) == (SPACE.to_dict(), written.objective)


def test_a_former_study_is_read_from_its_folder(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path))
    read = read_recording(tmp_path)
    assert read.objective == study.objective
    complete = next(each for each in read.trainings if each.params == {"x": 8})
    values = [value for value, _ in complete.curve]
    assert (values, complete.ended) == (
        list(study.trials()[3].intermediate_values.values()),
        True,
    )
    assert all(seconds >= 0 for _, seconds in complete.curve)
    stopped = next(each for each in read.trainings if each.params == {"x": 3})
    assert (len(stopped.curve), stopped.ended) == (1, False)


def test_what_is_no_recording_of_the_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="the curves must be of tests"):
        recording(trained(1)).begin(small_space())
    with pytest.raises(StudyError, match="must share parameters"):
        Recording(
            space=SPACE,
            objective=toy_objective(SPACE),
            trainings=[Recorded(params={}, curve=[], ended=True)],
        ).begin(SPACE)
    (tmp_path / "no.parquet").write_bytes(b"nothing")
    for path in (tmp_path / "no.parquet", tmp_path / "absent.parquet"):
        with pytest.raises(StudyError, match="must be a study's folder or a table of curves"):
            read_recording(path)
    write_table(tmp_path / "empty.parquet", recording(), "a command")
    with pytest.raises(StudyError, match="at least one training"):
        read_recording(tmp_path / "empty.parquet")
    with pytest.raises(StudyError):
        read_recording(StudyFolder(tmp_path).path)


@pytest.mark.parametrize("table", sorted(STORED.glob("*.parquet")), ids=lambda table: table.stem)
def test_each_stored_table_is_of_a_built_in_space_as_it_is(table: Path) -> None:
    space = load_space(table.stem)
    stored = read_recording(table)
    assert stored_curves(space) == table
    assert stored.space.parameters == space.parameters
    assert dict(stored.space.fixed) == dict(space.fixed)
    assert all(training.curve for training in stored.trainings)
    assert table.stat().st_size < 2**21
