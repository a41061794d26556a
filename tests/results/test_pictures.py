"""Proves that pictures are drawn of the model at its best epoch, for the rows asked for.

pytest tests/results
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from cluster.search.study import Study
from results.pictures import ROWS, draw, draw_best
from results.study.description import Description
from results.study.folder import StudyError, StudyFolder, StudyLock
from results.study.record import StudyRecord, read_study
from search_spaces import Space, space_from_mapping
from tests.trainables.test_training import Line, LineConfig
from trainables.job import run
from trainables.parts.data import Splits
from trainables.trial_folder import read_state

ROOT = Path(__file__).resolve().parents[2]
DRAWN: list[tuple[list[float], list[int]]] = []


class Drawn(Line):
    """The line, drawn as one plot a row."""

    def pictures(
        self, config: LineConfig, model: nn.Module, splits: Splits, rows: Sequence[int]
    ) -> dict[str, Figure]:
        assert not model.training
        DRAWN.append((cast(nn.Linear, model).weight.flatten().tolist(), list(rows)))
        figures = {f"row {row}": Figure(figsize=(2, 2)) for row in rows}
        for figure, row in zip(figures.values(), rows, strict=True):
            figure.subplots().plot(splits.validation.tensors["x"][row])
        return figures


def space_of(task: str) -> Space:
    mapping = {
        "task": f"{__name__}:{task}"
        if task == "Drawn"
        else f"tests.trainables.test_training:{task}",
        "parameters": {"optim.lr": {"float": [0.01, 0.1]}},
        "start": [{"optim.lr": 0.01}, {"optim.lr": 0.1}],
        "fixed": {"optim.scheduler": "constant"},
        "search": {"scheduler": "none"},
        "budget": {"trials": 2, "max_epochs": 2, "keep": 1},
    }
    return space_from_mapping(mapping, name="lines", file="lines.yaml")


def studied(path: Path, task: str = "Drawn") -> StudyRecord:
    space, folder, objective = space_of(task), StudyFolder(path / "it's a [study]"), Drawn.objective
    Description(space=space, objective=objective, import_paths=(), origin={}).write(folder)
    study = Study(folder, space, objective)
    while (trial := study.next_trial()) is not None:
        for report in run(study.job(trial)):
            study.report(trial.number, report.epoch, report.metrics["error"])
    return read_study(folder)


def test_the_best_trials_model_is_drawn_for_the_rows_asked_for(tmp_path: Path) -> None:
    record = studied(tmp_path)
    paths = draw(record, trial=None, rows=[3, 5])
    assert [path.name for path in paths] == ["trial-0001-row 3.png", "trial-0001-row 5.png"]
    for path in paths:
        with Image.open(path) as image:
            assert image.size > (100, 100)
    weights, rows = DRAWN[-1]
    state: Any = read_state(record.folder.trial(1).best)
    assert weights == state["model"]["weight"].flatten().tolist()
    assert rows == [3, 5]


def test_a_trial_whose_model_is_not_kept_is_refused_by_naming_those_that_are(
    tmp_path: Path,
) -> None:
    record = studied(tmp_path)
    with pytest.raises(StudyError, match="trial 0 is not one whose model is kept; those are 1"):
        draw(record, trial=0, rows=[0])
    record.folder.trial(1).delete_checkpoint()
    with pytest.raises(
        StudyError, match="there is no trial whose model is kept; those are none yet"
    ):
        draw(record, trial=None, rows=[0])


def test_rows_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"rows must be below 40, .*, got \[40, 99\]"):
        draw(studied(tmp_path), trial=None, rows=[1, 40, 99])


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    record = studied(tmp_path)
    record.folder.trial(1).best.write_bytes(b"no checkpoint")
    with pytest.raises(StudyError, match=r"best\.pt can't be read"):
        draw(record, trial=None, rows=[0])


def test_a_model_of_another_configuration_is_refused(tmp_path: Path) -> None:
    record = studied(tmp_path)
    best = record.folder.trial(1).best
    torch.save(torch.load(best, weights_only=True) | {"model": {"another": torch.ones(1)}}, best)
    with pytest.raises(
        StudyError, match=r"best\.pt: the weights don't fit the configuration's model: .*another"
    ):
        draw(record, trial=None, rows=[0])


def test_a_task_without_pictures_says_so(tmp_path: Path) -> None:
    record = studied(tmp_path, task="Line")
    with pytest.raises(StudyError, match="test_training:Line draws no pictures"):
        draw(record, trial=None, rows=[0])
    function = replace(record.description.space, task="tests.results.small_study:train")
    record = replace(record, description=replace(record.description, space=function))
    with pytest.raises(StudyError, match="is a function, which keeps its model itself"):
        draw(record, trial=None, rows=[0])


def test_the_report_has_the_best_trial_drawn_once_for_each_model(tmp_path: Path) -> None:
    folder = studied(tmp_path).folder
    before = len(DRAWN)
    assert draw_best(read_study(folder)) is None and draw_best(read_study(folder)) is None
    assert len(DRAWN) == before + 1
    assert sorted(path.name for path in folder.pictures.glob("*.png")) == [
        f"trial-0001-row {row}.png" for row in ROWS
    ]
    later_ns = time.time_ns() + 10**9  # A file's time is only exact to some milliseconds.
    os.utime(folder.trial(1).best, ns=(later_ns, later_ns))
    assert draw_best(read_study(folder)) is None
    assert len(DRAWN) == before + 2


def test_pictures_whose_drawing_was_cut_short_are_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = studied(tmp_path).folder
    before = len(DRAWN)

    def killed(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", killed)
        draw_best(read_study(folder))
    assert not list(folder.pictures.glob("*.png")), "no file is half a picture"
    assert draw_best(read_study(folder)) is None
    assert len(DRAWN) == before + 2
    assert len(list(folder.pictures.glob("*.png"))) == len(ROWS)


def test_the_report_says_why_a_picture_is_missing_only_where_there_should_be_one(
    tmp_path: Path,
) -> None:
    folder = studied(tmp_path).folder
    assert draw_best(studied(tmp_path / "none", task="Line")) is None
    with StudyLock(folder):
        assert draw_best(read_study(folder)) is None and not folder.pictures.exists(), (
            "the search may need the machine"
        )
    folder.trial(1).best.write_bytes(b"no checkpoint")
    assert "best.pt can't be read" in (draw_best(read_study(folder)) or "")
    record = read_study(folder)
    gone = replace(record.description.space, task="no.such.module:Drawn")
    record = replace(record, description=replace(record.description, space=gone))
    assert "no.such.module" in (draw_best(record) or "")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    study = studied(tmp_path)
    study.folder.pictures.touch()
    with pytest.raises(
        StudyError, match="pictures can't be written: File exists; copy the study and draw there"
    ):
        draw(study, trial=None, rows=ROWS)


def test_pictures_are_drawn_to_files_whatever_a_notebooks_environment_says() -> None:
    code = (
        "import launch; launch.main(['spaces']); from matplotlib import pyplot; "
        "print(pyplot.get_backend())"
    )
    environment = {**os.environ, "MPLBACKEND": "module://a_backend_that_only_a_notebook_has"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1].lower() == "agg", done.stderr
