"""Proves that every built-in task keeps what the training loop and a search rely on.

pytest tests/trainables/test_conformance.py

A new task joins by a row in `conformance.TINY`.
"""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from results.export.export import Export, read_export
from results.study.best import BestEpoch
from tests.trainables import conformance
from tests.trainables.conformance import (
    EPOCHS,
    NAMES,
    curve,
    job_of,
    seen,
    tiny_config,
    tiny_task,
    tiny_values,
)
from tests.two_workers import by_two_workers
from trainables.config import build_config, flat_fields, flatten
from trainables.job import is_best, run
from trainables.parts.optim import make_optimizer, parameter_groups
from trainables.task import Report, Task, load_task
from trainables.team import ALONE, Team
from trainables.training import evaluate, new_learner, train, train_epoch
from trainables.trial_folder import TrialFolder


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def task(name: str, monkeypatch: pytest.MonkeyPatch) -> Task:
    return tiny_task(name, monkeypatch)


@pytest.fixture
def config(name: str) -> Any:
    return tiny_config(name)


def test_there_are_tasks_and_each_has_a_tiny_row() -> None:
    assert NAMES
    for name in NAMES:
        assert tiny_values(name)
    assert set(conformance.TINY) <= set(NAMES), "TINY has rows of tasks that are no longer built in"


def test_the_default_builds_at_full_size(name: str, task: Task) -> None:
    config: Any = build_config(task.Config, {})
    splits = task.data(config, 0)
    with torch.device("meta"):
        model = task.model(config, splits)
    assert sum(parameter.numel() for parameter in model.parameters()) > 0


def test_every_setting_is_flat_and_documented(name: str, task: Task) -> None:
    flat = flatten(build_config(task.Config, {}))
    assert flat.keys() == flat_fields(task.Config).keys()
    assert build_config(task.Config, flat) == build_config(task.Config, {})
    assert "data.batch_size" in flat
    assert "optim.lr" in flat


def test_one_tiny_epoch_is_finite(name: str, task: Task, config: Any) -> None:
    (report,) = curve(task, config, epochs=1)
    assert report.epoch == 1
    assert {task.objective.name, "train_loss", "validation_loss", "lr"} <= report.metrics.keys()
    assert all(math.isfinite(value) for value in report.metrics.values()), report.metrics


def test_the_same_seed_gives_identical_reports_and_another_does_not(
    name: str, task: Task, config: Any
) -> None:
    first = seen(curve(task, config, seed=1, epochs=2))
    torch.manual_seed(99)  # whatever ran before must not matter
    assert seen(curve(task, config, seed=1, epochs=2)) == first
    assert seen(curve(task, config, seed=2, epochs=2)) != first


