"""Proves that the training loop steps, accumulates, clips and stops as its settings say.

pytest tests/trainables
"""

import copy
import math
import os
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from search_spaces.space import Objective
from trainables.config import TaskError, build_config
from trainables.parts.data import Batch, Splits, TensorSplit
from trainables.parts.optim import OptimConfig, lr_factor
from trainables.parts.tally import Mean
from trainables.task import Report, Task
from trainables.team import Team
from trainables.training import (
    Learner,
    accumulated,
    autocast,
    evaluate,
    new_learner,
    on_device,
    optimizer_step,
    own_rows,
    train,
    train_epoch,
    use_backend,
)

ROWS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class LineData:
    batch_size: int = 8
    """Points in a batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineConfig:
    data: LineData = field(default_factory=LineData)
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(lr=0.1, scheduler="constant"))
    fail_at: float = math.inf
    """The loss is infinite for points above."""


class ErrorTally:
    def __init__(self) -> None:
        self.error = Mean()

    def merge(self, other: "ErrorTally") -> None:
        self.error.merge(other.error)

    def compute(self) -> dict[str, float]:
        return {"error": self.error.compute()}

    def details(self) -> dict[str, Any]:
        return {}


class Line(Task):
    """y = 2 x + 1 + noise, by linear regression."""

    Config = LineConfig
    objective = Objective(name="error", direction="minimize")

    def data(self, config: LineConfig, seed: int) -> Splits:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(ROWS, 3, generator=generator)
        y = 2 * x.sum(1) + 1 + 0.1 * torch.randn(ROWS, generator=generator)
        split = TensorSplit(tensors={"x": x, "y": y})
        return Splits(train=split, validation=split, test=lambda: split)

    def model(self, config: LineConfig, splits: Splits) -> nn.Module:
        return nn.Linear(3, 1)

    def loss(self, config: LineConfig, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        error = (model(batch["x"]).squeeze(-1) - batch["y"]) ** 2
        return torch.where(batch["x"][:, 0] > config.fail_at, torch.inf, error).mean(), error

    def tally(self, config: LineConfig, splits: Splits) -> ErrorTally:
        return ErrorTally()

    def count(self, tally: ErrorTally, outputs: Tensor, batch: Batch) -> None:
        tally.error.add(outputs.mean(), len(outputs))


def config_of(**values: Any) -> LineConfig:
    defaults = {"optim.lr": 0.1, "optim.scheduler": "constant"}
    return build_config(
        LineConfig, defaults | {name.replace("__", "."): v for name, v in values.items()}
    )


def learner_of(task: Task, config: LineConfig) -> Learner:
    return new_learner(task, config, task.data(config, 0), torch.device("cpu"))


def trained(
    config: LineConfig, *, epochs: int = 1, steps: list[list[Tensor]] | None = None
) -> nn.Module:
    """A model after some epochs; the gradients at every step go to `steps`."""
    task = Line()
    splits = task.data(config, 0)
    torch.manual_seed(0)
    learner = learner_of(task, config)
    model = learner.model
    if steps is not None:
        learner.optimizer.register_step_pre_hook(
            lambda *_: steps.append(
                [p.grad.clone() for p in model.parameters() if p.grad is not None]
            )
        )
    for epoch in range(1, epochs + 1):
        torch.manual_seed(epoch)  # the order of rows does not depend on the batch size
        train_epoch(task, config, learner, splits.train, epochs)
        learner.scores.append(0.0)
    return model


# Steps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch_size", "accumulation"),
    [(10, 2), (8, 3)],
    ids=["two halves make a whole", "the last step has fewer"],
)
def test_accumulated_batches_equal_one_whole(batch_size: int, accumulation: int) -> None:
    halves: list[list[Tensor]] = []
    wholes: list[list[Tensor]] = []
    values = {"data__batch_size": batch_size, "optim__accumulation": accumulation}
    accumulating = trained(config_of(**values), epochs=3, steps=halves)
    plain = trained(config_of(data__batch_size=batch_size * accumulation), epochs=3, steps=wholes)
    assert len(halves) == len(wholes) == 6
    for half, whole in zip(halves, wholes, strict=True):
        for a, b in zip(half, whole, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(accumulating.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_last_step_of_an_epoch_averages_the_batches_that_are_left() -> None:
    assert [accumulated(i, 7, 3) for i in range(1, 8)] == [3, 3, 3, 3, 3, 3, 1]
    assert [accumulated(i, 5, 3) for i in range(1, 6)] == [3, 3, 3, 2, 2]
    assert [accumulated(i, 4, 1) for i in range(1, 5)] == [1, 1, 1, 1]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_schedule_moves_by_steps_not_by_batches(accumulation: int) -> None:
    values = {
        "optim__scheduler": "warmup_cosine",
        "optim__accumulation": accumulation,
        "data__batch_size": 8,
    }
    config = config_of(**values)
    steps_per_epoch = math.ceil(5 / accumulation)
    rates = [report.metrics["lr"] for report in train(Line(), config, seed=0, max_epochs=4)]
    expected = [
        0.1
        * lr_factor(
            config.optim, steps_per_epoch * epoch - 1, steps_per_epoch=steps_per_epoch, max_epochs=4
        )
        for epoch in range(1, 5)
    ]
    assert rates == pytest.approx(expected)


def test_gradients_are_clipped_to_their_global_norm() -> None:
    for clip_norm, norms in ((0.5, [0.5] * 5), (1e6, None)):
        seen: list[list[Tensor]] = []
        trained(config_of(optim__clip_norm=clip_norm, optim__lr=1e-6), steps=seen)
        got = [float(torch.cat([g.flatten() for g in grads]).norm()) for grads in seen]
        free: list[list[Tensor]] = []
        trained(config_of(optim__lr=1e-6), steps=free)
        unclipped = [float(torch.cat([g.flatten() for g in grads]).norm()) for grads in free]
        assert min(unclipped) > 0.5
        assert got == pytest.approx(norms or unclipped, rel=1e-4)


def test_a_step_uses_each_groups_peak_rate_and_clears_the_gradients() -> None:
    class WithHead(Line):
        def head(self, model: nn.Module) -> list[nn.Parameter]:
            return [cast(nn.Linear, model).bias]

    learner = learner_of(WithHead(), config_of(optim__head_lr_mult=5.0))
    learner.model(torch.ones(1, 3)).sum().backward()
    optimizer_step(learner, 0.5, clip_norm=0.0)
    assert sorted(group["lr"] for group in learner.optimizer.param_groups) == [0.05, 0.25]
    assert all(parameter.grad is None for parameter in learner.model.parameters())


# Runs ---------------------------------------------------------------------------------------------


def test_training_learns_the_line() -> None:
    *_, last = train(Line(), config_of(), seed=0, max_epochs=60)
    assert last.metrics["error"] < 0.05


def test_the_split_seed_decides_the_data_and_the_seed_the_rest() -> None:
    def first(*, seed: int, split_seed: int = 0) -> Report:
        return next(train(Line(), config_of(), max_epochs=1, seed=seed, split_seed=split_seed))

    base = first(seed=0, split_seed=0).metrics
    assert first(seed=0).metrics == base
    assert first(seed=0, split_seed=1).metrics != base
    assert first(seed=1, split_seed=0).metrics != base


def test_max_epochs_is_the_last_epoch() -> None:
    reports = list(train(Line(), config_of(), seed=0, max_epochs=3))
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert reports[-1].state is not None
    assert (
        list(train(Line(), config_of(), seed=0, max_epochs=3, resume_from=reports[-1].state()))
        == []
    )


class Scripted(Line):
    """Its error after each epoch is given, and its weights count the evaluations."""

    def __init__(self, errors: list[float]):
        self.errors = iter(errors)

    def tally(self, config: LineConfig, splits: Splits) -> ErrorTally:
        tally = ErrorTally()
        tally.error.add(next(self.errors))
        return tally

    def count(self, tally: ErrorTally, outputs: Tensor, batch: Batch) -> None:
        pass


def test_patience_ends_the_training_after_epochs_without_a_better_objective() -> None:
    errors = [5.0, 3.0, 4.0, 3.0, 2.0, 2.5, 2.5, 2.0, 1.0, 0.5]
    reports = list(
        train(Scripted(errors), config_of(optim__patience_epochs=3), seed=0, max_epochs=10)
    )
    assert [report.metrics["error"] for report in reports] == errors[:8]
    assert reports[-1].state is not None
    state = reports[-1].state()
    assert (
        list(
            train(
                Scripted([]),
                config_of(optim__patience_epochs=3),
                seed=0,
                max_epochs=10,
                resume_from=state,
            )
        )
        == []
    )


def test_a_plateau_lowers_the_rate_also_after_a_resume() -> None:
    errors = [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    config = config_of(
        optim__scheduler="plateau", optim__plateau_epochs=1, optim__plateau_factor=0.5
    )
    reports = list(train(Scripted(errors), config, seed=0, max_epochs=8))
    rates = [report.metrics["lr"] for report in reports]
    assert rates == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    first = train(Scripted(errors), config, seed=0, max_epochs=8)
    state = [next(first).state for _ in range(4)][-1]
    assert state is not None
    rest = train(Scripted(errors[4:]), config, seed=0, max_epochs=8, resume_from=state())
    assert [report.metrics["lr"] for report in rest] == rates[4:]


class Worse(Scripted):
    """What is judged gets better, while its loss gets worse with every evaluation."""

    losses = 0.0

    def measure(
        self, config: LineConfig, model: nn.Module, batch: Batch, tally: ErrorTally
    ) -> Tensor | None:
        self.losses += 1
        return torch.tensor(self.losses)


def test_patience_and_plateau_can_follow_the_loss() -> None:
    errors = [5.0, 4.0, 3.0, 2.0, 1.0, 0.5]
    values: dict[str, Any] = {
        "optim__scheduler": "plateau",
        "optim__plateau_epochs": 1,
        "optim__patience_epochs": 4,
    }
    by_objective = list(train(Worse(errors), config_of(**values), seed=0, max_epochs=6))
    assert [report.metrics["lr"] for report in by_objective] == [0.1] * 6
    config = config_of(**values, optim__monitor="validation_loss")
    by_loss = list(train(Worse(errors), config, seed=0, max_epochs=6))
    assert [report.metrics["lr"] for report in by_loss] == pytest.approx([0.1] * 3 + [0.01] * 2)


def test_a_loss_that_is_not_computed_cant_be_followed() -> None:
    training = train(Judged(), config_of(optim__monitor="validation_loss"), seed=0, max_epochs=3)
    with pytest.raises(TaskError, match=r"optim\.monitor must be objective where measure\(\)"):
        next(training)


def test_one_cycle_moves_beta1_against_the_rate() -> None:
    config = config_of(optim__scheduler="one_cycle", optim__cycle_momentum=True)
    reports = train(Line(), config, seed=0, max_epochs=8)
    states = [report.state() for report in reports if report.state]
    groups = [state["optimizer"]["param_groups"][0] for state in states]
    betas = [group["betas"][0] for group in sorted(groups, key=lambda group: group["lr"])]
    assert betas == sorted(betas, reverse=True)
    assert 0.85 <= betas[-1] < 0.86 < 0.94 < betas[0] <= 0.95


def test_the_moving_average_is_what_is_evaluated_kept_and_resumed() -> None:
    config = config_of(optim__ema_decay=0.9)
    reports = list(train(Line(), config, seed=0, max_epochs=3))
    plain = list(train(Line(), config_of(), seed=0, max_epochs=3))
    assert [r.metrics["train_loss"] for r in reports] == [r.metrics["train_loss"] for r in plain]
    assert [r.metrics["error"] for r in reports] != [r.metrics["error"] for r in plain]
    assert reports[-1].state is not None
    state = reports[-1].state()
    kept = Line().model(config, Line().data(config, 0))
    kept.load_state_dict(state["evaluated"])
    splits = Line().data(config, 0)
    assert (
        evaluate(Line(), config, kept, splits, splits.validation)[0]["error"]
        == reports[-1].metrics["error"]
    )
    interrupted = next(train(Line(), config, seed=0, max_epochs=3)).state
    assert interrupted is not None
    rest = list(train(Line(), config, seed=0, max_epochs=3, resume_from=interrupted()))
    assert [r.metrics for r in rest] == [r.metrics for r in reports[1:]]


def test_what_the_task_freezes_stays_frozen_when_the_rest_thaws() -> None:
    class Half(Line):
        def model(self, config: LineConfig, splits: Splits) -> nn.Module:
            model = nn.Linear(3, 1)
            model.weight.requires_grad_(False)
            return model

        def head(self, model: nn.Module) -> list[nn.Parameter]:
            return [cast(nn.Linear, model).bias]

    learner = learner_of(Half(), config_of(optim__freeze_epochs=1))
    before = cast(nn.Linear, learner.model).weight.clone()
    splits = Half().data(config_of(), 0)
    for _ in range(3):
        train_epoch(Half(), config_of(optim__freeze_epochs=1), learner, splits.train, 3)
        learner.scores.append(0.0)
    assert torch.equal(cast(nn.Linear, learner.model).weight, before)


# What a task may say of its training -------------------------------------------------------------


def every(epochs: int, **values: Any) -> LineConfig:
    return config_of(optim__evaluate_every=epochs, **values)


def test_epochs_without_an_evaluation_change_nothing_in_those_that_have_one() -> None:
    values: dict[str, Any] = {"optim__scheduler": "warmup_cosine", "optim__ema_decay": 0.9}
    plain = list(train(Line(), config_of(**values), seed=0, max_epochs=8))
    reports = list(train(Line(), every(3, **values), seed=0, max_epochs=8))
    assert [report.epoch for report in reports] == [3, 6, 8], "the last is always evaluated"
    assert [report.metrics for report in reports] == [plain[i].metrics for i in (2, 5, 7)]


@pytest.mark.parametrize("interrupted_after", [1, 2])
def test_a_resume_gives_the_same_evaluations(interrupted_after: int) -> None:
    config = every(3, optim__scheduler="plateau", optim__plateau_epochs=0)
    whole = list(train(Line(), config, seed=0, max_epochs=8))
    training = train(Line(), config, seed=0, max_epochs=8)
    state = [next(training).state for _ in range(interrupted_after)][-1]
    assert state is not None
    rest = list(train(Line(), config, seed=0, max_epochs=8, resume_from=state()))
    assert [(r.epoch, r.metrics) for r in rest] == [
        (r.epoch, r.metrics) for r in whole[interrupted_after:]
    ]


def test_patience_counts_epochs_also_those_without_an_evaluation() -> None:
    errors = [5.0, 3.0, 4.0, 4.0, 4.0]
    config = every(2, optim__patience_epochs=3)
    reports = list(train(Scripted(errors), config, seed=0, max_epochs=20))
    assert [report.epoch for report in reports] == [2, 4, 6, 8]


def test_a_training_that_breaks_between_two_evaluations_ends_there() -> None:
    class BreaksInTheThird(Line):
        epochs = 0.0

        def augment(self, config: LineConfig, batch: Batch) -> Batch:
            self.epochs += len(batch["x"]) / ROWS
            return {**batch, "y": batch["y"] * (math.nan if self.epochs > 2.5 else 1)}

    (report,) = train(BreaksInTheThird(), every(5), seed=0, max_epochs=10)
    assert report.epoch == 3
    assert math.isnan(report.metrics["error"])


class Judged(Line):
    """Judged by rounded predictions, without a loss."""

    def count(self, tally: ErrorTally, outputs: Tensor, batch: Batch) -> None:
        raise AssertionError("`measure` takes its place")

    def measure(
        self, config: LineConfig, model: nn.Module, batch: Batch, tally: ErrorTally
    ) -> Tensor | None:
        error = (model(batch["x"]).squeeze(-1).round() - batch["y"]).abs()
        tally.error.add(error.mean(), len(error))
        return None


def test_a_task_may_judge_by_something_else_than_its_loss() -> None:
    *_, report = train(Judged(), config_of(), seed=0, max_epochs=30)
    assert report.metrics.keys() == {"error", "train_loss", "lr"}
    splits, model = Line().data(config_of(), 0), nn.Linear(3, 1)
    assert report.state is not None
    model.load_state_dict(report.state()["evaluated"])
    tensors = splits.validation.tensors
    by_hand = (model(tensors["x"])[:, 0].round() - tensors["y"]).abs().mean()
    assert report.metrics["error"] == pytest.approx(by_hand.item(), rel=1e-5)


class OneOfTwo(Team):
    """One of two workers, whose counts the other's are added to by hand."""

    size = 2

    def __init__(self, rank: int, others: list[Any]):
        self.rank, self.others, self.own = rank, iter(others), list[Any]()

    def merged(self, counts: Any) -> Any:
        self.own.append(copy.deepcopy(counts))
        if (other := next(self.others, None)) is not None:
            counts.merge(other)
        return counts


