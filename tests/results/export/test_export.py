"""Proves that an export is all it takes to train a configuration again.

pytest tests/results/export/test_export.py
"""

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.console import Console
from results.export.export import KEYS, Export, read_export, study_exports
from results.export.retrain import retrain
from results.study.best import BestEpoch
from results.study.folder import StudyError, StudyFolder
from results.study.record import read_study
from search_spaces import Objective, SpaceError, dump_yaml
from tests.results.small_study import OBJECTIVE, drive, open_study, small_space
from trainables.config import TaskError
from trainables.job import Job, run
from trainables.seeding import derive_seed
from trainables.user_code.importing import import_from

NAMES = (
    "plain",
    "with space",
    "quo'te\"s: #x",
    "ünï ✓ 日本",
    "[bold]{}%s",
    "two\nlines",
    "null",
    "1e-5",
)


def an_export(folder: Path, **changes: Any) -> Export:
    job = Job(
        task="tests.results.small_study:train",
        objective=OBJECTIVE,
        values={"x": 5, "lr": 1e-05, "text": "no", "sizes": [1, 2.5], "nothing": None},
        seed=7,
        split_seed=3,
        max_epochs=2,
        folder=folder,
        cpus=0.5,
    )
    best = BestEpoch(number=4, epoch=2, value=1 / 3, complete=True)
    return replace(
        Export(job=job, import_paths=("here", "ünï"), study="small", best=best), **changes
    )


# Writing and reading


@pytest.mark.parametrize("name", NAMES)
def test_an_export_reads_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    export = an_export(tmp_path, study=name)
    export.write(tmp_path / "it's ✓.yaml")
    assert read_export(tmp_path / "it's ✓.yaml", tmp_path) == export
    assert list(export.content()) == list(KEYS)


def test_a_task_class_is_exported_with_its_defaults_written_out(tmp_path: Path) -> None:
    job = Job(
        **{
            **fields(an_export(tmp_path).job),
            "task": "gpt2_classifier",
            "values": {"model.width": 24},
        }
    )
    export = an_export(tmp_path, job=job)
    export.write(tmp_path / "best.yaml")
    config = read_export(tmp_path / "best.yaml", tmp_path).job.values
    assert config["model.width"] == 24
    assert {"model.layers", "optim.lr", "data.batch_size", "data.path"} <= config.keys()
    assert read_export(tmp_path / "best.yaml", tmp_path).content() == export.content()


def fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__slots__}


@pytest.mark.parametrize("lost", KEYS)
def test_an_export_that_lost_a_key_is_refused(tmp_path: Path, lost: str) -> None:
    content = {key: value for key, value in an_export(tmp_path).content().items() if key != lost}
    (tmp_path / "best.yaml").write_text(dump_yaml(content))
    with pytest.raises(StudyError, match=f"is no exported configuration: it has no '{lost}'"):
        read_export(tmp_path / "best.yaml", tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "score"},
        {"objective": {}},
        {"objective": {"maximize": "a", "minimize": "b"}},
        {"objective": {"raise": "score"}},
        {"config": 3},
        {"config": None},
        {"max_epochs": "many"},
        {"max_epochs": None},
        {"max_epochs": 2.7},
        {"max_epochs": "3"},
        {"max_epochs": -1},
        {"max_epochs": True},
        {"seed": 1.5},
        {"split_seed": -1},
        {"cpus": 0},
        {"import_paths": [1]},
        {"seed": [1]},
        {"cpus": "two"},
        {"import_paths": None},
        {"result": None},
        {"result": {"trial": 1}},
        {"result": {"study": "s", "trial": 1, "value": "high", "epoch": 1, "complete": True}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_damaged_export_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    (tmp_path / "best.yaml").write_text(dump_yaml(an_export(tmp_path).content() | changes))
    with pytest.raises(StudyError, match=r"best\.yaml is no exported configuration"):
        read_export(tmp_path / "best.yaml", tmp_path)


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [\n", "a: 1\na: 2\n", "\x00"])
def test_what_is_no_yaml_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "best.yaml").write_text(text)
    with pytest.raises(SpaceError, match=r"best\.yaml"):
        read_export(tmp_path / "best.yaml", tmp_path)


def test_a_space_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(dump_yaml(small_space().to_dict()))
    with pytest.raises(
        StudyError,
        match=r"space\.yaml is no exported configuration: it has no 'config'.*'parameters'",
    ):
        read_export(tmp_path / "space.yaml", tmp_path)


# A study's exports


def test_a_study_exports_its_trials_best_first(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path / "s"))
    exports = study_exports(read_study(study.folder))
    assert [export.best.number for export in exports] == [3, 0, 1]
    assert [export.best.complete for export in exports] == [True, True, False]
    assert exports[0].job.values == {"y": 1, "x": 8}
    assert exports[0].job.seed == derive_seed(0, "trial", 3)
    assert exports[0] == read_export(study.folder.best, exports[0].job.folder), (
        "best.yaml is the first of them"
    )


