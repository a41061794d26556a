"""A configuration with everything needed to train it again, and the value that it reached."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from results.study.best import BestEpoch
from results.study.folder import StudyError, StudyFolder
from results.study.journal_fields import (
    MAPPING,
    OBJECTIVE,
    TEXT,
    Kind,
    list_of,
    or_null,
    wrong_fields,
)
from results.study.moves import moved, moved_folders
from results.study.record import StudyRecord
from results.text import metric_text
from search_spaces import Space, dump_yaml, read_objective, read_yaml
from search_spaces.checks import GREATEST_SEED
from search_spaces.problems import MAX_WHOLE, is_number, is_whole
from search_spaces.space import Objective
from trainables.config import flatten
from trainables.job import Job
from trainables.seeding import derive_seed
from trainables.task import Task, load_task, make_config
from trainables.trial_folder import write_text_atomically

CONFIG = "config.yaml"  # an export's name in its folder
KEYS = (
    "task",
    "objective",
    "config",
    "max_epochs",
    "seed",
    "split_seed",
    "cpus",
    "import_paths",
    "result",
)
FOLDER_KEY = "folder"  # where the file was written; not in those of earlier versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """A configuration that anyone can train again.

    Attributes:
        job: What to train; its folder is where it trained.
        import_paths: Folders that the task's modules are looked for in.
        study: The study's name.
        best: The value it reached, and where.
    """

    job: Job
    import_paths: tuple[str, ...]
    study: str
    best: BestEpoch

    def content(self, folder: Path | None = None) -> dict[str, Any]:
        """As plain values, every setting written out; for a file in a folder, if one is given."""
        job, best = self.job, self.best
        return {
            "task": job.task,
            "objective": job.objective.to_yaml(),
            "config": all_values(job),
            "max_epochs": job.max_epochs,
            "seed": job.seed,
            "split_seed": job.split_seed,
            "cpus": job.cpus,
            "import_paths": list(self.import_paths),
            **({FOLDER_KEY: str(folder.resolve())} if folder else {}),
            "result": {
                "study": self.study,
                "trial": best.number,
                "value": best.value,
                **({} if best.second is None else {"second": best.second}),
                "epoch": best.epoch,
                "complete": best.complete,
            },
        }

    def summary(self) -> str:
        """What was reached, in one line."""
        job, best = self.job, self.best
        end = "full budget" if best.complete else "not trained to the end"
        values = ", ".join(
            f"{name} {metric_text(value)}"
            for name, value in zip(job.objective.names, best.values, strict=False)
        )
        return (
            f"{values} at epoch {best.epoch} of {job.max_epochs} "
            f"(trial {best.number} of {self.study}, {end})"
        )

    def write(self, path: Path) -> None:
        """Write it as YAML that `launch.py train` reads."""
        about = (self.summary(), f"Train it again: python launch.py train {path.name}")
        text = "".join(f"# {' '.join(line.split())}\n" for line in about)
        text += dump_yaml(self.content(path.parent))
        write_text_atomically(path, text)


def all_values(job: Job) -> dict[str, Any]:
    """A job's configuration, also what it leaves to the task's defaults, which may change later."""
    task = load_task(job.task)
    config = make_config(task, job.values)
    flat = flatten(config) if isinstance(task, Task) else config
    return {name: _plain(value) for name, value in flat.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def read_export(path: Path, folder: Path) -> Export:
    """Read an exported YAML; a job made of it writes to `folder`.

    Raises:
        SpaceError: when the file is no strict YAML.
        StudyError: when it is no export.
    """
    content = read_yaml(path)
    wrong = [f"it has no {key!r}" for key in KEYS if key not in content]
    wrong += [
        f"it has {key!r}, which no export has" for key in content if key not in (*KEYS, FOLDER_KEY)
    ]
    if not wrong:
        wrong = wrong_fields(content, _EXPORT)
        if isinstance(content["result"], dict):
            wrong += wrong_fields(content["result"], _RESULT)
    if wrong:
        raise StudyError(f"{path} is no exported configuration: {'; '.join(wrong)}")
    return _from_content(content, folder, path.parent)


def _from_content(content: Mapping[str, Any], folder: Path, lies_in: Path) -> Export:
    result, written_in = content["result"], content.get(FOLDER_KEY)
    job = Job(
        task=content["task"],
        objective=read_objective(content["objective"]),
        values={
            name: moved(value, written_in=written_in, lies_in=lies_in)
            for name, value in content["config"].items()
        },
        seed=content["seed"],
        split_seed=content["split_seed"],
        max_epochs=content["max_epochs"],
        folder=folder,
        cpus=float(content["cpus"]),
    )
    second = result.get("second")
    best = BestEpoch(
        number=result["trial"],
        epoch=result["epoch"],
        value=float(result["value"]),
        complete=result["complete"],
        second=None if second is None else float(second),
    )
    paths = moved_folders(tuple(content["import_paths"]), written_in=written_in, lies_in=lies_in)
    return Export(job=job, import_paths=paths, study=result["study"], best=best)


def retrain_folder(path: Path, seed: int) -> Path:
    """Where an exported file is trained again: beside it."""
    return path.parent / f"{path.stem}-seed-{seed}"


def study_exports(record: StudyRecord) -> list[Export]:
    """An export for each trial that reported a value, the best first."""
    return [trial_export(record, best) for best in record.ranked()]


def trial_export(record: StudyRecord, best: BestEpoch) -> Export:
    """A trial's configuration and what it reached."""
    description, trial = record.description, record.trials[best.number]
    job = trial_job(record.folder, description.space, description.objective, trial)
    if description.split_seed is not None:
        job = replace(job, split_seed=description.split_seed)
    return Export(
        job=job, import_paths=description.import_paths, study=description.space.name, best=best
    )


def trial_job(folder: StudyFolder, space: Space, objective: Objective, trial: FrozenTrial) -> Job:
    """What a process needs to train a study's trial."""
    return Job(
        task=space.task,
        objective=objective,
        values=folder.here({**space.fixed, **trial.params}),
        seed=derive_seed(space.seed, "trial", trial.number),
        split_seed=space.seed,
        max_epochs=space.budget.max_epochs,
        folder=folder.trial(trial.number).path.resolve(),
        cpus=space.resources.cpus,
        mirror=folder.trial_mirror(trial.number),
    )


_FROM_ONE = Kind(lambda value: is_whole(value) and 1 <= value <= MAX_WHOLE, "a whole number from 1")
_FROM_ZERO = Kind(
    lambda value: is_whole(value) and 0 <= value <= MAX_WHOLE, "a whole number from 0"
)
_SEED = Kind(
    lambda value: is_whole(value) and 0 <= value <= GREATEST_SEED,
    f"a whole number from 0 to {GREATEST_SEED}",
)
_FINITE = Kind(is_number, "a finite number")
_EXPORT = {
    "task": TEXT,
    "objective": OBJECTIVE,
    "config": Kind(
        lambda value: isinstance(value, dict) and all(isinstance(name, str) for name in value),
        "a mapping",
    ),
    "max_epochs": _FROM_ONE,
    "seed": _SEED,
    "split_seed": _SEED,
    "cpus": Kind(lambda value: is_number(value) and value > 0, "a number above 0"),
    "import_paths": list_of(TEXT, "a list of folders"),
    FOLDER_KEY: or_null(TEXT),
    "result": MAPPING,
}
_RESULT = {
    "study": TEXT,
    "trial": _FROM_ZERO,
    "value": _FINITE,
    "epoch": _FROM_ONE,
    "complete": Kind(lambda value: isinstance(value, bool), "true or false"),
    "second": or_null(_FINITE),
}