@pytest.mark.parametrize("task_class", [Line, Judged])
def test_what_two_workers_measure_is_added_up(task_class: type[Line]) -> None:
    task, config = task_class(), config_of(data__batch_size=13)  # The last batch has one row.
    splits = task.data(config, 0)
    model = task.model(config, splits)
    second = OneOfTwo(1, [])
    evaluate(task, config, model, splits, splits.validation, second)
    both, _ = evaluate(task, config, model, splits, splits.validation, OneOfTwo(0, second.own))
    alone, _ = evaluate(task, config, model, splits, splits.validation)
    assert both == pytest.approx(alone, rel=1e-5)


def test_workers_share_out_the_batches_that_one_would_judge() -> None:
    seen: list[int] = []

    class Seeing(Judged):
        def measure(
            self, config: LineConfig, model: nn.Module, batch: Batch, tally: ErrorTally
        ) -> Tensor | None:
            seen.append(len(batch["x"]))
            return super().measure(config, model, batch, tally)

    task, config = Seeing(), config_of(data__batch_size=13)
    splits = task.data(config, 0)
    for rank in (0, 1):
        team = OneOfTwo(rank, [])
        evaluate(task, config, task.model(config, splits), splits, splits.validation, team)
    assert seen == [13, 13, 13, 1]


