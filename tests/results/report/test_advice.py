"""Proves that each warning is given with its number when it is due, and else not.

pytest tests/results/report/test_advice.py
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from results.report.advice import advice
from results.report.facts import Facts
from results.study.description import Description
from results.study.folder import StudyFolder
from results.study.notes import Notes
from results.study.record import StudyRecord
from search_spaces.suggest import distribution
from tests.results.report.studies import space

Value = Callable[[int, int], float]
TRIALS, EPOCHS = 9, 6
MIDDLE = {"optim.lr": 0.003, "model.kind": "plain", "model.dropout": 0.25}


def told(
    value: Value,
    *,
    stopped: Mapping[int, int] | None = None,
    failed: tuple[int, ...] = (),
    origin: Mapping[str, Any] | None = None,
    **changed: Any,
) -> dict[str, str]:
    """Titles and details of the warnings about a study whose values are given by trial and epoch.

    Its first two trials are start points, all have the middle of every range except for what is
    changed.
    """
    ends = dict.fromkeys(range(TRIALS), EPOCHS) | dict(stopped or {})
    searched = space(budget={"trials": TRIALS, "max_epochs": EPOCHS})
    names = {one.name: distribution(one) for one in searched.parameters if one.name in MIDDLE}
    trials: list[FrozenTrial] = []
    for number, end in ends.items():
        values = {epoch: value(number, epoch) for epoch in range(1, end + 1)}
        state = TrialState.PRUNED if end < EPOCHS else TrialState.COMPLETE
        notes = Notes(start_point=number if number < 2 else None)
        if number in failed:
            state, notes = TrialState.FAIL, replace(notes, reason=f"broke {number % 2}")
        made = create_trial(
            state=state,
            value=1.0 if state == TrialState.COMPLETE else None,
            params=MIDDLE | {name.replace("_", "."): one for name, one in changed.items()},
            distributions=names,
            intermediate_values=values,
            user_attrs=notes.to_attrs(),
        )
        made.number = number
        trials.append(made)
    assert searched.objective is not None
    description = Description(
        space=searched, objective=searched.objective, import_paths=(), origin=origin or {}
    )
    record = StudyRecord(
        folder=StudyFolder(Path("none")), description=description, trials=trials, holder=None
    )
    return {one.title: one.detail for one in advice(Facts.of(record))}


def steady(number: int, epoch: int) -> float:
    """Clearly apart, best in the third epoch, the last trial ahead."""
    return 0.1 * number - 0.001 * (epoch - 3) ** 2


def test_a_steady_study_is_left_alone() -> None:
    assert told(steady) == {}


def test_failures_are_counted_with_their_reason() -> None:
    found = told(steady, failed=(2, 3, 4))
    assert (
        found["3 of 9 finished trials failed (33%)"] == "The most frequent reason, 2 times: broke 0"
    )


def test_what_changed_since_the_study_began_is_told() -> None:
    found = told(
        steady,
        origin={
            "changes": [{"at": "now", "changed": ["torch was 1, now 2", "numpy was 3, now 4"]}]
        },
    )
    detail = found["What trains is not the same any more since the study began"]
    assert detail.endswith("comparable: torch was 1, now 2; numpy was 3, now 4.")


def test_values_that_are_not_finite_are_counted() -> None:
    found = told(
        lambda number, epoch: (
            float("nan") if number in (2, 5) and epoch == 2 else steady(number, epoch)
        )
    )
    assert "Trials 2, 5." in found["2 of 9 trials ended with a number that is not finite"]


def test_a_start_point_that_wins_is_told_with_its_lead() -> None:
    found = told(lambda number, epoch: steady(9 - number, epoch))
    assert found["Start point 0, made by hand, is the best"].startswith(
        "0.9000, 0.2000 ahead of the best suggested one. 7 suggested trials found nothing better"
    )


def test_an_edge_is_told_with_its_side() -> None:
    found = told(steady, optim_lr=0.1, model_dropout=0.0)
    assert found["optim.lr of the best is at the upper edge of its range"].startswith(
        "0.1 lies exactly at 0.1."
    )
    assert (
        "widen the range upwards" in found["optim.lr of the best is at the upper edge of its range"]
    )
    assert "fix it at 0" in found["model.dropout of the best is at the lower edge of its range"]
    near = told(steady, optim_lr=1.1e-4)
    assert (
        "within 1% on the logarithmic scale of 0.0001"
        in near["optim.lr of the best is at the lower edge of its range"]
    )


def test_a_peak_above_its_neighbours_is_told() -> None:
    found = told(lambda number, epoch: 0.001 * number + 0.2 * (epoch == 3))
    detail = found["The lead of the best is smaller than its noise"]
    assert "0.2000 better than the median of the 4 epochs around it" in detail
    assert "its lead over trial 7 is 0.001." in detail


def test_noisy_last_epochs_are_told() -> None:
    found = told(lambda number, epoch: 0.001 * number + 0.1 * (epoch % 2))
    assert "move by 0.1000 (median)" in found["The last epochs of the best are noisy"]
    assert "within 0.004:" in found["The last epochs of the best are noisy"]


def test_a_ceiling_is_told() -> None:
    found = told(
        lambda number, epoch: 1.0 if number > 5 and epoch > 2 else steady(number, epoch) / 2
    )
    assert "All reached exactly 1.0000" in found["3 of 9 trials share the best value"]


def test_a_best_that_still_rises_is_told() -> None:
    found = told(lambda number, epoch: number + epoch)
    assert found["The best was still improving when its budget ended"].startswith(
        "9 of 9 trials that ran to the end"
    )


def test_few_trials_that_ran_to_the_end_are_told() -> None:
    found = told(steady, stopped=dict.fromkeys(range(7), 3))
    assert found["Only 2 trials ran to the end"].startswith(
        "2 of 9 were neither stopped early nor failed"
    )


def test_a_best_that_was_stopped_is_told() -> None:
    found = told(steady, stopped={8: 4})
    assert (
        "Its best value is of epoch 3 of 6"
        in found["The best trial was stopped early, after epoch 4"]
    )
