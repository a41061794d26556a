"""Proves that optimizers are the named ones, and schedules PyTorch's own, at every step.

pytest tests/trainables
"""

import math
from copy import deepcopy
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
    StepLR,
)
from torch.optim.swa_utils import AveragedModel

from trainables.config import TaskError, build_config
from trainables.parts.optim import (
    NOT_EVALUATED,
    OPTIMIZER_SETTINGS,
    MovingAverage,
    OptimConfig,
    OptimizerName,
    SchedulerName,
    cosine_restarts,
    lr_factor,
    make_optimizer,
    momentum_of,
    one_cycle,
    out_of_patience,
    parameter_groups,
    plateau,
    set_momentum,
    step_decay,
    unused_settings,
    warmup_cosine,
    warmup_steps,
)

OPTIMIZERS = get_args(OptimizerName)


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


@pytest.mark.parametrize(("growth", "end"), [(1, 0.0), (1, 0.3), (2, 0.01), (3, 0.0)])
@pytest.mark.parametrize("period", [1, 7, 10])
def test_cosine_restarts_equals_warm_restarts(period: int, growth: int, end: float) -> None:
    steps = period * (1 + growth + growth**2) + 2
    reference = rates_of(
        CosineAnnealingWarmRestarts(optimizer_of(), T_0=period, T_mult=growth, eta_min=end), steps
    )
    ours = [cosine_restarts(step, period=period, growth=growth, end=end) for step in range(steps)]
    assert ours == pytest.approx(reference)


@pytest.mark.parametrize("scheduler", ["cosine", "warmup_cosine", "cosine_restarts"])
def test_a_cosine_ends_at_the_lowest_rate(scheduler: SchedulerName) -> None:
    optim = OptimConfig(scheduler=scheduler, lr=1e-3, min_lr=1e-4, restart_epochs=10)
    rates = [1e-3 * lr_factor(optim, s, steps_per_epoch=100, max_epochs=10) for s in range(1000)]
    assert max(rates) == pytest.approx(1e-3)
    assert 1e-4 < rates[-1] < 1.0001e-4


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


@pytest.mark.parametrize("ratio", [0.1, 0.3])
@pytest.mark.parametrize(("name", "setting"), [("sgd", "momentum"), ("adamw", "betas")])
def test_a_cycled_momentum_is_one_cycle_lrs(
    ratio: float, name: OptimizerName, setting: str
) -> None:
    optim = OptimConfig(
        optimizer=name, scheduler="one_cycle", cycle_momentum=True, warmup_ratio=ratio
    )
    ours, theirs = (
        make_optimizer(optim, parameter_groups(nn.Linear(1, 1), optim)) for _ in range(2)
    )
    share = (warmup_steps(optim, 100) + 1) / 101
    scheduler = OneCycleLR(theirs, max_lr=1.0, total_steps=101, pct_start=share)
    for step in range(100):
        momentum = momentum_of(optim, step, steps_per_epoch=20, max_epochs=5)
        assert momentum is not None
        set_momentum(ours, momentum)
        for own, reference in zip(ours.param_groups, theirs.param_groups, strict=True):
            assert own[setting] == pytest.approx(reference[setting])
        theirs.step()
        scheduler.step()


def test_momentum_stays_where_nothing_cycles_it() -> None:
    for optim in (OptimConfig(scheduler="one_cycle"), OptimConfig(cycle_momentum=True)):
        assert momentum_of(optim, 3, steps_per_epoch=10, max_epochs=3) is None


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


def test_plateau_lowers_the_rate_at_evaluations_alone_and_counts_all_epochs() -> None:
    scores = [2.0, NOT_EVALUATED, NOT_EVALUATED, 1.0, NOT_EVALUATED, NOT_EVALUATED, 1.0, 3.0]
    rates = [plateau(scores[:end], patience=2, factor=0.5) for end in range(1, len(scores) + 1)]
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("scores", "epochs_since_best"),
    [
        ([1.0], 0),
        ([1.0, 2.0], 0),
        ([2.0, 1.0, 2.0], 2),
        ([3.0, 1.0, 2.0], 2),
        ([NOT_EVALUATED, 3.0, NOT_EVALUATED, 3.0], 2),
    ],
)
def test_patience_counts_epochs_from_the_first_of_equals(
    scores: list[float], epochs_since_best: int
) -> None:
    assert out_of_patience(scores, epochs_since_best) is (epochs_since_best > 0)
    assert not out_of_patience(scores, epochs_since_best + 1)
    assert not out_of_patience(scores, 0)