@pytest.mark.parametrize(
    ("rows", "shares"),
    [
        ([4, 7, 8, 9], [([4, 9], 1.5), ([7], 0.75), ([8], 0.75)]),
        ([4, 7], [([4, 7], 1.0)] * 3),
    ],
    ids=["a share each", "fewer rows than workers"],
)
def test_weighed_shares_make_the_mean_over_a_batch(
    rows: list[int], shares: list[tuple[list[int], float]]
) -> None:
    found = [own_rows(torch.tensor(rows), OneOfThree(rank)) for rank in range(3)]
    assert [(own.tolist(), weight) for own, weight in found] == shares
    means = [float(own.float().mean()) * weight for own, weight in found]
    assert sum(means) / 3 == pytest.approx(sum(rows) / len(rows))


class OneOfThree(Team):
    size = 3

    def __init__(self, rank: int):
        self.rank = rank


def test_an_objective_that_is_not_finite_ends_a_training_without_validation_loss() -> None:
    class Overflows(Judged):
        def measure(
            self, config: LineConfig, model: nn.Module, batch: Batch, tally: ErrorTally
        ) -> Tensor | None:
            tally.error.add(math.inf)
            return None

    (report,) = train(Overflows(), config_of(), seed=0, max_epochs=3)
    assert math.isnan(report.metrics["error"])
    assert report.state is None


