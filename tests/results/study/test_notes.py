"""A trial's notes are kept under the names that studies made before have, and are read again.

pytest tests/results/study/test_notes.py
"""

import math

import pytest
from optuna.trial import TrialState, create_trial

from results.study.notes import Notes, second_epoch

IN_THE_JOURNAL = [
    (Notes(), {}),
    (Notes(start_point=0), {"start": 0}),
    (Notes(reason="", warning="odd data"), {"reason": "", "warning": "odd data"}),
    (Notes(passed_epoch=3), {"passed": 3}),
    (Notes(second_values={1: 2.5, 12: -1.0}), {"second@1": 2.5, "second@12": -1.0}),
]


@pytest.mark.parametrize(("notes", "attrs"), IN_THE_JOURNAL)
def test_notes_have_the_names_that_journals_have_always_had(
    notes: Notes, attrs: dict[str, object]
) -> None:
    assert notes.to_attrs() == attrs
    others = {"dashboard:notes": "another tool's", "second@": 1, "second@two": 2}
    trial = create_trial(state=TrialState.RUNNING, user_attrs={**others, **attrs})
    assert Notes.of(trial) == notes


def test_a_second_value_holds_until_the_next_one() -> None:
    notes = Notes(second_values={2: 0.5, 10: math.pi, 4: 0.25})
    values = [notes.second_at(epoch) for epoch in (0, 1, 2, 3, 4, 9, 10, 99)]
    assert values == [None, None, 0.5, 0.5, 0.25, 0.25, math.pi, math.pi]


@pytest.mark.parametrize(
    ("key", "epoch"), [("second@7", 7), ("second@", None), ("second@-1", None), ("7", None)]
)
def test_only_an_epoch_behind_the_name_makes_it_a_second_value(key: str, epoch: int | None) -> None:
    assert second_epoch(key) == epoch