def test_one_repeated_batch_is_learned(name: str, task: Task, config: Any) -> None:
    splits = task.data(config, 0)
    model = conformance.fresh_model(task, config, splits)
    groups = parameter_groups(model, config.optim, head=task.head(model))
    optimizer = make_optimizer(config.optim, groups)
    batch = next(splits.train.batches(conformance.OVERFIT_ROWS))
    losses = []
    for _ in range(conformance.OVERFIT_STEPS):
        loss, _ = task.loss(config, model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


def test_a_tally_equals_the_merge_of_its_parts(name: str, task: Task, config: Any) -> None:
    splits = task.data(config, 0)
    model = conformance.fresh_model(task, config, splits).eval()
    whole, merged = task.tally(config, splits), task.tally(config, splits)
    for batch in splits.validation.batches(7):  # ragged
        part = task.tally(config, splits)
        task.measure(config, model, batch, whole)
        task.measure(config, model, batch, part)
        merged.merge(part)
    assert merged.compute() == pytest.approx(whole.compute())
    assert merged.details() == whole.details()


def test_the_metrics_do_not_depend_on_the_batch_size(name: str, task: Task, config: Any) -> None:
    splits = task.data(config, 0)
    model = conformance.fresh_model(task, config, splits)
    other = tiny_config(name, data__batch_size=50)
    metrics, _ = evaluate(task, config, model, splits, splits.validation)
    again, _ = evaluate(task, other, model, splits, splits.validation)
    objective = task.objective.name
    assert again[objective] == pytest.approx(metrics[objective], rel=1e-5)


@pytest.mark.parametrize("name", conformance.with_loss_weights())
def test_loss_weights_do_not_move_the_objective(name: str, task: Task, config: Any) -> None:
    other = conformance.with_other_loss_weights(config)
    splits = task.data(config, 0)
    model = conformance.fresh_model(task, config, splits)
    metrics, _ = evaluate(task, config, model, splits, splits.validation)
    moved, _ = evaluate(task, other, model, splits, splits.validation)
    assert moved[task.objective.name] == metrics[task.objective.name]
    assert moved["validation_loss"] != metrics["validation_loss"]


def test_an_injected_nan_ends_the_training(name: str, task: Task, config: Any) -> None:
    reports = curve(conformance.with_nan_from_epoch(task, 2), config)
    assert [report.epoch for report in reports] == [1, 2]
    assert math.isfinite(reports[0].metrics[task.objective.name])
    assert math.isnan(reports[1].metrics[task.objective.name])
    assert reports[1].state is None


def test_splits_are_disjoint_seeded_and_not_empty(name: str) -> None:
    task, config = load_task(name), tiny_config(name)
    assert isinstance(task, Task)
    splits = task.data(config, 0)
    train, validation, test = (
        set(conformance.rows_of(s)) for s in (splits.train, splits.validation, splits.test())
    )
    assert train
    assert validation
    assert test
    shared = (train & validation) | (train & test) | (validation & test)
    assert not shared, f"{len(shared)} rows with the same content are in two splits"
    assert set(conformance.rows_of(task.data(config, 0).validation)) == validation
    assert set(conformance.rows_of(task.data(config, 1).validation)) != validation


def test_resuming_gives_the_curve_of_no_interruption(
    name: str, task: Task, config: Any, tmp_path: Path
) -> None:
    whole = seen(curve(task, config))
    for interrupted_after in range(1, EPOCHS + 1):
        training = train(task, config, seed=1, max_epochs=EPOCHS)
        before = [next(training) for _ in range(interrupted_after)]
        assert before[-1].state is not None
        torch.save(before[-1].state(), tmp_path / "state.pt")
        training.close()  # type: ignore[attr-defined]
        torch.manual_seed(99)
        state = torch.load(tmp_path / "state.pt", weights_only=True)
        assert seen(before + curve(task, config, resume_from=state)) == whole, interrupted_after


def test_a_trial_frozen_and_thawed_elsewhere_has_the_curve_of_one_that_never_was(
    name: str, task: Task, tmp_path: Path
) -> None:
    whole = seen(list(run(job_of(name, task, tmp_path / "whole"))))
    next(run(replace(job_of(name, task, tmp_path / "another trial"), seed=9)))
    job, reports = job_of(name, task, tmp_path / "machine 0"), list[Report]()
    for frozen_at in range(1, EPOCHS + 1):
        training = run(job)
        reports.append(next(training))
        training.close()  # type: ignore[attr-defined]
        TrialFolder(job.folder).keep_last_alone()
        elsewhere = tmp_path / f"machine {frozen_at}"
        shutil.copytree(job.folder, elsewhere)
        job = replace(job, folder=elsewhere, known_epoch=frozen_at)
    assert seen(reports) == whole


@pytest.mark.slow
def test_two_workers_give_the_curve_of_one(name: str, task: Task, tmp_path: Path) -> None:
    ragged = {"data.batch_size": 19, "optim.optimizer": "sgd"}  # Of 96 rows one is left over.
    values = tiny_values(name) | conformance.NO_CHANCE[name] | ragged
    config: Any = build_config(task.Config, values)

    def metrics(team: Team = ALONE) -> list[dict[str, float]]:
        return [report.metrics for report in curve(task, config, team=team)]

    both, alone = by_two_workers(metrics, tmp_path), metrics()
    assert both[0] == both[1]
    for one, two in zip(alone, both[0], strict=True):
        assert two == pytest.approx(one, rel=1e-4)


def test_frozen_epochs_train_the_head_alone_or_are_refused(
    name: str, task: Task, config: Any
) -> None:
    values = flatten(config) | {"optim.freeze_epochs": 1}
    if not conformance.accepts(task.Config, values):
        return
    frozen: Any = build_config(task.Config, values)
    splits = task.data(frozen, 0)
    model = conformance.fresh_model(task, frozen, splits)
    assert task.head(model), (
        "a task whose head() is empty must refuse freeze_epochs above 0 in its config"
    )
    (report,) = curve(task, frozen, epochs=1)
    assert math.isfinite(report.metrics["train_loss"])


def test_layers_and_head_share_no_parameter_and_decay_from_the_head_down(
    name: str, task: Task, config: Any
) -> None:
    values = flatten(config) | {"optim.layer_decay": 0.5}
    if not conformance.accepts(task.Config, values):
        return
    decayed: Any = build_config(task.Config, values)
    model = conformance.fresh_model(task, decayed, task.data(decayed, 0))
    layers, head = task.layers(model), task.head(model)
    assert layers, "a task whose layers() is empty must refuse layer_decay below 1 in its config"
    ids = [id(parameter) for layer in [*layers, head] for parameter in layer]
    assert len(set(ids)) == len(ids)
    assert set(ids) <= {id(parameter) for parameter in model.parameters()}
    groups = parameter_groups(model, decayed.optim, head=head, layers=layers)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    lr = decayed.optim.lr
    for depth, layer in enumerate(layers):
        expected = lr * 0.5 ** (len(layers) - depth)
        assert all(
            rates[id(parameter)] == pytest.approx(expected)
            for parameter in layer
            if parameter.requires_grad
        )


def test_the_loss_depends_on_all_parameters_where_the_task_says_so(
    name: str, task: Task, config: Any
) -> None:
    splits = task.data(config, 0)
    model = conformance.fresh_model(task, config, splits)
    task.loss(config, model, next(splits.train.batches(8)))[0].backward()
    named = model.named_parameters()
    left_out = [key for key, value in named if value.requires_grad and value.grad is None]
    assert not (task.uses_all_parameters and left_out)


def test_the_host_reads_nothing_in_a_step(name: str, task: Task) -> None:
    def reads(batch_size: int) -> int:
        config = tiny_config(name, data__batch_size=batch_size, **conformance.HOST_READS[name])
        splits = task.data(config, 0)
        learner = new_learner(task, config, splits, torch.device("cpu"))
        with conformance.HostReads() as counted:
            train_epoch(task, config, learner, splits.train, EPOCHS)
        return counted.reads

    few = reads(conformance.ROWS)
    assert few < 10
    assert reads(conformance.ROWS // 6) == few, "it reads as often in six steps as in one"


def test_augmentation_keeps_what_a_batch_is_made_of(name: str, task: Task, config: Any) -> None:
    batch = next(task.data(config, 0).train.batches(8))
    before = {key: value.clone() for key, value in batch.items()}
    assert task.augment(config, batch).keys() >= before.keys()
    for key, value in before.items():
        assert torch.equal(batch[key], value), (
            "the split's own tensors must not be changed in place"
        )
    torch.manual_seed(1)
    once = task.augment(config, batch)
    torch.manual_seed(1)
    again = task.augment(config, batch)
    assert all(torch.equal(once[key], again[key]) for key in once)


def test_a_job_gives_the_same_metrics_in_every_folder(
    name: str, task: Task, tmp_path: Path
) -> None:
    once, again = (
        list(run(job_of(name, task, tmp_path / folder))) for folder in ("one", "two 'Ω'")
    )
    assert seen(once) == seen(again)
    lines = TrialFolder(tmp_path / "one").read_metrics()
    assert [line["metrics"] for line in lines] == [report.metrics for report in once]


def test_the_exported_best_replays_its_value(name: str, task: Task, tmp_path: Path) -> None:
    job = job_of(name, task, tmp_path / "trial")
    values = [report.metrics[task.objective.name] for report in run(job)]
    best = max(
        (i for i, value in enumerate(values) if is_best(value, values[:i], task.objective)),
        default=0,
    )
    reached = BestEpoch(number=0, epoch=best + 1, value=values[best], complete=True)
    Export(job=job, import_paths=(), study="s", best=reached).write(tmp_path / "best.yaml")
    read = read_export(tmp_path / "best.yaml", tmp_path / "replay")
    replayed = [report.metrics[task.objective.name] for report in run(read.job)]
    assert replayed == values
    assert replayed[read.best.epoch - 1] == read.best.value