@pytest.mark.parametrize("by_task", [True, False], ids=["named by the task", "by the model"])
def test_named_parameters_are_not_decayed(by_task: bool) -> None:
    class Named(Line):
        def model(self, config: LineConfig, splits: Splits) -> nn.Module:
            model = nn.Linear(3, 1)
            if not by_task:
                cast(Any, model).no_weight_decay = lambda: {"weight"}
            return model

        def no_weight_decay(self, model: nn.Module) -> set[str]:
            return {"wei*"} if by_task else super().no_weight_decay(model)

    def decays(task: Task) -> set[float]:
        groups = learner_of(task, config_of(optim__weight_decay=0.3)).optimizer.param_groups
        return {group["weight_decay"] for group in groups}

    assert decays(Named()) == {0.0}
    assert decays(Line()) == {0.0, 0.3}


class Warned(Line):
    """Data of which something was left out."""

    def data(self, config: LineConfig, seed: int) -> Splits:
        return replace(super().data(config, seed), warning="data: left out 1 broken link")


def test_what_the_data_warn_of_is_told_by_the_first_report_of_a_trial_alone() -> None:
    reports = list(train(Warned(), config_of(), seed=0, max_epochs=3))
    assert [report.warning for report in reports] == ["data: left out 1 broken link", None, None]
    state = next(train(Warned(), config_of(), seed=0, max_epochs=3)).state
    assert state is not None
    resumed = list(train(Warned(), config_of(), seed=0, max_epochs=3, resume_from=state()))
    assert [report.warning for report in resumed] == [None, None]
    (broken,) = train(Warned(), config_of(fail_at=-math.inf), seed=0, max_epochs=3)
    assert broken.warning == "data: left out 1 broken link"


