"""What a task is, and how its name becomes one; PyTorch is for who trains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self

from typing_extensions import TypeVar

from search_spaces.space import Objective
from trainables.config import TaskError, build_config
from trainables.user_code.importing import describe, import_attribute
from trainables.user_code.signature import function_problem

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from trainables.parts.data import Batch, Splits
    from trainables.team import Team

ConfigT = TypeVar("ConfigT", default=Any)
SplitsT = TypeVar("SplitsT", bound="Splits", default=Any)
ModelT = TypeVar("ModelT", bound="nn.Module", default=Any)

BUILTIN_TASKS = {
    "gpt2_classifier": "trainables.gpt2_classifier.task:GPT2Classifier",
    "low_rank": "trainables.low_rank.task:LowRank",
    "image_classifier": "trainables.image_classifier.task:ImageClassifier",
    "segmentation": "trainables.segmentation.task:Segmentation",
    "next_char": "trainables.textbook.next_char:NextChar",
}


class Tally(Protocol):
    """Summable counts from which metrics are computed."""

    def merge(self, other: Self) -> None:
        """Add another tally's counts to this one."""

    def compute(self) -> dict[str, float]:
        """The metrics, the objective among them."""

    def details(self) -> dict[str, Any]:
        """What is no single number (a confusion matrix, say), as JSON would hold it."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What training yields after each epoch that was evaluated.

    Attributes:
        epoch: From 1; may leave out epochs that were not evaluated.
        metrics: Numbers by name, the objective among them.
        details: What is no single number, as JSON would hold it.
        state: Gives all that is needed to go on from here, tensors and plain values; among them,
            as `evaluated`, the state dict of the model that the metrics are of. None: this can't
            be resumed, and no model is kept.
        warning: What the user should know of how this report came about.
    """

    epoch: int
    metrics: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)
    state: Callable[[], dict[str, Any]] | None = field(default=None, repr=False)
    warning: str | None = None


class Task(Generic[ConfigT, SplitsT, ModelT]):
    """Data, model, loss and metrics of one PyTorch problem.

    A subclass names its `Config` (a frozen dataclass with a group `optim: OptimConfig` and a field
    `data.batch_size`) and its `objective`, and writes the methods that raise here. It knows nothing
    of Ray or Optuna.

    Attributes:
        Config: The class of its configurations.
        validation_settings: Settings that decide the validation data, by dotted names. They can't
            be searched; what isn't named here, `check --run` finds out.
        preparing_settings: Settings by which a model has the same validation samples prepared in
            a way of its own, as its pretrained weights may need; these can be searched.
        objective: What trials are compared by, unless a space names one of the others.
        other_objectives: Further metrics that a space may compare by.
        shown_metrics: Metrics that tables show beside the objective.
        uses_all_parameters: Whether the loss of any batch depends on every parameter that is
            trained. Several workers then need not look for those that were left out.
    """

    Config: ClassVar[type]
    validation_settings: ClassVar[tuple[str, ...]] = ()
    preparing_settings: ClassVar[tuple[str, ...]] = ()
    objective: ClassVar[Objective]
    other_objectives: ClassVar[tuple[Objective, ...]] = ()
    shown_metrics: ClassVar[tuple[str, ...]] = ()
    uses_all_parameters: ClassVar[bool] = False

    def data(self, config: ConfigT, seed: int) -> SplitsT:
        """The three splits. Called for every trial: cache what is slow to load."""
        raise NotImplementedError

    def model(self, config: ConfigT, splits: SplitsT) -> ModelT:
        """A new model, initialized from PyTorch's global random state."""
        raise NotImplementedError

    def head(self, model: ModelT) -> list[nn.Parameter]:
        """The parameters trained at `lr x head_lr_mult`, also while the others are frozen."""
        return []

    def layers(self, model: ModelT) -> list[list[nn.Parameter]]:
        """The parameters below the head by depth, the input's first, for `layer_decay`."""
        return []

    def no_weight_decay(self, model: ModelT) -> set[str]:
        """Names of parameters without weight decay, beside biases and norms; may have wildcards.

        By default those that the model itself names, as timm's models do.
        """
        named = getattr(model, "no_weight_decay", None)
        return set(named()) if callable(named) else set()

    def augment(self, config: ConfigT, batch: Batch) -> Batch:
        """A training batch, varied at random by PyTorch's global random state.

        It is on the model's device already.
        """
        return batch

    def loss(self, config: ConfigT, model: ModelT, batch: Batch) -> tuple[Tensor, Any]:
        """The training loss of a batch (a mean), and whatever `count` needs of the forward pass."""
        raise NotImplementedError

    def tally(self, config: ConfigT, splits: SplitsT) -> Tally:
        """An empty tally."""
        raise NotImplementedError

    def count(self, tally: Any, outputs: Any, batch: Batch) -> None:
        """Count one batch's outputs into the tally."""
        raise NotImplementedError

    def measure(self, config: ConfigT, model: ModelT, batch: Batch, tally: Any) -> Tensor | None:
        """Judge the model by a batch of validation or test data: count it into the tally.

        A task that judges by something else than the forward pass of its loss, such as generated
        text, writes this in place of `count`.

        Returns:
            The batch's mean loss, or None where it isn't computed.
        """
        import torch  # Not before: a task's name and its class are looked at without it.

        loss, outputs = self.loss(config, model, batch)
        with torch.autocast(loss.device.type, enabled=False):  # Counting needs all the digits.
            self.count(tally, outputs, batch)
        return loss

    def train(
        self,
        config: ConfigT,
        *,
        seed: int,
        split_seed: int,
        device: torch.device,
        max_epochs: int,
        objective: Objective,
        resume_from: dict[str, Any] | None,
        team: Team,
    ) -> Iterator[Report]:
        """Train, yielding after each epoch, by default in the loop that all tasks share.

        A task that isn't trained by gradient steps over epochs of batches writes a generator of its
        own; of the arguments it need only name those that it uses and take the others as `**_`.
        Arguments are those of `trainables.training.train`.
        """
        from trainables.training import train  # It needs the classes of this module.

        return train(
            self,
            config,
            seed=seed,
            split_seed=split_seed,
            device=device,
            max_epochs=max_epochs,
            objective=objective,
            resume_from=resume_from,
            team=team,
        )

    def pictures(
        self, config: ConfigT, model: ModelT, splits: SplitsT, rows: Sequence[int]
    ) -> dict[str, Figure]:
        """Figures by name that show what a trained model does with validation data.

        Args:
            config: An instance of `Config`.
            model: With its weights, in evaluation mode.
            splits: The task's data.
            rows: Which samples of the validation split to show.
        """
        return {}