# Training again


RANDOM = """
import random
import numpy, torch

def train(config):
    for _ in range(3):
        yield {"score": random.random() + numpy.random.rand() + float(torch.rand(())) + config["x"]}
"""


def test_a_functions_randomness_is_reproduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random_function.py").write_text(RANDOM)
    monkeypatch.setattr("sys.path", list(sys.path))
    job = replace(
        an_export(tmp_path).job,
        task="random_function:train",
        max_epochs=3,
        folder=tmp_path / "trial",
    )
    import_from([str(tmp_path)])
    values = [report.metrics["score"] for report in run(job)]
    assert len(set(values)) == 3
    best = BestEpoch(
        number=4, epoch=values.index(max(values)) + 1, value=max(values), complete=True
    )
    an_export(tmp_path, job=job, best=best, import_paths=(str(tmp_path),)).write(
        tmp_path / "best.yaml"
    )
    code, output = train_again(tmp_path / "best.yaml")
    assert code == 0 and "the exported value, reproduced" in output


def test_what_a_task_is_not_compared_by_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    job = replace(
        an_export(tmp_path).job,
        task="gpt2_classifier",
        values=dict.fromkeys(("data.path", "data.vocab"), "/no"),
    )
    an_export(tmp_path, job=job).write(tmp_path / "best.yaml")
    with pytest.raises(TaskError) as caught:
        train_again(tmp_path / "best.yaml")
    assert sorted(caught.value.problems) == [
        f"{tmp_path / 'best.yaml'}: data.path: no such file or folder: /no",
        f"{tmp_path / 'best.yaml'}: data.vocab: no such file or folder: /no",
        f"{tmp_path / 'best.yaml'}: objective: gpt2_classifier is compared by {{maximize: "
        "accuracy}, got {maximize: score}",
    ]


def train_again(path: Path, seed: int | None = None) -> tuple[int, str]:
    text = io.StringIO()
    code = retrain(path, seed=seed, console=Console(file=text, width=400))
    return code, text.getvalue()


def test_the_same_seed_reproduces_the_exported_value(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path / "it's [a] study ✓"))
    code, text = train_again(study.folder.best)
    assert code == 0
    assert "at epoch 3: the exported value, reproduced" in text
    assert (
        study.folder.path / f"best-seed-{derive_seed(0, 'trial', 3)}" / "metrics.jsonl"
    ).exists()


def test_another_seed_is_told_beside_the_exports(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path / "s"))
    code, text = train_again(study.folder.best, seed=1)
    assert (code, "reproduced" in text) == (0, False)
    assert "training with seed 1" in text
    assert "; the export's seed reached 0.83" in text


def test_another_value_under_the_same_seed_is_no_reproduction(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path / "s"))
    text = study.folder.best.read_text()
    changed = text.replace("x: 8", "x: 9")
    assert changed != text
    study.folder.best.write_text(changed)
    code, shown = train_again(study.folder.best)
    assert (code, "reproduced" in shown) == (0, False)
    assert "; the export says 0.83" in shown


def test_a_trial_that_was_stopped_early_is_reproduced_and_trained_on(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path / "s"))
    best = read_export(study.folder.best, study.folder.best.parent)
    job = replace(best.job, folder=tmp_path / "twice as long")
    values = [report.metrics["score"] for report in run(job)]
    stopped = replace(best, best=replace(best.best, value=values[1], epoch=2))
    study.folder.best.write_text(dump_yaml(stopped.content()))
    code, shown = train_again(study.folder.best)
    assert code == 0 and values[2] > values[1]
    assert f"; the export says {values[1]:.4f} at epoch 2: reproduced, and then" in shown


def test_a_tiny_gpt2_is_reproduced(tmp_path: Path) -> None:
    values = {
        "model.layers": 1,
        "model.width": 16,
        "model.heads": 2,
        "data.batch_size": 256,
        "loss.lm_weight": 0.0,
    }
    objective = Objective(name="accuracy", direction="maximize")
    job = Job(
        task="gpt2_classifier",
        objective=objective,
        values=values,
        seed=1,
        split_seed=0,
        max_epochs=1,
        folder=tmp_path / "trial",
    )
    reports = list(run(job))
    best = BestEpoch(number=0, epoch=1, value=reports[0].metrics["accuracy"], complete=True)
    Export(job=job, import_paths=(), study="tiny", best=best).write(tmp_path / "best.yaml")
    code, text = train_again(tmp_path / "best.yaml")
    assert code == 0
    assert "the exported value, reproduced" in text
    assert StudyFolder(tmp_path).path / "best-seed-1" / "checkpoint" / "best.pt" in list(
        tmp_path.rglob("*.pt")
    )
