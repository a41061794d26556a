"""Proves that every state has one name, and that nothing is called running that does not run.

pytest tests/results/test_states.py
"""

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

from results.states import FINISHED, STATE_NAMES, state_name
from results.study.folder import StudyFolder
from results.study.record import StudyRecord
from tests.results.small_study import described, small_space


@pytest.mark.parametrize("holder", [None, {"pid": 1, "host": "here"}], ids=["dead", "running"])
@pytest.mark.parametrize("state", TrialState)
def test_a_state_is_called_what_it_is(holder: dict[str, Any] | None, state: TrialState) -> None:
    record = StudyRecord(
        folder=StudyFolder(Path("s")),
        description=described(small_space()),
        trials=[],
        holder=holder,
    )
    trial = create_trial(state=state, value=1.0 if state == TrialState.COMPLETE else None)
    name = state_name(trial, record)
    assert (name in FINISHED) == state.is_finished()
    assert (name == "running") == (state == TrialState.RUNNING and holder is not None)
    assert len({*STATE_NAMES.values()}) == len(TrialState)
