"""Proves that busy slots are counted rightly, and that freeze-thaw search keeps them busy.

pytest tests/benchmarks/test_decisions.py
"""

from itertools import count

import pytest

from benchmarks.decisions import busy_share, busy_until, decision_times_s
from cluster.search.simulator import Simulation, Step


def test_busy_time_is_counted_by_hand() -> None:
    """Slot 0 trains from 0 to 4 and from 6 to 10, slot 1 from 0 to 8 of 8 seconds."""
    steps = [(4, 4, 0), (8, 8, 1), (10, 4, 0)]
    done = Simulation([Step(time_s, s, slot, 0, 1, 0.0) for time_s, s, slot in steps])
    assert busy_until(done, 8, slots=2) == pytest.approx((4 + 2 + 8) / 16)


def test_freeze_thaw_keeps_slots_busy() -> None:
    assert busy_share("freeze_thaw", 8, trials=40) > 0.98


def test_a_driver_that_is_too_slow_leaves_slots_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its decisions takes 15 s, and an epoch a minute: four slots wait for one another."""
    monkeypatch.setattr("cluster.search.simulator.process_time", count(0, 15).__next__)
    assert busy_share("asha", 4, trials=16) < 0.9


@pytest.mark.parametrize("search", ["freeze_thaw", "promotion", "asha"])
def test_decisions_are_timed(search: str) -> None:
    times_s = decision_times_s(search, 20)
    assert len(times_s) == 60 and all(seconds > 0 for seconds in times_s)
