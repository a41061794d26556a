"""What `export` writes: a folder for each of the best configurations, and tables of all trials."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from results.confirm.confirmation import read_confirmation
from results.export.export import CONFIG, Export, trial_export
from results.export.model_card import model_card
from results.export.table import write_csv, write_json
from results.export.weights import WEIGHTS, are_written, write_weights
from results.study.best import BestEpoch, pareto_front
from results.study.folder import StudyError
from results.study.record import StudyRecord
from results.text import program
from trainables.task import BUILTIN_TASKS, Task, load_task
from trainables.trial_folder import read_state, write_text_atomically
from trainables.user_code.importing import import_from, task_files

DEFAULT_TOP = 3
CONFIG_JSON, CARD, CODE = "config.json", "README.md", "code"
CSV, JSON = "trials.csv", "trials.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """Something that was written, and what to say of it."""

    path: Path
    text: str


def export_study(record: StudyRecord, to: Path, *, top: int | None = None) -> list[Written]:
    """Write a study's best configurations, the best first, and its tables of all trials.

    Each folder has `config.yaml` (which `launch.py train` reads), `config.json`,
    `model.safetensors` (the weights of the best epoch, where they are kept), `code/` (the task's
    modules, if it isn't a built-in one) and `README.md`.

    Args:
        record: The study.
        to: The folder to write to; what an earlier export wrote there under the same names is
            replaced.
        top: How many; default: the Pareto front of two objectives, else three.

    Raises:
        StudyError: when there is nothing to export, or the folder can't be written.
        TaskError: when the task can't be imported.
    """
    import_from(record.description.import_paths)
    bests = selected(record, top)
    if not bests:
        raise StudyError(
            f"{record.folder.path} has nothing to export: no trial has reported a value yet"
        )
    record.folder.fetch()
    try:
        folders = [
            _write_folder(record, trial_export(record, best), to / f"trial-{best.number:04d}")
            for best in bests
        ]
        write_csv(record, to / CSV)
        write_json(record, to / JSON)
    except OSError as error:
        raise StudyError(
            f"{to} can't be written: {error.strerror or error}; choose another --to"
        ) from error
    count = f"{len(record.trials)} trials"
    return [
        *folders,
        Written(path=to / CSV, text=f"{count}, a line each"),
        Written(path=to / JSON, text=f"{count}, with the values of every epoch"),
    ]


def selected(record: StudyRecord, top: int | None) -> list[BestEpoch]:
    """The trials to export: the winner on fresh seeds, then the others as the search ranks them.

    Of a study with two objectives, the Pareto front unless `top` is given.
    """
    bests, objective = record.ranked(), record.description.objective
    if top is None and objective.second:
        return pareto_front(bests, objective)
    confirmation = read_confirmation(record.folder)
    winner = confirmation.winner.trial if confirmation and confirmation.winner else None
    bests.sort(key=lambda best: best.number != winner)
    return bests[: top or DEFAULT_TOP]


def _write_folder(record: StudyRecord, export: Export, folder: Path) -> Written:
    folder.mkdir(parents=True, exist_ok=True)
    code = _copy_code(export.job.task, folder / CODE)
    if code:
        export = replace(
            export, import_paths=(str((folder / CODE).resolve()), *export.import_paths)
        )
    export.write(folder / CONFIG)
    write_text_atomically(folder / CONFIG_JSON, json.dumps(export.content(folder), indent=2) + "\n")
    missing = _write_weights(record, export, folder / WEIGHTS)
    write_text_atomically(folder / CARD, model_card(record, export, folder.name, missing, code))
    if missing is None:
        return Written(path=folder, text=export.summary())
    again = (
        f"; train it again for them: {program()} train {folder / CONFIG}"
        if _is_task(export)
        else ""
    )
    return Written(path=folder, text=f"{export.summary()}; no weights: {missing}{again}")


def _copy_code(task: str, to: Path) -> list[str]:
    """Copy the user's modules that a task consists of.

    Gives their paths, none for a built-in or installed task.
    """
    shutil.rmtree(to, ignore_errors=True)
    files = {} if task in BUILTIN_TASKS else task_files(task.partition(":")[0])
    for path, file in files.items():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to / path)
    return list(files)


def _write_weights(record: StudyRecord, export: Export, path: Path) -> str | None:
    """Write a trial's weights, and say why there are none.

    Those of an earlier export stay if they are the same.
    """
    try:
        write_weights(_best_weights(record, export), export, path)
    except ValueError as error:
        if are_written(export, path):
            return None
        path.unlink(missing_ok=True)
        return str(error)
    return None


def _best_weights(record: StudyRecord, export: Export) -> Mapping[str, Any]:
    """The state dict of a trial's best epoch; ValueError says why there is none."""
    if not _is_task(export):
        raise ValueError("its task is a function, which keeps its model itself")
    checkpoint = record.folder.trial(export.best.number).best
    if not checkpoint.exists():
        kept = record.description.space.budget.keep
        raise ValueError(
            f"its checkpoint is not kept, only those of the best {kept} are (budget.keep)"
        )
    try:
        state = read_state(checkpoint)
    except OSError as error:
        raise ValueError(f"its checkpoint can't be read: {error.strerror}") from error
    if state is None or not isinstance(state.get("model"), Mapping):
        raise ValueError("its checkpoint can't be read")
    if state["epoch"] != export.best.epoch:
        raise ValueError(
            f"its checkpoint is of epoch {state['epoch']}, as it is still being trained"
        )
    return state["model"]


def _is_task(export: Export) -> bool:
    return isinstance(load_task(export.job.task), Task)
