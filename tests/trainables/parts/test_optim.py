"""Proves that schedules equal PyTorch's own and their formulas, at every step.

pytest tests/trainables
"""

import math
from typing import Any, cast, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from trainables.config import TaskError, build_config
from trainables.parts.optim import (
    OptimConfig,
    SchedulerName,
    cosine_restarts,
    epochs_since_best,
    lr_factor,
    moving_average,
    one_cycle,
    parameter_groups,
    plateau,
    warmup_cosine,
)


def optimizer_of(lr: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates_of(scheduler: LRScheduler, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(float(scheduler.get_last_lr()[0]))
        scheduler.optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("total", "warmup"), [(100, 0), (100, 10), (37, 18), (1, 0), (2, 1)])
def test_warmup_cosine_falls_like_cosine_annealing(total: int, warmup: int) -> None:
    reference = rates_of(CosineAnnealingLR(optimizer_of(), T_max=total - warmup), total - warmup)
    falling = [warmup_cosine(step, total=total, warmup=warmup) for step in range(warmup, total)]
    assert falling == pytest.approx(reference, abs=1e-9)
    rising = [warmup_cosine(step, total=total, warmup=warmup) for step in range(warmup)]
    assert rising == pytest.approx([(step + 1) / (warmup + 1) for step in range(warmup)])


@pytest.mark.parametrize("period", [1, 7, 50])
def test_cosine_restarts_equals_warm_restarts(period: int) -> None:
    reference = rates_of(CosineAnnealingWarmRestarts(optimizer_of(), T_0=period), 3 * period + 2)
    assert [
        cosine_restarts(step, period=period) for step in range(3 * period + 2)
    ] == pytest.approx(reference)


@pytest.mark.parametrize(("total", "warmup"), [(100, 30), (40, 10), (20, 1)])
def test_one_cycle_equals_one_cycle_lr(total: int, warmup: int) -> None:
    scheduler = OneCycleLR(
        optimizer_of(),
        max_lr=1.0,
        total_steps=total + 1,
        pct_start=(warmup + 1) / (total + 1),
        div_factor=25,
        final_div_factor=1e3 / 25,  # its end is a share of its start; ours of its peak
        cycle_momentum=False,
    )
    ours = [one_cycle(step, total=total, warmup=warmup) for step in range(total)]
    assert ours == pytest.approx(rates_of(scheduler, total))
    assert ours[0] == pytest.approx(1 / 25)
    assert one_cycle(total, total=total, warmup=warmup) == pytest.approx(1e-3)


@pytest.mark.parametrize("warmup", [1, 10, 300])
def test_schedules_do_not_jump_where_the_warmup_ends(warmup: int) -> None:
    for schedule in (warmup_cosine, one_cycle):
        factors = [schedule(step, total=1000, warmup=warmup) for step in range(1001)]
        assert max(factors) == factors[warmup] == 1.0
        assert abs(factors[warmup] - factors[warmup - 1]) <= max(1 / warmup, 0.5 * math.pi / warmup)
        assert factors[:warmup] == sorted(factors[:warmup])
        assert factors[warmup:] == sorted(factors[warmup:], reverse=True)
        assert all(0 <= factor <= 1 for factor in factors)


def test_warmup_cosine_ends_at_0() -> None:
    assert warmup_cosine(1000, total=1000, warmup=100) == pytest.approx(0, abs=1e-12)
    assert warmup_cosine(2000, total=1000, warmup=100) == pytest.approx(0, abs=1e-12)
    assert warmup_cosine(999, total=1000, warmup=100) < 1e-5


@pytest.mark.parametrize("scheduler", get_args(SchedulerName))
@pytest.mark.parametrize(("steps_per_epoch", "max_epochs"), [(1, 1), (1, 3), (30, 10), (7, 2)])
def test_every_schedule_is_a_positive_factor_within_the_run(
    scheduler: str, steps_per_epoch: int, max_epochs: int
) -> None:
    optim = build_config(OptimConfig, {"scheduler": scheduler, "restart_epochs": 2})
    factors = [
        lr_factor(optim, step, steps_per_epoch=steps_per_epoch, max_epochs=max_epochs)
        for step in range(steps_per_epoch * max_epochs)
    ]
    assert all(0 < factor <= 1 for factor in factors)


def test_the_schedule_spans_the_full_budget_and_warms_up_at_least_10_steps() -> None:
    def factors(warmup_ratio: float, max_epochs: int) -> list[float]:
        optim = OptimConfig(warmup_ratio=warmup_ratio)
        return [
            lr_factor(optim, s, steps_per_epoch=20, max_epochs=max_epochs)
            for s in range(20 * max_epochs)
        ]

    assert factors(0.2, 10).index(1.0) == 40
    assert factors(0.0, 10).index(1.0) == 10
    assert factors(0.9, 10).index(1.0) == 100, "never more than half of the run"
    assert factors(0.0, 10)[-1] == warmup_cosine(199, total=200, warmup=10)


def test_restarts_are_counted_in_epochs() -> None:
    optim = OptimConfig(scheduler="cosine_restarts", restart_epochs=3)
    peaks = [
        step
        for step in range(90)
        if lr_factor(optim, step, steps_per_epoch=10, max_epochs=9) == 1.0
    ]
    assert peaks == [0, 30, 60]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("patience", "factor"), [(0, 0.5), (1, 0.1), (3, 0.7)])
