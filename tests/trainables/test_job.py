"""Proves that a job goes on after any interruption, and runs anyone's function.

pytest tests/trainables
"""

import json
import math
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sklearn.linear_model
import torch
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from torch import Tensor

from search_spaces.space import Objective
from tests.trainables.conformance import EPOCHS, job_of, seen, tiny_task
from tests.trainables.test_training import Line, LineConfig
from trainables.config import TaskError
from trainables.job import Job, is_best, run
from trainables.task import Report, Task
from trainables.training import evaluate
from trainables.trial_folder import TrialFolder, read_state

TASK = "gpt2_classifier"
HIGHEST = Objective(name="accuracy", direction="maximize")


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    return tiny_task(TASK, monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The reports and the lines of a run without interruption."""
    with pytest.MonkeyPatch.context() as patch:
        job = job_of(TASK, tiny_task(TASK, patch), tmp_path_factory.mktemp("whole"))
        return seen(list(run(job))), metrics_in(job.folder)


def metrics_in(folder: Path) -> list[dict[str, float]]:
    return [line["metrics"] for line in TrialFolder(folder).read_metrics()]


def close(reports: Iterator[Any]) -> None:
    reports.close()  # type: ignore[attr-defined]


# A task -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs_done", range(1, EPOCHS + 1))
def test_an_interrupted_job_reports_everything_as_if_it_had_not_been(
    task: Task, whole: Any, tmp_path: Path, epochs_done: int
) -> None:
    job = job_of(TASK, task, tmp_path / "interrupted 'Ω'")
    killed = run(job)
    before = [next(killed) for _ in range(epochs_done)]
    close(killed)
    assert seen(before) == whole[0][:epochs_done]
    assert seen(list(run(job))) == whole[0]
    assert seen(list(run(job))) == whole[0], "a finished job reports all its epochs once more"
    assert metrics_in(job.folder) == whole[1]


@pytest.mark.parametrize(
    "damage", ["no last", "torn metrics", "metrics ahead", "no metrics", "no checkpoint"]
)
def test_a_crash_at_any_moment_is_harmless(
    task: Task, whole: Any, tmp_path: Path, damage: str
) -> None:
    job = job_of(TASK, task, tmp_path / "crashed")
    folder = TrialFolder(job.folder)
    killed = run(job)
    for _ in range(2):
        next(killed)
    close(killed)
    match damage:
        case "no last":
            folder.last.unlink()
        case "torn metrics":
            folder.metrics.write_text(folder.metrics.read_text()[:-20])
        case "metrics ahead":
            folder.append_metrics(
                {"epoch": 3, "seconds": 0.1, "metrics": {"accuracy": 0.99}, "details": {}}
            )
        case "no metrics":
            folder.metrics.unlink()
        case "no checkpoint":
            folder.delete_checkpoint()
    again = list(run(job))
    assert seen(again) == whole[0]
    assert metrics_in(job.folder) == whole[1]
    expected = {
        "no last": "goes on after epoch 1",
        "torn metrics": "goes on after epoch 1",
        "no metrics": "starts over",
    }
    assert expected.get(damage, "") in (again[0].warning or "") and bool(again[0].warning) == (
        damage in expected
    )
    assert not any(report.warning for report in again[1:])


def test_what_the_data_warn_of_is_told_once_and_beside_a_start_over(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = type(task).data
    told = "data: left out 1 sub-folder (first: old)"
    monkeypatch.setattr(
        type(task), "data", lambda *arguments: replace(read(*arguments), warning=told)
    )
    job = job_of(TASK, task, tmp_path)
    assert [report.warning for report in run(job)] == [told, *[None] * (EPOCHS - 1)]
    TrialFolder(job.folder).metrics.unlink()
    again = next(run(job)).warning
    assert again == f"no checkpoint can be used; starts over; {told}"


def test_the_best_epochs_model_is_kept(task: Task, tmp_path: Path) -> None:
    job = job_of(TASK, task, tmp_path)
    values = [report.metrics["accuracy"] for report in run(job)]
    best = read_state(TrialFolder(tmp_path).best)
    assert best is not None
    assert best["metrics"]["accuracy"] == max(values)
    assert best["epoch"] == values.index(max(values)) + 1
    assert set(best) == {"epoch", "metrics", "model"}


def test_a_job_writes_what_tensorboard_reads(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scalars: list[tuple[str, int]] = []
    monkeypatch.setattr(
        SummaryWriter, "add_scalar", lambda _, name, value, step: scalars.append((name, step))
    )
    list(run(job_of(TASK, task, tmp_path)))
    assert {("accuracy", epoch) for epoch in range(1, EPOCHS + 1)} <= set(scalars)
    assert list(tmp_path.glob("events.out.tfevents*"))


def test_a_job_computes_with_its_threads(task: Task, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        next(run(replace(job_of(TASK, task, tmp_path), cpus=0.5)))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("value", "earlier", "direction", "best"),
    [
        (0.5, [], "maximize", True),
        (0.5, [0.4], "maximize", True),
        (0.5, [0.5], "maximize", False),
        (0.5, [0.6, 0.4], "maximize", False),
        (0.5, [0.6, 0.7], "minimize", True),
        (0.5, [math.nan, math.inf], "minimize", True),
        (math.nan, [], "maximize", False),
        (math.inf, [], "maximize", False),
    ],
)
def test_the_best_is_finite_and_the_first_of_equals(
    value: float, earlier: list[float], direction: Any, best: bool
) -> None:
    assert is_best(value, earlier, Objective(name="m", direction=direction)) is best


# A task that trains in its own way ---------------------------------------------------------------


class Ridge(Line):
    """Ridge regression in closed form; an epoch is a tenth of the penalty of the one before."""

    trained: ClassVar[list[int]] = []

    def train(
        self,
        config: Any,
        *,
        seed: int,
        split_seed: int,
        max_epochs: int,
        resume_from: dict[str, Any] | None,
        **_: Any,
    ) -> Iterator[Report]:
        splits = self.data(config, split_seed)
        x_ND, y_N = splits.train.tensors["x"], splits.train.tensors["y"]
        rows_N = torch.randperm(len(y_N), generator=torch.Generator().manual_seed(seed))[:30]
        model = self.model(config, splits)
        for epoch in range(resume_from["epoch"] + 1 if resume_from else 1, 100):
            self.trained.append(epoch)
            weight_D, bias = ridge(x_ND[rows_N], y_N[rows_N], penalty=10.0**-epoch)
            model.load_state_dict({"weight": weight_D[None], "bias": bias[None]})
            metrics, _ = evaluate(self, config, model, splits, splits.validation)
            yield Report(
                epoch=epoch, metrics=metrics, state=lambda: {"evaluated": model.state_dict()}
            )


def ridge(x_ND: Tensor, y_N: Tensor, *, penalty: float) -> tuple[Tensor, Tensor]:
    means_D, mean = x_ND.mean(0), y_N.mean()
    gram_DD = (x_ND - means_D).T @ (x_ND - means_D) + penalty * torch.eye(x_ND.shape[1])
    weight_D = torch.linalg.solve(gram_DD, (x_ND - means_D).T @ (y_N - mean))
    return weight_D, mean - means_D @ weight_D


def ridge_job(folder: Path, seed: int = 0) -> Job:
    return Job(
        task=f"{__name__}:Ridge",
        objective=Ridge.objective,
        values={},
        seed=seed,
        split_seed=0,
        max_epochs=EPOCHS,
        folder=folder,
    )


def test_a_task_may_train_in_its_own_way(tmp_path: Path) -> None:
    reports = list(run(ridge_job(tmp_path / "one")))
    assert [report.epoch for report in reports] == [1, 2, 3], "the budget ends it"
    splits = Ridge().data(LineConfig(), 0)
    x_ND, y_N = (splits.train.tensors[name] for name in "xy")
    rows_N = torch.randperm(len(y_N), generator=torch.Generator().manual_seed(0))[:30]
    for report in reports:
        reference = sklearn.linear_model.Ridge(alpha=10.0**-report.epoch)
        reference.fit(x_ND[rows_N].double(), y_N[rows_N].double())
        error = ((reference.predict(x_ND.double()) - y_N.numpy()) ** 2).mean()
        assert report.metrics["error"] == pytest.approx(error, rel=1e-4)
    assert seen(list(run(ridge_job(tmp_path / "two")))) == seen(reports)
    assert seen(list(run(ridge_job(tmp_path / "three", seed=1)))) != seen(reports)
    best = read_state(TrialFolder(tmp_path / "one").best)
    assert best is not None
    assert best["model"].keys() == {"weight", "bias"}


def test_what_trains_in_its_own_way_goes_on_after_an_interruption(tmp_path: Path) -> None:
    whole = seen(list(run(ridge_job(tmp_path / "whole"))))
    job = ridge_job(tmp_path / "interrupted")
    killed = run(job)
    next(killed), next(killed)
    close(killed)
    Ridge.trained.clear()
    assert seen(list(run(job))) == whole
    assert Ridge.trained == [3]


# Epochs without an evaluation --------------------------------------------------------------------


def sparse_job(folder: Path) -> Job:
    values = {"optim.lr": 0.1, "optim.scheduler": "constant", "optim.evaluate_every": 3}
    return replace(
        ridge_job(folder), task="tests.trainables.test_training:Line", values=values, max_epochs=8
    )


@pytest.mark.parametrize("reported", [1, 2, 3])
def test_a_job_goes_on_after_the_last_epoch_that_was_evaluated(
    tmp_path: Path, reported: int
) -> None:
    whole = list(run(sparse_job(tmp_path / "whole")))
    assert [report.epoch for report in whole] == [3, 6, 8]
    job = sparse_job(tmp_path / "interrupted")
    killed = run(job)
    before = [next(killed) for _ in range(reported)]
    close(killed)
    again = list(run(job))
    assert seen(before) == seen(whole)[:reported]
    assert seen(again) == seen(whole)
    assert not any(report.warning for report in again)
    assert [line["epoch"] for line in TrialFolder(job.folder).read_metrics()] == [3, 6, 8]


def test_a_checkpoint_whose_earlier_reports_are_lost_is_not_used(tmp_path: Path) -> None:
    job = sparse_job(tmp_path)
    whole = seen(list(run(job)))
    metrics = TrialFolder(tmp_path).metrics
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[1:]))
    again = list(run(job))
    assert again[0].warning == "no checkpoint can be used; starts over"
    assert seen(again) == whole


# A function ---------------------------------------------------------------------------------------


@pytest.fixture
def function_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a job of a function's source text."""
    module = f"user_code_{len(sys.modules)}"
    monkeypatch.syspath_prepend(tmp_path)

    def make(source: str, *, max_epochs: int = 3) -> Job:
        (tmp_path / f"{module}.py").write_text("import math\n" + source, encoding="utf-8")
        return Job(
            task=f"{module}:train",
            objective=HIGHEST,
            values={"lr": 0.5},
            seed=11,
            split_seed=0,
            max_epochs=max_epochs,
            folder=tmp_path / "trial Ω",
        )

    return make


ENDLESS = (
    "def train(config):\n  n = 0\n  while True:\n    n += 1\n    yield {'accuracy': "
    "config['lr'] * n}\n"
)


def test_a_functions_epochs_are_counted_and_end_at_the_budget(function_job: Any) -> None:
    reports = list(run(function_job(ENDLESS)))
    assert [(report.epoch, report.metrics) for report in reports] == [
        (1, {"accuracy": 0.5}),
        (2, {"accuracy": 1.0}),
        (3, {"accuracy": 1.5}),
    ]
    assert all(report.state is None for report in reports)


def test_a_function_may_count_its_own_epochs(function_job: Any) -> None:
    source = (
        "def train(config):\n  for epoch in (2, 4, 6, 8):\n    yield {'epoch': epoch, "
        "'accuracy': 1}\n"
    )
    reports = list(run(function_job(source, max_epochs=6)))
    assert [(report.epoch, report.metrics) for report in reports] == [
        (e, {"accuracy": 1.0}) for e in (2, 4, 6)
    ]


def test_a_function_that_ends_early_just_ends(function_job: Any) -> None:
    assert [
        r.epoch for r in run(function_job("def train(config):\n  yield {'accuracy': 1}\n"))
    ] == [1]


def test_a_function_without_checkpoint_starts_over(function_job: Any) -> None:
    job = function_job(ENDLESS)
    killed = run(job)
    next(killed), next(killed)
    close(killed)
    assert [report.epoch for report in run(job)] == [1, 2, 3]
    assert [line["epoch"] for line in TrialFolder(job.folder).read_metrics()] == [1, 2, 3]


SAVING = """\
def train(config, folder):
  memory = folder / "done"
  done = int(memory.read_text()) if memory.exists() else 0
  for epoch in range(done + 1, 100):
    with (folder / "trained").open("a") as file:
      file.write(str(epoch))
    {before}
    yield {{"epoch": epoch, "accuracy": epoch}}
    {after}
"""
SAVE = "memory.write_text(str(epoch))"


@pytest.mark.parametrize(
    ("source", "trained"),
    [
        (SAVING.format(before="pass", after=SAVE), "12234"),
        (SAVING.format(before=SAVE, after="pass"), "1234"),
    ],
    ids=["saves after the yield", "saves before it"],
)
def test_a_functions_own_checkpoint_serves_to_thaw_it(
    function_job: Any, source: str, trained: str
) -> None:
    """What follows the yield of the epoch at which it is frozen is never run."""
    job = function_job(source, max_epochs=4)
    training = run(job)
    assert [next(training).epoch, next(training).epoch] == [1, 2]
    close(training)
    thawed = list(run(replace(job, known_epoch=2)))
    assert [(report.epoch, report.warning) for report in thawed] == [(3, None), (4, None)]
    assert [line["epoch"] for line in TrialFolder(job.folder).read_metrics()] == [1, 2, 3, 4]
    assert (job.folder / "trained").read_text() == trained


def test_a_function_gets_the_arguments_that_it_takes(function_job: Any) -> None:
    source = (
        "def train(config, *, seed, folder, other=5):\n"
        "  yield {'accuracy': 1, 'seed': seed, 'other': other, 'folder': folder.name == 'trial "
        "Ω'}\n"
    )
    (report,) = run(function_job(source))
    assert report.metrics == {"accuracy": 1.0, "seed": 11.0, "other": 5.0, "folder": 1.0}


def test_a_function_with_open_arguments_gets_all(function_job: Any) -> None:
    (report,) = run(
        function_job("def train(config, **context):\n  yield {'accuracy': len(context)}\n")
    )
    assert report.metrics["accuracy"] == len(
        {"seed", "max_epochs", "device", "folder", "rank", "workers"}
    )


@pytest.mark.parametrize(
    ("yielded", "message"),
    [
        ("{'loss': 1, 'f1': 2}", "must yield the objective 'accuracy', got loss, f1"),
        ("0.5", "must yield a dict of metrics for each epoch, got 0.5"),
        ("None", "must yield a dict of metrics for each epoch, got None"),
    ],
)
def test_a_function_that_yields_no_objective_is_told_so(
    function_job: Any, yielded: str, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        list(run(function_job(f"def train(config):\n  yield {yielded}\n")))


def test_a_function_that_reports_nan_is_ended(function_job: Any) -> None:
    source = (
        "def train(config):\n  yield {'accuracy': 1}\n  yield {'accuracy': math.nan}\n  "
        "raise SystemError\n"
    )
    job = function_job(source)
    assert [report.epoch for report in run(job)] == [1, 2]
    last = json.loads(TrialFolder(job.folder).metrics.read_text().splitlines()[-1])
    assert math.isnan(last["metrics"]["accuracy"])


def test_an_exception_of_the_function_comes_through_and_keeps_what_was_reported(
    function_job: Any,
) -> None:
    job = function_job(
        "def train(config):\n  yield {'accuracy': 1}\n  raise ZeroDivisionError('mine')\n"
    )
    reports = run(job)
    next(reports)
    with pytest.raises(ZeroDivisionError, match="mine"):
        next(reports)
    assert [line["epoch"] for line in TrialFolder(job.folder).read_metrics()] == [1]


def test_tensorboard_is_told_the_configuration(task: Task, tmp_path: Path) -> None:
    job = job_of(TASK, task, tmp_path)
    list(run(job))
    (file,) = tmp_path.glob("events.out.tfevents*")
    told: dict[str, Any] = {}
    for event in events_of(file.read_bytes()):
        for value in event.summary.value:
            data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
            for name, hparam in data.session_start_info.hparams.items():
                told[name] = hparam.string_value or hparam.number_value
    assert told == {
        name: value if isinstance(value, str) else float(value)
        for name, value in job.values.items()
    }


def test_tensorboard_finds_the_objective_on_both_pages(function_job: Any) -> None:
    job = function_job("def train(config):\n  yield {'val/acc [top]': 1.0}\n")
    objective = Objective(name="val/acc [top]", direction="maximize")
    list(run(replace(job, objective=objective)))
    (file,) = job.folder.glob("events.out.tfevents*")
    values = [value for event in events_of(file.read_bytes()) for value in event.summary.value]
    pages = [HParamsPluginData.FromString(value.metadata.plugin_data.content) for value in values]
    named = [info.name.tag for page in pages for info in page.experiment.metric_infos]
    assert named == ["val/acc__top_"]
    assert "val/acc__top_" in [value.tag for value in values]


def events_of(content: bytes) -> Iterator[Event]:
    """The records of an event file: length, checksum, content, checksum."""
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield Event.FromString(content[at + 12 : at + 12 + length])
        at += 16 + length
