"""Proves that two workers give the curve of one: pytest -m slow tests/slow/test_team.py.

Every built-in task is trained by two workers in tests/trainables/test_conformance.py.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.two_workers import by_two_workers
from trainables.job import Job, run
from trainables.parts.whole_batch import batch_sum
from trainables.task import Task, load_task
from trainables.team import ProcessTeam
from trainables.trial_folder import TrialFolder

GPT2: dict[str, Any] = {
    "model.layers": 1,
    "model.width": 16,
    "model.heads": 2,
    "model.dropout": 0.0,
    "model.attention_dropout": 0.0,
    "model.head_dropout": 0.0,
    "data.batch_size": 100,
    "optim.lr": 1e-2,
}
UNUSUAL = {
    "optim.accumulation": 3,
    "optim.ema_decay": 0.9,
    "optim.clip_norm": 1.0,
    "optim.freeze_epochs": 1,
}
LINE = {
    "optim.lr": 0.1,
    "optim.scheduler": "constant",
    "data.batch_size": 1,
}  # Fewer rows than workers.
DEEPLAB = {
    "data.side": 16,
    "data.scenes": 40,
    "data.batch_size": 9,  # 28 rows: the last batch has ten.
    "model.backbone": "resnet14",
    "model.width": 4,
    "model.head_width": 8,
    "model.atrous_rates": (1, 2),
    "augment.flip": 0.0,
    "augment.rotation_degrees": 0.0,
    "augment.blur": 0.0,
    "optim.optimizer": "sgd",
    "optim.lr": 1e-3,
}
CASES = [
    ("gpt2_classifier", GPT2),
    ("gpt2_classifier", GPT2 | UNUSUAL),
    ("line", LINE),
    ("segmentation", DEEPLAB),
]
IDS = ["gpt2", "unusual settings", "line", "deeplabv3"]


def job_of(task: str, values: dict[str, Any], folder: Path) -> Job:
    name = "tests.trainables.test_training:Line" if task == "line" else task
    loaded = load_task(name)
    assert isinstance(loaded, Task)
    objective = loaded.objective
    return Job(
        task=name,
        objective=objective,
        values=values,
        seed=1,
        split_seed=0,
        max_epochs=3,
        folder=folder,
    )


@pytest.mark.parametrize(("task", "values"), CASES, ids=IDS)
def test_two_workers_give_the_curve_of_one_also_after_an_interruption(
    task: str, values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, states: states)  # ASPP has its own.
    job = job_of(task, values, tmp_path / "together")

    def twice(team: ProcessTeam) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
        """The curve up to an interruption after two epochs, and all of it."""
        first = [report.metrics for _, report in zip(range(2), run(job, team), strict=False)]
        return first, [report.metrics for report in run(job, team)]

    told = by_two_workers(twice, tmp_path)
    assert told[0] == told[1], "all workers tell the same"
    first, both = told[0]
    assert both[:2] == first
    lines = TrialFolder(job.folder).read_metrics()
    assert [line["epoch"] for line in lines] == [1, 2, 3], "the leader alone writes"
    alone = [report.metrics for report in run(replace(job, folder=tmp_path / "alone"))]
    assert len(both) == len(alone)
    for one, two in zip(alone, both, strict=True):
        assert two == pytest.approx(one, rel=2e-3, abs=2e-3)


def test_a_norm_over_two_workers_is_that_of_all_their_rows(tmp_path: Path) -> None:
    rows = torch.randn(5, 3, 4, 2, generator=torch.Generator().manual_seed(0))

    def normed(norm: nn.Module, own: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        own = own.clone().requires_grad_()
        outputs = norm(own)
        outputs.pow(3).sum().backward()
        assert own.grad is not None
        return outputs.detach(), own.grad, norm.state_dict()

    def share(team: ProcessTeam) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        with team.on_one_batch():
            return normed(team.with_common_norms(nn.BatchNorm2d(3)), team.share(rows))

    outputs, gradients, state = normed(nn.BatchNorm2d(3), rows)
    for rank, found in enumerate(by_two_workers(share, tmp_path)):
        torch.testing.assert_close(found, (outputs[rank::2], gradients[rank::2], state))


def test_the_gradient_of_a_sum_is_that_of_the_whole(tmp_path: Path) -> None:
    rows = torch.arange(1.0, 6.0)

    def gradient(team: ProcessTeam) -> Tensor:
        own = team.share(rows).clone().requires_grad_()
        with team.on_one_batch():
            batch_sum(own.sum()).square().div(team.size).backward()
        assert own.grad is not None
        return own.grad

    first, second = by_two_workers(gradient, tmp_path)
    assert (first.tolist(), second.tolist()) == ([30.0] * 3, [30.0] * 2)
