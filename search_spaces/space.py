"""The value objects of a search, frozen; each checks itself when built."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

from search_spaces.checks import (
    Start,
    condition_problems,
    fixed_problems,
    sampler_problems,
    search_problems,
    start_problems,
    top_problems,
)
from search_spaces.parameter import Parameter, ordered
from search_spaces.problems import (
    Scalar,
    SpaceError,
    check,
    is_number,
    one_of,
    rule,
    show,
    whole,
    word,
)
from search_spaces.rungs import halving_cost, look_epochs, rung_epochs

DIRECTIONS = ("maximize", "minimize")
Sampler = Literal["auto", "curves", "tpe", "gp", "cmaes", "sobol", "grid", "random", "none"]
Scheduler = Literal["auto", "freeze_thaw", "asha", "promotion", "hyperband", "median", "none"]
SAMPLERS: tuple[str, ...] = get_args(Sampler)
SCHEDULERS: tuple[str, ...] = get_args(Scheduler)
HALVING = ("asha", "promotion", "hyperband")
RAY_RESOURCES = ("CPU", "GPU", "memory", "object_store_memory")
Fixed = Scalar | list[Scalar]


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """The metric that trials are compared by."""

    name: str
    """The metric's name in a report."""
    direction: Literal["maximize", "minimize"]
    """Which way is better."""
    second: "Objective | None" = None
    """Another metric, which is traded against this one."""

    def __post_init__(self) -> None:
        check(
            word("name", self.name),
            one_of("direction", self.direction, DIRECTIONS),
            rule(
                self.second is None
                or (self.second.name != self.name and self.second.second is None),
                "second",
                f"two objectives must be two different metrics, got {show(self.name)} twice",
            ),
        )

    @property
    def sign(self) -> int:
        """1 if larger values are better, else -1."""
        return 1 if self.direction == "maximize" else -1

    def scores(self, value: float, second: float | None) -> tuple[float, ...]:
        """The values of all objectives as numbers of which larger ones are better."""
        if self.second is None or second is None:
            return (self.sign * value,)
        return self.sign * value, self.second.sign * second

    @property
    def parts(self) -> "tuple[Objective, ...]":
        """This one, and the second if there is one."""
        return (self,) if self.second is None else (self, self.second)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the one or two metrics."""
        return tuple(part.name for part in self.parts)

    @property
    def text(self) -> str:
        """For people: `maximize accuracy`."""
        return ", ".join(f"{part.direction} {part.name}" for part in self.parts)

    def to_yaml(self) -> dict[str, str] | list[dict[str, str]]:
        """As a space says it: `{maximize: accuracy}`, or a list of two such."""
        own, *second = [{str(part.direction): part.name} for part in self.parts]
        return [own, *second] if second else own


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """How configurations are suggested, and how poor trials are stopped early."""

    sampler: Literal["auto", "curves", "tpe", "gp", "cmaes", "sobol", "grid", "random", "none"] = (
        "tpe"
    )
    """What suggests configurations; none: just the start points are trained, each as often as it
    stands there."""
    scheduler: Scheduler = "asha"
    """What stops trials early, or freezes them."""
    reduction: int = 3
    """Successive halving's eta: about one trial of this many goes on from a rung."""
    grace_epochs: int = 1
    """Epochs that every trial gets before it may be stopped."""

    def __post_init__(self) -> None:
        check(
            one_of("sampler", self.sampler, SAMPLERS),
            one_of("scheduler", self.scheduler, SCHEDULERS),
            whole("reduction", self.reduction, least=2),
            whole("grace_epochs", self.grace_epochs, least=1),
        )


