"""Proves that what a function yields is taken for what it means, or refused by name.

pytest tests/trainables
"""

import math
import random
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search_spaces import Objective
from trainables.config import TaskError
from trainables.task import Report
from trainables.user_code.function import FROM_ZERO, MAX_LEFT_OUT, function_reports

LOSS = Objective(name="loss", direction="minimize")
TWO = Objective(
    name="loss", direction="minimize", second=Objective(name="size", direction="minimize")
)


def reports_of(
    lines: Any, *, past: list[Report] | None = None, objective: Objective = LOSS
) -> list[Report]:
    def train(config: dict[str, Any]) -> Any:
        yield from lines

    return run(train, past=past, objective=objective)


def run(
    function: Any, *, past: list[Report] | None = None, objective: Objective = LOSS, **values: Any
) -> list[Report]:
    context = {"seed": 5, "folder": Path("there")}
    return list(
        function_reports(
            function,
            values,
            task="mine:train",
            objective=objective,
            context=context,
            past=past or [],
        )
    )


def epochs_of(*epochs: Any, past: list[Report] | None = None) -> list[Report]:
    return reports_of([{"epoch": epoch, "loss": i} for i, epoch in enumerate(epochs)], past=past)


def numbers(reports: list[Report]) -> list[int]:
    return [report.epoch for report in reports]


# Metrics


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array([0.25]), 0.25),
        (np.array(0.25), 0.25),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (torch.tensor([[2]]), 2.0),
        (Fraction(1, 4), 0.25),
        (Decimal("0.5"), 0.5),
        (-math.inf, -math.inf),
    ],
)
def test_whatever_holds_one_number_is_a_number(value: Any, expected: float) -> None:
    (report,) = reports_of([{"loss": 1, "beside": value}])
    assert report.metrics == {"loss": 1.0, "beside": expected}
    assert all(type(number) is float for number in report.metrics.values())


class Hostile:
    def __float__(self) -> float:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (None, "None"),
        ("0.5", "'0.5'"),
        ([0.1, 0.2], "[0.1, 0.2]"),
        ({"acc": 1.0}, "{'acc': 1.0}"),
        (np.array([1.0, 2.0]), "array([1., 2.])"),
        (torch.tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (10**400, "1000"),
        (1j, "1j"),
        (b"1", "b'1'"),
        (Hostile(), "Hostile"),
    ],
)
def test_a_metric_that_is_no_number_is_named_with_its_value(value: Any, got: str) -> None:
    with pytest.raises(TaskError) as caught:
        reports_of([{"loss": 1, "per_class": value}])
    assert str(caught.value).startswith("per_class must be a number, got ")
    assert got in str(caught.value)


@pytest.mark.parametrize("name", [0, None, ("a", "b"), "", "\udc80"])
def test_a_metrics_name_is_text(name: Any) -> None:
    with pytest.raises(TaskError, match="a metric's name must be text, got "):
        reports_of([{"loss": 1, name: 0.5}])


@pytest.mark.parametrize("line", [{"loss": 1}, {"size": 1}, {}])
def test_both_of_two_objectives_must_be_there(line: dict[str, float]) -> None:
    with pytest.raises(TaskError, match=r"must yield the objective '(loss|size)', got "):
        reports_of([line], objective=TWO)


@pytest.mark.parametrize("returned", [None, 0.5, {"loss": 0.5}, [{"loss": 1.0}]])
def test_what_returns_is_no_generator(returned: Any) -> None:
    with pytest.raises(TaskError, match="must be a generator: yield a dict after each epoch, got "):
        run(lambda config: returned)


def test_a_function_may_hand_on_another_iterator() -> None:
    assert numbers(run(lambda config: iter([{"loss": 1}, {"loss": 2}]))) == [1, 2]


# Epochs


@pytest.mark.parametrize(
    "told", [(1, 2, 3), (1.0, np.int64(2), torch.tensor(3)), (None, None, None)]
)
def test_epochs_are_counted_from_1(told: tuple[Any, ...]) -> None:
    assert numbers(epochs_of(*told)) == [1, 2, 3]


def test_epochs_from_0_are_understood_also_after_an_interruption() -> None:
    reports = epochs_of(0, 1, 2)
    assert numbers(reports) == [1, 2, 3]
    assert not any(report.warning for report in reports)
    assert numbers(epochs_of(3, 4, past=reports)) == [4, 5]
    assert reports[-1].details == FROM_ZERO


@pytest.mark.parametrize("told", [-1, 0.5, math.nan, math.inf, 2**54, "2", [1]])
def test_an_epoch_that_is_none_is_refused(told: Any) -> None:
    with pytest.raises(TaskError, match=r"epoch must be a (whole )?number"):
        epochs_of(told)


@pytest.mark.parametrize(
    ("told", "kept", "warning"),
    [
        ((1, 1, 2), [1, 2], "epoch 1 was reported again"),
        ((2, 1, 3), [2, 3], "epoch 1 was reported after epoch 2"),
        ((1, 2, 0), [1, 2, 2], "epoch 0 was reported after epoch 2"),
        ((1, 2, 2), [1, 2, 2], "epoch 2 was reported again"),
    ],
)
def test_an_epoch_that_repeats_or_goes_back_is_told(
    told: tuple[int, ...], kept: list[int], warning: str
) -> None:
    reports = epochs_of(*told)
    assert numbers(reports) == kept
    assert [report.warning for report in reports if report.warning] == [
        f"{warning} and is left out; each epoch is reported once, in order"
    ]
    values = {report.epoch: report.metrics["loss"] for report in reports}
    assert values == {epoch: float(told.index(epoch)) for epoch in values}, (
        "the first report of an epoch counts"
    )


def test_a_function_that_never_gets_on_is_ended() -> None:
    with pytest.raises(TaskError, match=f"{MAX_LEFT_OUT} reports in a row were of past epochs"):
        reports_of({"epoch": 1, "loss": 0} for _ in iter(int, 1))


def test_a_resumed_function_may_report_again_what_it_reported() -> None:
    past = epochs_of(1, 2, 3)
    reports = epochs_of(2, 3, 4, past=past)
    assert numbers(reports) == [4]
    assert reports[0].warning is None
    assert numbers(reports_of([{"loss": 1}] * 5, past=past)) == [4, 5], (
        "whoever starts over counts from 1 again"
    )


def test_an_epoch_that_an_interruption_lost_is_told() -> None:
    past = epochs_of(1, 2)
    (report,) = epochs_of(4, past=past)
    assert report.warning == (
        "epoch 3 went unreported when the trial was interrupted: save a checkpoint after the "
        "`yield`, not before it"
    )
    every_second = epochs_of(2, 4)
    assert [report.warning for report in epochs_of(6, 8, past=every_second)] == [None, None]


# What a function is given


def test_a_functions_randomness_follows_from_its_seed() -> None:
    def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
        for _ in range(2):
            yield {
                "loss": random.random(),
                "numpy": float(np.random.rand()),
                "torch": float(torch.rand(())),
            }

    first, second = run(train), run(train)
    assert [report.metrics for report in first] == [report.metrics for report in second]
    assert first[0].metrics != first[1].metrics


def test_a_function_may_do_what_it_likes_with_its_configuration() -> None:
    def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
        config.pop("lr")
        config["layers"].append(3)
        yield {"loss": len(config["layers"])}

    layers = [1, 2]
    assert [run(train, lr=1, layers=layers)[0].metrics["loss"] for _ in range(2)] == [3.0, 3.0]
    assert layers == [1, 2]
