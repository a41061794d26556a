"""Loading an export: the trained model in three lines of Python.

```python
from results.load import load_exported

loaded = load_exported("exports/trial-0003")
outputs = loaded.predict(next(loaded.splits.validation.batches(8)))
```
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from results.export.export import CONFIG, Export, read_export, retrain_folder
from results.export.models import fill, task_with_model
from results.export.weights import WEIGHTS, read_weights
from results.study.folder import StudyError
from search_spaces import SpaceError
from trainables.config import TaskError
from trainables.parts.data import Batch, Splits
from trainables.task import Task, make_config
from trainables.training import autocast, to_device
from trainables.trial_folder import TrialFolder, read_state
from trainables.user_code.importing import import_from


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class LoadedExport:
    """A trained model, and what it takes to use it.

    Attributes:
        model: With its weights, in evaluation mode, on the CPU; it may be moved.
        task: What it was trained for.
        config: An instance of `task.Config`.
        splits: The task's data, split as in the search; `splits.validation` is what its value was
            measured on.
        export: The configuration, and what the search reached with it.
        epoch: After which the weights were taken.
        value: The objective of these weights on the validation split.
    """

    model: nn.Module
    task: Task
    config: Any
    splits: Splits
    export: Export
    epoch: int
    value: float

    @torch.no_grad()
    def predict(self, batch: Batch) -> Any:
        """What the task's metrics are computed from (logits mostly), computed as in validation.

        Args:
            batch: Tensors by name, as a split gives them: the labels too, as the task's loss is
                computed on the way. Without labels, call `model` as the task's `loss` does.

        Raises:
            StudyError: when the task needs a tensor that the batch lacks.
        """
        tensors = _NamedTensors(to_device(batch, self.model))
        try:
            with autocast(self.model.eval(), self.config.optim.amp):
                return self.task.loss(self.config, self.model, tensors)[1]
        except _MissingTensorError as error:
            raise StudyError(
                f"{self.export.job.task} needs {error} in a batch, got {', '.join(batch)}"
            ) from error


class _MissingTensorError(KeyError):
    """A batch has no tensor of this name."""


class _NamedTensors(dict[str, Tensor]):
    """A batch whose missing tensors can be told from the keys that a task's own code lacks."""

    def __missing__(self, name: str) -> Tensor:
        raise _MissingTensorError(name)


def load_exported(folder: str | Path) -> LoadedExport:
    """The model of an exported folder.

    A task's model takes its sizes from the data (the number of classes, say), so the task reads
    these as well. Where the folder has no weights but the configuration was trained again beside
    it, that training's best ones are loaded.

    Raises:
        StudyError: when the folder is no export, its weights are missing, damaged or don't fit, or
            its task or data can't be found.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise StudyError(f"{folder} is no export: it has no {CONFIG}")
    try:
        export = read_export(folder / CONFIG, folder)
        import_from(export.import_paths)
        task = task_with_model(export.job)
        config = make_config(task, export.job.values)
        state, epoch, value = _weights(folder, export)
        splits = task.data(config, export.job.split_seed)
        model = task.model(config, splits)
    except (OSError, SpaceError, TaskError) as error:
        raise StudyError(f"{folder} can't be loaded: {error}") from error
    fill(model, state, folder)
    return LoadedExport(
        model=model.eval(),
        task=task,
        config=config,
        splits=splits,
        export=export,
        epoch=epoch,
        value=value,
    )


def _weights(folder: Path, export: Export) -> tuple[dict[str, Any], int, float]:
    """The state dict, its epoch, its value."""
    best = export.best
    if (folder / WEIGHTS).exists():
        return read_weights(export, folder / WEIGHTS), best.epoch, best.value
    retrained = TrialFolder(retrain_folder(folder / CONFIG, export.job.seed)).best
    if not retrained.exists():
        raise StudyError(
            f"{folder} has no {WEIGHTS}; train it again, then load it: python launch.py train "
            f"{folder / CONFIG}"
        )
    state = read_state(retrained) or {}
    metrics = state.get("metrics")
    if not isinstance(state.get("model"), Mapping) or not isinstance(metrics, Mapping):
        raise StudyError(
            f"{retrained} can't be read; train it again: python launch.py train {folder / CONFIG}"
        )
    return state["model"], state["epoch"], float(metrics.get(export.job.objective.name, "nan"))