AUTO = Search(sampler="auto", scheduler="auto")


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What a study may spend, and what it keeps."""

    trials: int
    """How many trials, those stopped early among them."""
    max_epochs: int
    """Epochs of a trial that is never stopped."""
    epochs: int | None = None
    """Epochs of all trials together, after which the search ends; none is no limit."""
    time_s: float | None = None
    """Seconds after which no more epochs are trained; none is no limit."""
    retries: int = 2
    """How often a crashed trial is tried again."""
    keep: int = 3
    """How many of the best trials keep their checkpoints."""

    def __post_init__(self) -> None:
        timely = self.time_s is None or (is_number(self.time_s) and self.time_s > 0)
        check(
            whole("trials", self.trials, least=1),
            whole("max_epochs", self.max_epochs, least=1),
            None if self.epochs is None else whole("epochs", self.epochs, least=1),
            rule(timely, "time", f"time must be above 0 seconds, got {show(self.time_s)}"),
            whole("retries", self.retries, least=0),
            whole("keep", self.keep, least=1),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one trial gets."""

    cpus: float = 1
    """CPU cores of each worker."""
    gpus: float | Literal["auto"] = "auto"
    """GPUs of each worker, a fraction for a shared one; `auto` shares what the cluster has."""
    workers: int = 1
    """Processes that train one trial together."""
    memory_gb: float = 0
    """RAM set aside for each worker, GB; 0: none is."""
    custom: Mapping[str, float] = field(default_factory=dict)
    """Other resources of Ray that each worker needs, by their names."""

    def __post_init__(self) -> None:
        check(
            rule(
                is_number(self.cpus) and self.cpus > 0,
                "cpus",
                f"cpus must be a number above 0, got {show(self.cpus)}",
            ),
            rule(
                self.gpus == "auto" or _is_gpu_count(self.gpus),
                "gpus",
                "gpus must be auto, a number from 0 to 1, or a whole number, got "
                f"{show(self.gpus)}",
            ),
            whole("workers", self.workers, least=1),
            rule(
                is_number(self.memory_gb) and self.memory_gb >= 0,
                "memory_gb",
                f"memory_gb must be a number from 0, got {show(self.memory_gb)}",
            ),
            rule(
                _are_custom_resources(self.custom),
                "custom",
                "custom must be names of Ray's resources, each with a number above 0, such as "
                f"{{license: 1}}, got {show(self.custom)}",
            ),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A search, as its YAML says: what to train, what to vary, and what it may cost.

    Raises:
        SpaceError: with every rule that the parts break together.
    """

    name: str
    """The name of the file, without its ending."""
    file: Path
    """The file that it was read from."""
    task: str
    """A built-in task, or `package.module:name`."""
    objective: Objective | None = None
    """The metric to compare by; none leaves it to the task."""
    parameters: tuple[Parameter, ...]
    """What is varied, each after those that its `when` names."""
    fixed: Mapping[str, Fixed] = field(default_factory=dict)
    """Task values that stay as they are."""
    start: tuple[Start, ...] = ()
    """Configurations, perhaps partial, that are tried first."""
    search: Search = field(default_factory=Search)
    """How to search."""
    budget: Budget
    """What it may spend."""
    resources: Resources = field(default_factory=Resources)
    """What one trial gets."""
    seed: int = 0
    """What every random choice of the study is derived from."""

    def __post_init__(self) -> None:
        by_name = {parameter.name: parameter for parameter in self.parameters}
        check(
            *top_problems(self.task, self.seed),
            rule(bool(by_name), "parameters", "a space must have at least one parameter, got none"),
            rule(
                len(by_name) == len(self.parameters), "parameters", "parameters must differ in name"
            ),
            *fixed_problems(by_name, self.fixed),
            *condition_problems(by_name, self.fixed),
            *start_problems(
                by_name, self.fixed, self.start, may_repeat=self.search.sampler == "none"
            ),
            *search_problems(self.search, self.budget, len(self.start), self.objective),
            *sampler_problems(self.search.sampler, by_name, self.objective, self.budget.trials),
        )
        object.__setattr__(self, "parameters", tuple(ordered(by_name)))

    @property
    def rungs(self) -> list[int]:
        """The epochs at which trials are compared; none where they are not, or at every one."""
        search = self.search
        if search.scheduler == "freeze_thaw":
            return look_epochs(search.grace_epochs, self.budget.max_epochs)
        if search.scheduler not in HALVING:
            return []
        return rung_epochs(
            grace_epochs=search.grace_epochs,
            reduction=search.reduction,
            max_epochs=self.budget.max_epochs,
        )

    @property
    def epochs(self) -> int | None:
        """How many epochs of all trials together may be trained; none is no limit.

        Freeze-thaw search could spend any number of them, so where the budget doesn't say, it gets
        what successive halving would spend on as many trials.
        """
        if self.budget.epochs is not None or self.search.scheduler != "freeze_thaw":
            return self.budget.epochs
        return halving_cost(
            trials=self.budget.trials,
            grace_epochs=self.search.grace_epochs,
            reduction=self.search.reduction,
            max_epochs=self.budget.max_epochs,
        )

    def to_dict(self) -> dict[str, Any]:
        """The whole space as plain values for YAML, defaults written out.

        Reads back as an equal space.
        """
        return {
            "task": self.task,
            **({"objective": self.objective.to_yaml()} if self.objective else {}),
            "parameters": {
                parameter.name: _parameter_dict(parameter) for parameter in self.parameters
            },
            "fixed": dict(self.fixed),
            "start": [dict(point) for point in self.start],
            "search": _fields(self.search),
            "budget": _budget_dict(self.budget),
            "resources": _fields(self.resources),
            "seed": self.seed,
        }


def parse_duration(text: object) -> float:
    """The seconds of a duration such as 90s, 30m, 2h, 1h30m or 1d.

    Raises:
        SpaceError: if it is no duration, or none above 0.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    seconds = (
        sum(float(part) * scale for part, scale in zip(match.groups("0"), _SECONDS, strict=True))
        if match
        else 0
    )
    if not 0 < seconds < math.inf:
        raise SpaceError(
            [f"time must be a duration above 0 such as 90s, 30m, 2h, 1h30m or 1d, got {show(text)}"]
        )
    return seconds


_SECONDS = (86400, 3600, 60, 1)
_DURATION = re.compile("".join(rf"(?:([0-9]+(?:\.[0-9]+)?){unit})?" for unit in "dhms"))


def _is_gpu_count(value: object) -> bool:
    return is_number(value) and value >= 0 and (value <= 1 or value == int(value))


def _are_custom_resources(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    named = all(
        isinstance(name, str) and name.strip() and name not in RAY_RESOURCES for name in value
    )
    return named and all(is_number(amount) and amount > 0 for amount in value.values())


def _fields(section: Any) -> dict[str, Any]:
    return {name: getattr(section, name) for name in section.__slots__}


def _budget_dict(budget: Budget) -> dict[str, Any]:
    values = _fields(budget)
    time_s = values.pop("time_s")
    if time_s is not None:
        values["time"] = f"{Decimal(str(time_s)).normalize():f}s"
    return {name: value for name, value in values.items() if value is not None}


def _parameter_dict(parameter: Parameter) -> dict[str, Any]:
    ranged = parameter.kind != "choice"
    spec: dict[str, Any] = {
        parameter.kind: [parameter.low, parameter.high] if ranged else list(parameter.choices),
        "log": parameter.log,
        "step": parameter.step,
        "when": {name: list(values) for name, values in parameter.when.items()},
    }
    return {key: value for key, value in spec.items() if value or key == parameter.kind}
