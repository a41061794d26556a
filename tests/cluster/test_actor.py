"""Proves what an actor sends to Tune for each way that a step can go.

pytest tests/cluster/test_actor.py
"""

from cluster.actor import tune_result
from cluster.trainer import Outcome
from search_spaces import read_objective
from trainables.task import Report

ONE = read_objective({"maximize": "accuracy"})
TWO = read_objective([{"maximize": "accuracy"}, {"minimize": "size"}])
METRICS = {"accuracy": 0.5, "size": 3.0, "loss": 1.0}


def test_an_epoch_is_told_with_what_trials_are_compared_by() -> None:
    outcome = Outcome(report=Report(epoch=2, metrics=METRICS))
    assert tune_result(outcome, ONE) == {"epoch": 2, "value": 0.5}


def test_a_warning_goes_with_its_epoch() -> None:
    outcome = Outcome(report=Report(epoch=1, metrics=METRICS, warning="2 files left out"))
    assert tune_result(outcome, ONE) == {"epoch": 1, "value": 0.5, "warning": "2 files left out"}


def test_of_two_objectives_both_are_told() -> None:
    outcome = Outcome(report=Report(epoch=1, metrics=METRICS))
    assert tune_result(outcome, TWO) == {"epoch": 1, "value": 0.5, "second": 3.0}


def test_an_end_of_any_kind_is_told_by_its_own_word() -> None:
    assert tune_result(Outcome(failed="ValueError", out_of_memory=True), ONE) == {
        "failed": "ValueError",
        "out_of_memory": True,
    }
    assert tune_result(Outcome(halt="no room"), ONE) == {"halt": "no room"}
    assert tune_result(Outcome(), ONE) == {"ended": True}