def test_patience_ends_nothing_between_two_evaluations() -> None:
    assert not out_of_patience([], 1)
    assert not out_of_patience([NOT_EVALUATED] * 5, 1)
    assert not out_of_patience([1.0, *[NOT_EVALUATED] * 5], 1)
    assert out_of_patience([1.0, *[NOT_EVALUATED] * 5, 0.5], 1)


@pytest.mark.parametrize(("period", "factor"), [(1, 0.5), (7, 0.1), (20, 0.9)])
def test_step_equals_step_lr(period: int, factor: float) -> None:
    reference = rates_of(StepLR(optimizer_of(), step_size=period, gamma=factor), 50)
    assert [step_decay(step, period=period, factor=factor) for step in range(50)] == pytest.approx(
        reference
    )
    optim = OptimConfig(scheduler="step", step_epochs=period, step_factor=factor)
    assert [
        lr_factor(optim, 3 * epoch, steps_per_epoch=3, max_epochs=50) for epoch in range(50)
    ] == pytest.approx(reference)


# Optimizers ---------------------------------------------------------------------------------------


def stepped(optimizer: torch.optim.Optimizer, model: nn.Module, steps: int = 10) -> list[Tensor]:
    """The parameters after some steps on fixed data."""
    x_ND = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        optimizer.zero_grad()
        model(x_ND).square().mean().backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


def small_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 20), nn.LayerNorm(20), nn.Linear(20, 20))


def stepped_by(optim: OptimConfig) -> list[Tensor]:
    model = small_model()
    return stepped(make_optimizer(optim, parameter_groups(model, optim)), model)


def test_the_default_is_fused_adamw_to_the_last_bit() -> None:
    optim, model = OptimConfig(lr=0.01), small_model()
    groups = parameter_groups(model, optim)
    reference = torch.optim.AdamW([dict(group) for group in groups], fused=True)
    optimizer = make_optimizer(optim, groups)
    keys = {key for key in optimizer.param_groups[0] if key != "peak_lr"}
    assert keys == reference.param_groups[0].keys()
    for ours, theirs in zip(optimizer.param_groups, reference.param_groups, strict=True):
        assert {key: ours[key] for key in keys} == theirs
    expected = stepped(reference, model)
    assert all(map(torch.equal, stepped_by(optim), expected))


