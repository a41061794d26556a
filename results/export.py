"""Exports: a configuration with everything needed to train it again, and the value that it reached."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from results.best import Best
from results.read import StudyRecord
from results.study_folder import StudyError, StudyFolder
from results.text import metric_text
from search_spaces import Space, SpaceError, dump_yaml, read_objective, read_yaml
from search_spaces.space import Objective
from trainables.config import flatten
from trainables.job import Job
from trainables.seeding import derive_seed
from trainables.task import Task, load_task, make_config
from trainables.trial_folder import write_atomically

CONFIG = "config.yaml"  # an export's name in its folder
KEYS = ("task", "objective", "config", "max_epochs", "seed", "split_seed", "cpus", "import_paths", "result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """A configuration that anyone can train again.

    Attributes:
        job: What to train; its folder is where it trained.
        import_paths: Folders that the task's module may be imported from.
        study: The study's name.
        best: The value it reached, and where.
    """

    job: Job
    import_paths: tuple[str, ...]
    study: str
    best: Best

    def content(self) -> dict[str, Any]:
        """As plain values, every setting written out."""
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
        second = job.objective.second
        also = f", {second.name} {metric_text(best.second)}" if second and best.second is not None else ""
        return (
            f"{job.objective.name} {metric_text(best.value)}{also} at epoch {best.epoch} of {job.max_epochs} "
            f"(trial {best.number} of {self.study}, {end})"
        )

    def write(self, path: Path) -> None:
        """Write it as YAML that `launch.py train` reads."""
        about = (self.summary(), f"Train it again: python launch.py train {path.name}")
        text = "".join(f"# {' '.join(line.split())}\n" for line in about)
        text += dump_yaml(self.content())
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def all_values(job: Job) -> dict[str, Any]:
    """A job's configuration with the task's defaults filled in, so that it outlives a change of them."""
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
    wrong = [f"has no {key!r}" for key in KEYS if key not in content]
    wrong += [f"has {key!r}, which no export has" for key in content if key not in KEYS]
    if wrong:
        raise StudyError(f"{path} is no exported configuration: it {'; '.join(wrong)}")
    try:
        return _from_content(content, folder)
    except (AttributeError, KeyError, TypeError, ValueError, SpaceError) as error:
        raise StudyError(f"{path} is no exported configuration: {type(error).__name__}: {error}") from error


def _from_content(content: Mapping[str, Any], folder: Path) -> Export:
    result = content["result"]
    job = Job(
        task=str(content["task"]),
        objective=read_objective(content["objective"]),
        values=dict(content["config"]),
        seed=int(content["seed"]),
        split_seed=int(content["split_seed"]),
        max_epochs=int(content["max_epochs"]),
        folder=folder,
        cpus=float(content["cpus"]),
    )
    best = Best(
        number=int(result["trial"]),
        epoch=int(result["epoch"]),
        value=float(result["value"]),
        complete=bool(result["complete"]),
        second=None if result.get("second") is None else float(result["second"]),
    )
    return Export(job=job, import_paths=tuple(map(str, content["import_paths"])), study=str(result["study"]), best=best)


def study_exports(record: StudyRecord) -> list[Export]:
    """An export for each trial that reported a value, the best first."""
    return [trial_export(record, best) for best in record.ranked()]


def trial_export(record: StudyRecord, best: Best) -> Export:
    """A trial's configuration and what it reached."""
    description, trial = record.description, record.trials[best.number]
    values = {**description.space.fixed, **trial.params}
    job = trial_job(record.folder, description.space, description.objective, best.number, values)
    if description.split_seed is not None:
        job = replace(job, split_seed=description.split_seed)
    return Export(job=job, import_paths=description.import_paths, study=description.space.name, best=best)


def trial_job(folder: StudyFolder, space: Space, objective: Objective, number: int, values: Mapping[str, Any]) -> Job:
    """What a process needs to train a study's trial: everything follows from the space, the number and the values."""
    return Job(
        task=space.task,
        objective=objective,
        values=dict(values),
        seed=derive_seed(space.seed, "trial", number),
        split_seed=space.seed,
        max_epochs=space.budget.max_epochs,
        folder=folder.trial(number).path.resolve(),
        cpus=space.resources.cpus,
        mirror=folder.trial_mirror(number),
    )
