"""Proves that an export gives its very model in a new process, or one clear message.

pytest tests/results
"""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from results.console import Console
from results.export.export import CONFIG
from results.export.folder import export_study
from results.export.retrain import retrain
from results.export.weights import WEIGHTS
from results.load import LoadedExport, load_exported
from results.study.folder import StudyError
from results.study.record import StudyRecord, read_study
from tests.results.small_study import drive, open_study
from tests.results.task_study import task_study, user_study
from tests.trainables.conformance import TINY
from trainables.task import Task, load_task, make_config
from trainables.trial_folder import read_state

ROOT = Path(__file__).resolve().parents[2]
IN_A_NEW_PROCESS = """
import sys
import torch
torch.set_num_threads(1)
from results.load import load_exported
*folders, file = sys.argv[1:]
told = []
for folder in folders:
    loaded = load_exported(folder)
    outputs = loaded.predict(next(loaded.splits.validation.batches(8)))
    assert not loaded.model.training and not outputs.requires_grad
    told.append({"outputs": outputs, "value": loaded.value, "epoch": loaded.epoch})
assert not {"ray", "cluster", "launch"} & set(sys.modules)
torch.save(told, file)
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "user_task", raising=False)
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The folder of a user's task, exported."""
    record = user_study(tmp_path / "s")
    return export_study(record, tmp_path / "to")[0].path


def told_by_a_new_process(folders: list[Path], cwd: Path) -> list[dict[str, Any]]:
    """Outputs, value and epoch of each export."""
    cwd.mkdir()
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, *map(str, folders), "told.pt"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return torch.load(cwd / "told.pt", weights_only=True)


def outputs_of_checkpoint(record: StudyRecord) -> torch.Tensor:
    """What the trial's own `best.pt` predicts for the first validation batch."""
    space, trial = record.description.space, record.ranked()[0]
    task = load_task(space.task)
    assert isinstance(task, Task)
    config = make_config(task, {**space.fixed, **record.trials[trial.number].params})
    splits = task.data(config, space.seed)
    model = task.model(config, splits)
    state = read_state(record.folder.trial(trial.number).best)
    assert state is not None
    model.load_state_dict(state["model"])
    with torch.no_grad():
        return task.loss(config, model.eval(), next(splits.validation.batches(8)))[1]


@pytest.mark.slow
def test_a_new_process_predicts_what_the_best_checkpoint_does(tmp_path: Path) -> None:
    gpt2 = TINY["gpt2_classifier"] | {"data.batch_size": 256, "loss.lm_weight": 0.0}
    records = [
        task_study(tmp_path / "gpt2", "gpt2_classifier", gpt2),
        task_study(tmp_path / "images", "image_classifier", TINY["image_classifier"]),
        user_study(tmp_path / "user"),
    ]
    folders = [
        export_study(record, tmp_path / f"it's [a] folder ✓{i}")[0].path
        for i, record in enumerate(records)
    ]
    torch.set_num_threads(1)
    for record, told in zip(
        records, told_by_a_new_process(folders, tmp_path / "elsewhere"), strict=True
    ):
        assert torch.equal(told["outputs"], outputs_of_checkpoint(record))
        best = record.ranked()[0]
        assert (told["epoch"], told["value"]) == (best.epoch, best.value)


def test_tied_weights_and_extra_state_come_back(exported: Path) -> None:
    assert load_file(exported / WEIGHTS).keys() == {"embedding.weight", "output.weight", "turned"}
    model: Any = load_exported(exported).model
    assert model.output.weight is model.embedding.weight
    assert model.scale == 2.0


def test_an_export_without_weights_loads_what_training_again_gave(tmp_path: Path) -> None:
    record = user_study(tmp_path / "s", trials=2, keep=1)
    folder = export_study(record, tmp_path / "to")[1].path
    with pytest.raises(
        StudyError,
        match=rf"has no {WEIGHTS}; train it again.*python launch\.py train .*config\.yaml",
    ):
        load_exported(folder)
    retrain(folder / CONFIG, seed=None, console=Console(file=io.StringIO()))
    loaded = load_exported(folder)
    assert (loaded.epoch, loaded.value) == (record.ranked()[1].epoch, record.ranked()[1].value)
    next(folder.rglob("best.pt")).write_bytes(b"broken")
    with pytest.raises(StudyError, match=r"best\.pt can't be read; train it again"):
        load_exported(folder)


# Mistakes and damage