class TrainFunction(Protocol):
    """A bare generator function of the user's own: each dict it yields is one epoch's metrics."""

    def __call__(self, config: dict[str, Any], /, **context: Any) -> Iterator[Mapping[str, Any]]:
        """Train by `config`.

        May take `seed`, `max_epochs`, `device`, `folder`, `rank` and `workers` by keyword.
        """


def load_task(name: str) -> Task | TrainFunction:
    """The task with a built-in name, or what stands at `module:attribute`.

    That is an instance of a `Task` class, or a generator function.

    Raises:
        TaskError: for an unknown name, a module that can't be imported, an attribute that isn't
            there or is no task.
    """
    target = BUILTIN_TASKS.get(name, name)
    module_name, colon, attribute = target.partition(":")
    if not (colon and module_name and attribute):
        raise TaskError(
            f"task must be a built-in name ({', '.join(sorted(BUILTIN_TASKS))}) or "
            f"module:attribute, got {name!r}"
        )
    found = import_attribute(module_name, attribute, name)
    if isinstance(found, type) and issubclass(found, Task):
        missing = [part for part in ("Config", "objective") if not hasattr(found, part)]
        if missing:
            raise TaskError(
                f"task {name!r}: a Task class has Config and objective, got no "
                f"{' and no '.join(missing)}"
            )
        return _made(found, name)
    if callable(found) and not isinstance(found, type):
        if problem := function_problem(found):
            raise TaskError(f"task {name!r} {problem}")
        return found
    raise TaskError(
        f"task {name!r} must be a subclass of trainables.task.Task or a generator function, got "
        f"{found!r}"
    )


def _made(task_class: type[Task], name: str) -> Task:
    try:
        return task_class()
    except Exception as error:  # It is anyone's code.
        raise TaskError(
            f"task {name!r}: making one of its class failed: {describe(error)}"
        ) from error


def make_config(task: Task | TrainFunction, values: Mapping[str, Any]) -> Any:
    """The task's own config of these values; a bare function takes the flat dict as it is."""
    return build_config(task.Config, values) if isinstance(task, Task) else dict(values)