def test_sgd_and_rmsprop_are_pytorchs() -> None:
    for optimizer, momentum, reference_class, arguments in (
        ("sgd", 0.9, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        ("sgd", 0.0, torch.optim.SGD, {}),
        ("rmsprop", 0.5, torch.optim.RMSprop, {"momentum": 0.5}),
    ):
        values = {"optimizer": optimizer, "lr": 0.01, "momentum": momentum, "weight_decay": 0.0}
        model = small_model()
        expected = stepped(
            cast(Any, reference_class)(model.parameters(), lr=0.01, **arguments), model
        )
        assert all(map(torch.equal, stepped_by(build_config(OptimConfig, values)), expected))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns_and_goes_on_from_its_state(name: OptimizerName) -> None:
    optim, model = OptimConfig(optimizer=name, lr=0.01, weight_decay=0.1), small_model()
    optimizer = make_optimizer(optim, parameter_groups(model, optim))
    assert {(group["lr"], group["peak_lr"]) for group in optimizer.param_groups} == {(0.01, 0.01)}
    before = float(model(torch.ones(1, 4)).square().mean().detach())
    stepped(optimizer, model, steps=20)
    again = small_model()
    again.load_state_dict(model.state_dict())
    copied = make_optimizer(optim, parameter_groups(again, optim))
    copied.load_state_dict(deepcopy(optimizer.state_dict()))
    assert all(map(torch.equal, stepped(copied, again), stepped(optimizer, model)))
    assert float(model(torch.ones(1, 4)).square().mean().detach()) < before


CHANGED = {"momentum": 0.5, "beta1": 0.6, "beta2": 0.7, "eps": 1e-3}


@pytest.mark.parametrize("setting", CHANGED)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_setting_changes_what_the_optimizers_do_that_use_it_and_no_other(
    name: OptimizerName, setting: str
) -> None:
    values: dict[str, Any] = {"optimizer": name, "lr": 0.01}
    changed = build_config(OptimConfig, values | {setting: CHANGED[setting]})
    plain = build_config(OptimConfig, values)
    is_same = all(map(torch.equal, stepped_by(changed), stepped_by(plain)))
    assert is_same == (setting in unused_settings(changed))


def test_the_settings_that_have_no_effect_are_named() -> None:
    assert set(OPTIMIZER_SETTINGS) == set(OPTIMIZERS)
    unused = unused_settings(OptimConfig(optimizer="sgd", scheduler="step"))
    assert {"beta1", "beta2", "eps", "warmup_ratio", "plateau_factor"} <= unused
    assert unused.isdisjoint({"momentum", "step_epochs", "step_factor", "lr", "weight_decay"})
    cycled = unused_settings(OptimConfig(scheduler="one_cycle", cycle_momentum=True))
    assert ("beta1" in cycled, "cycle_momentum" in cycled) == (True, False)
    without = unused_settings(OptimConfig(optimizer="adafactor", scheduler="one_cycle"))
    assert "cycle_momentum" in without


@pytest.mark.parametrize("scheduler", get_args(SchedulerName))
def test_a_schedules_setting_changes_the_rates_where_it_is_used(scheduler: SchedulerName) -> None:
    def factors(**values: Any) -> list[float]:
        optim = build_config(OptimConfig, {"scheduler": scheduler, **values})
        scores = [2.0, *[1.0] * 30]
        return [
            lr_factor(optim, s, steps_per_epoch=9, max_epochs=30, scores=scores[: s // 9])
            for s in range(270)
        ]

    unused = unused_settings(OptimConfig(scheduler=scheduler))
    changed = {"warmup_ratio": 0.5, "restart_epochs": 3, "step_epochs": 3, "step_factor": 0.7}
    changed |= {"restart_factor": 2, "min_lr": 1e-5}
    for name, value in {**changed, "plateau_epochs": 2, "plateau_factor": 0.5}.items():
        assert (factors(**{name: value}) == factors()) == (name in unused), name


def test_what_a_model_excludes_from_decay_is_what_timm_excludes() -> None:
    from timm.optim import param_groups_weight_decay

    model = small_model()
    model.append(nn.ParameterDict({"bias": nn.Parameter(torch.zeros(2, 2))}))
    patterns = ["2.weight"]
    reference = param_groups_weight_decay(model, 0.1, no_weight_decay_list=patterns)
    expected = {id(p): group["weight_decay"] for group in reference for p in group["params"]}

    def decays(optim: OptimConfig) -> dict[int, float]:
        groups = parameter_groups(model, optim, undecayed=patterns)
        return {id(p): group["weight_decay"] for group in groups for p in group["params"]}

    assert decays(OptimConfig(weight_decay=0.1)) == expected
    assert sorted(expected.values()) == [0.0] * 6 + [0.1]
    assert set(decays(OptimConfig(weight_decay=0.1, decay_norms=True)).values()) == {0.1}


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
    average = MovingAverage(model, decay=0.5)
    followed = cast(nn.BatchNorm1d, average.module)
    weights, means = [], []
    for _ in range(20):
        model(torch.randn(8, 2))
        nn.init.normal_(model.weight)
        average.update(model)
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


def test_a_moving_average_goes_on_from_what_pytorchs_own_had_saved() -> None:
    model = nn.Linear(2, 1)
    saved = AveragedModel(model, use_buffers=True)
    for _ in range(3):
        saved.update_parameters(model)
    average = MovingAverage(nn.Linear(2, 1), decay=0.5)
    average.load_state_dict(saved.state_dict())
    assert average.steps == 3
    assert torch.equal(cast(nn.Linear, average.module).weight, model.weight)
    assert average.state_dict().keys() == saved.state_dict().keys()


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
        ("restart_factor", 0),
        ("min_lr", -1e-6),
        ("min_lr", 1.0),
        ("clip_norm", -1.0),
        ("accumulation", 0),
        ("freeze_epochs", -1),
        ("momentum", 1.0),
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("eps", 0.0),
        ("step_epochs", 0),
        ("step_factor", 1.0),
        ("evaluate_every", 0),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TaskError, match=f"{name} must .*, got {name}="):
        build_config(OptimConfig, {name: value})


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        cast(Any, OptimConfig()).lr = 1.0