@pytest.mark.parametrize("name", ["nowhere", ".", "to"])
def test_a_folder_that_is_no_export_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match=r"is no export: it has no config\.yaml"):
        load_exported(tmp_path / name)
    with pytest.raises(StudyError, match=r"is no export: it has no config\.yaml"):
        load_exported(str(exported / CONFIG))


@pytest.mark.parametrize("text", ["", "a: [", "task: x\n", "- 1\n"])
def test_a_damaged_configuration_is_refused(exported: Path, text: str) -> None:
    (exported / CONFIG).write_text(text)
    with pytest.raises(StudyError, match=r"config\.yaml"):
        load_exported(exported)


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "folder"])
def test_a_damaged_weights_file_is_refused(exported: Path, damage: str) -> None:
    path = exported / WEIGHTS
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(
            {"empty": b"", "cut": content[:-5], "garbage": b"\x80\x04pickle" * 9}[damage]
        )
    with pytest.raises(StudyError, match=rf"{WEIGHTS} is damaged: "):
        load_exported(exported)


def test_another_exports_weights_are_refused(exported: Path) -> None:
    tensors = load_file(exported / WEIGHTS)
    save_file(tensors, exported / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(
        StudyError,
        match="is not the model of the configuration beside it: its rungs_format must be 1",
    ):
        load_exported(exported)


def test_weights_that_do_not_fit_are_refused(exported: Path) -> None:
    text = (exported / CONFIG).read_text()
    (exported / CONFIG).write_text(text.replace("model.width: 4", "model.width: 6"))
    with pytest.raises(
        StudyError, match=r"weights don't fit the configuration's model: .*size mismatch"
    ):
        load_exported(exported)


def test_an_export_brings_its_tasks_code_along(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.rmtree(tmp_path / "my code")
    moved = exported.rename(tmp_path / "elsewhere")
    monkeypatch.delitem(sys.modules, "user_task")
    loaded = load_exported(moved)
    module = sys.modules[type(loaded.task).__module__]
    assert Path(str(module.__file__)) == moved / "code" / "user_task.py"


def test_a_task_that_is_gone_is_refused(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "my code")
    shutil.rmtree(exported / "code")
    monkeypatch.delitem(sys.modules, "user_task")
    with pytest.raises(
        StudyError,
        match="can't be loaded: task 'user_task:UserTask': there is no module 'user_task'",
    ):
        load_exported(exported)


def test_data_that_are_gone_are_told(tmp_path: Path) -> None:
    folder = export_study(
        task_study(tmp_path / "s", "segmentation", TINY["segmentation"]), tmp_path / "to"
    )[0].path
    text = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(text.replace("data.path: null", "data.path: /no/where"))
    with pytest.raises(StudyError, match="can't be loaded: /no/where"):
        load_exported(folder)


def test_a_functions_export_holds_no_model(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path / "s"))
    folder = export_study(read_study(study.folder), tmp_path / "to")[0].path
    with pytest.raises(StudyError, match="is a function, which keeps its model itself"):
        load_exported(folder)


def test_a_batch_that_lacks_a_tensor_is_told(exported: Path) -> None:
    loaded = load_exported(exported)
    with pytest.raises(StudyError, match="user_task:UserTask needs 'next' in a batch, got tokens"):
        loaded.predict({"tokens": torch.arange(3)})


def with_loss(loaded: LoadedExport, loss: Callable[..., Any]) -> LoadedExport:
    """The same export with another loss."""
    task = copy(loaded.task)
    task.loss = partial(loss, loaded.task)  # type: ignore[method-assign]
    return replace(loaded, task=task)


def test_a_key_that_the_tasks_own_code_lacks_is_no_missing_tensor(exported: Path) -> None:
    def loss(task: Task, config: Any, model: Any, batch: Any) -> Any:
        return task.loss(config, model, batch)[0] * {"ce": 1.0}["focal"], None

    loaded = load_exported(exported)
    with pytest.raises(KeyError, match="focal"):
        with_loss(loaded, loss).predict(next(loaded.splits.validation.batches(8)))


def test_a_loss_may_itself_see_to_a_tensor_that_is_missing(exported: Path) -> None:
    def loss(task: Task, config: Any, model: Any, batch: Any) -> Any:
        try:
            return None, batch["mask"]
        except KeyError:
            return None, batch.get("mask", batch["tokens"])

    tokens = torch.arange(3)
    assert with_loss(load_exported(exported), loss).predict({"tokens": tokens}) is tokens