def test_augmentation_sees_training_batches_alone() -> None:
    seen: list[int] = []

    class Augmenting(Line):
        def augment(self, config: LineConfig, batch: Batch) -> Batch:
            seen.append(len(batch["x"]))
            return {**batch, "y": batch["y"] * 0}

    (report,) = train(Augmenting(), config_of(), seed=0, max_epochs=1)
    assert sum(seen) == ROWS
    assert report.metrics["train_loss"] < report.metrics["error"]


@pytest.mark.slow
def test_a_compiled_model_gives_the_same_curve() -> None:
    compiled = list(
        train(Line(), config_of(optim__compile=True, data__batch_size=ROWS), seed=0, max_epochs=2)
    )
    plain = list(train(Line(), config_of(data__batch_size=ROWS), seed=0, max_epochs=2))
    for a, b in zip(compiled, plain, strict=True):
        assert a.metrics == pytest.approx(b.metrics, rel=1e-4)


def test_an_infinite_loss_ends_the_training_within_the_epoch() -> None:
    calls = 0

    class Counting(Line):
        def loss(self, config: LineConfig, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
            nonlocal calls
            calls += 1
            return super().loss(config, model, batch)

        def data(self, config: LineConfig, seed: int) -> Splits:
            split = TensorSplit(tensors={"x": torch.ones(1000, 3), "y": torch.ones(1000)})
            return Splits(train=split, validation=split, test=lambda: split)

    reports = list(
        train(Counting(), config_of(fail_at=0.0, data__batch_size=1), seed=0, max_epochs=3)
    )
    assert [report.epoch for report in reports] == [1]
    assert math.isnan(reports[0].metrics["error"])
    assert calls == 50, "no more than 50 steps are wasted"


def test_a_validation_loss_that_is_not_finite_ends_the_training() -> None:
    class BrokenByItsLastStep(Line):
        def loss(self, config: LineConfig, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
            loss, error = super().loss(config, model, batch)
            return (loss if model.training else loss * math.nan), torch.zeros_like(error)

    (report,) = train(BrokenByItsLastStep(), config_of(), seed=0, max_epochs=3)
    assert math.isfinite(report.metrics["train_loss"])
    assert math.isnan(report.metrics["error"]), (
        "the error that was counted is 0: it must not look like the best"
    )
    assert report.state is None


def test_validation_is_weighted_by_rows() -> None:
    task, config = Line(), config_of(data__batch_size=ROWS - 1)
    splits = task.data(config, 0)
    model = task.model(config, splits)
    metrics, _ = evaluate(task, config, model, splits, splits.validation)
    whole, _ = task.loss(config, model, splits.validation.tensors)
    assert metrics["error"] == metrics["validation_loss"] == pytest.approx(whole.item(), rel=1e-5)
    assert not model.training


# How a device computes ----------------------------------------------------------------------------


def test_on_the_cpu_there_is_no_autocast() -> None:
    model = nn.Linear(2, 2)
    with autocast(model, True):
        assert model(torch.ones(1, 2)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_where_a_device_has_a_shorter_type_the_loss_is_computed_in_it(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[torch.dtype] = set()

    class Watching(Line):
        def loss(self, config: LineConfig, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
            seen.add(model(batch["x"]).dtype)
            return super().loss(config, model, batch)

    def errors(task: Task, **values: Any) -> list[float]:
        reports = train(task, config_of(**values), seed=0, max_epochs=30)
        return [report.metrics["error"] for report in reports]

    plain = errors(Line())
    monkeypatch.setattr("trainables.training.amp_dtype", lambda device: dtype)
    mixed = errors(Watching())
    assert seen == {dtype}
    assert mixed != plain
    assert mixed[-1] == pytest.approx(plain[-1], abs=0.02)
    seen.clear()
    assert errors(Watching(), optim__amp=False) == plain
    assert seen == {torch.float32}


def test_in_float16_a_step_that_overflows_is_left_out_and_the_scale_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainables.training.amp_dtype", lambda device: torch.float16)
    config = config_of(optim__clip_norm=1.0)
    learner = learner_of(Line(), config)
    before = [parameter.clone() for parameter in learner.model.parameters()]
    scale = learner.scaler.get_scale()
    learner.scaler.scale(learner.model(torch.full((1, 3), torch.inf)).sum()).backward()
    optimizer_step(learner, 1.0, clip_norm=1.0)
    assert all(map(torch.equal, before, learner.model.parameters()))
    assert learner.scaler.get_scale() == scale / 2
    again = learner_of(Line(), config)
    again.load(copy.deepcopy(learner.state()))
    assert again.scaler.get_scale() == scale / 2


def test_a_gpu_computes_as_the_settings_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    called: dict[str, Any] = {}
    for name in ("set_float32_matmul_precision", "use_deterministic_algorithms"):
        monkeypatch.setattr(torch, name, lambda value, name=name: called.update({name: value}))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    use_backend(config_of(optim__tf32=True, optim__deterministic=True).optim, torch.device("cpu"))
    use_backend(config_of().optim, torch.device("cuda"))
    assert called == {}, "not on the CPU, nor unasked"
    use_backend(config_of(optim__tf32=True, optim__deterministic=True).optim, torch.device("cuda"))
    assert called == {"set_float32_matmul_precision": "high", "use_deterministic_algorithms": True}
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.backends.cudnn.benchmark
    use_backend(config_of(optim__cudnn_benchmark=True).optim, torch.device("cuda"))
    assert torch.backends.cudnn.benchmark


class Moved(Splits):
    """Splits that tell where they were moved to."""

    def moved(self, device: torch.device) -> Any:
        return str(device)


@pytest.mark.parametrize(
    ("device", "free_bytes", "fits"),
    [("cuda", 1280, True), ("cuda", 1279, False), ("cpu", 10**9, False)],
)
def test_data_are_moved_to_a_gpu_of_which_they_fill_at_most_half(
    device: str, free_bytes: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = TensorSplit(tensors={"x": torch.zeros(80), "label": torch.zeros(0)})
    splits = Moved(train=half, validation=half, test=lambda: half)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free_bytes, 10**12))
    assert on_device(splits, torch.device(device)) == ("cuda" if fits else splits)


class Distributed(Team):
    """Counts what it is asked to wrap."""

    def __init__(self) -> None:
        self.wrapped: list[tuple[int, bool]] = []

    def distributed(self, step: nn.Module, *, all_used: bool = False) -> nn.Module:
        learns = sum(parameter.requires_grad for parameter in step.parameters())
        self.wrapped.append((learns, all_used))
        return step


@pytest.mark.parametrize(("freeze_epochs", "learns"), [(0, [2]), (2, [1, 2])])
def test_the_step_is_wrapped_once_and_again_when_more_of_it_learns(
    freeze_epochs: int, learns: list[int]
) -> None:
    class WithHead(Line):
        uses_all_parameters = True

        def head(self, model: nn.Module) -> list[nn.Parameter]:
            return [cast(nn.Linear, model).bias]

    team = Distributed()
    config = config_of(optim__freeze_epochs=freeze_epochs)
    list(train(WithHead(), config, seed=0, max_epochs=4, team=team))
    assert team.wrapped == [(count, True) for count in learns]