def test_plateau_equals_reduce_lr_on_plateau(seed: int, patience: int, factor: float) -> None:
    scores = torch.randint(10, (40,), generator=torch.Generator().manual_seed(seed)).tolist()
    optimizer = optimizer_of()
    reference = ReduceLROnPlateau(
        optimizer, "max", factor=factor, patience=patience, threshold=0, eps=0
    )
    for epoch, score in enumerate(scores, start=1):
        reference.step(score)
        assert plateau(scores[:epoch], patience=patience, factor=factor) == pytest.approx(
            optimizer.param_groups[0]["lr"]
        )


def test_epochs_since_best_counts_from_the_first_of_equals() -> None:
    assert [
        epochs_since_best(s) for s in ([], [1.0], [1.0, 2.0], [2.0, 1.0, 2.0], [3.0, 1.0, 2.0])
    ] == [0, 0, 0, 2, 2]


def test_layers_decay_towards_the_input_and_frozen_parameters_are_in_no_group() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    model[3].bias.requires_grad_(False)
    layers = [list(layer.parameters()) for layer in list(model)[:3]]
    optim = OptimConfig(lr=1.0, layer_decay=0.5, head_lr_mult=3.0, weight_decay=0.1)
    groups = parameter_groups(model, optim, head=model[3].parameters(), layers=layers)
    settings = {
        id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
    }
    found = [settings.get(id(parameter)) for parameter in model.parameters()]
    rates = [0.125, 0.25, 0.5]
    assert found == [pair for rate in rates for pair in ((rate, 0.1), (rate, 0.0))] + [
        (3.0, 0.1),
        None,
    ]


def test_the_moving_average_follows_weights_and_buffers_by_its_formula() -> None:
    model = nn.BatchNorm1d(2)
    average = moving_average(model, decay=0.5)
    followed = cast(nn.BatchNorm1d, average.module)
    weights, means = [], []
    for _ in range(20):
        model(torch.randn(8, 2))
        nn.init.normal_(model.weight)
        average.update_parameters(model)
        weights.append(model.weight.tolist()[0])
        means.append(cast(Tensor, model.running_mean).tolist()[0])
    found_means = cast(Tensor, followed.running_mean).tolist()
    for values, found in ((weights, followed.weight.tolist()[0]), (means, found_means[0])):
        expected = values[0]  # the first call copies
        for step, value in enumerate(values[1:], start=1):
            decay = min(0.5, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * value
        assert found == pytest.approx(expected, rel=1e-4)
    assert followed.num_batches_tracked == model.num_batches_tracked


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer_decay", 0.0),
        ("layer_decay", 1.1),
        ("plateau_epochs", -1),
        ("plateau_factor", 1.0),
        ("patience_epochs", -1),
        ("ema_decay", 1.0),
        ("lr", 0.0),
        ("lr", math.nan),
        ("head_lr_mult", 0.0),
        ("weight_decay", -0.1),
        ("warmup_ratio", 1.0),
        ("restart_epochs", 0),
        ("clip_norm", -1.0),
        ("accumulation", 0),
        ("freeze_epochs", -1),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TaskError, match=f"{name} must .*, got {name}="):
        build_config(OptimConfig, {name: value})


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        cast(Any, OptimConfig()).lr = 1.0
