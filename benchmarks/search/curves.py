"""Public learning curves as problems that a search can be tried on.

A folder (`--curves`, `$RUNGS_CURVES`) holds `taskset/*.npz`, tables of 1,000 trainings each
(Metz et al. 2020, https://arxiv.org/abs/2002.11887; from github.com/releaunifreiburg/DyHPO), and
`lcbench/`, the YAHPO Gym surrogate of 34 data sets (Pfisterer et al. 2022,
https://arxiv.org/abs/2109.03670; from github.com/slds-lmu/yahpo_data). Both are Apache-2.0.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

EPOCHS = 50
RANDOM_CONFIGURATIONS = 4000
GOOD_SHARE = 0.002
ROUNDS, MUTATIONS_PER_ROUND, PARENTS = 6, 400, 20


@dataclass(frozen=True)
class Range:
    """One hyperparameter: what lies between its ends, evenly in its logarithm if `log`."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def value(self, unit: float) -> float:
        """What lies at a place from 0 (the low end) to 1."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = low + unit * (high - low)
        value = min(self.high, max(self.low, math.exp(value) if self.log else value))
        return round(value) if self.whole else value

    def unit(self, value: float) -> float:
        """Where a value lies, from 0 (the low end) to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Curve:
    """A training: the loss (smaller is better) and the seconds of each epoch."""

    losses_E: np.ndarray
    seconds_E: np.ndarray


CurveOf = Callable[[Mapping[str, float]], Curve]


@dataclass(frozen=True)
class Problem:
    """A data set, and how it answers a search.

    Attributes:
        begin: Gives what a search asks for curves; a table hands out each row once.
        held_out: Whether results are reported on it; the others are for tuning.
    """

    name: str
    ranges: tuple[Range, ...]
    begin: Callable[[], CurveOf]
    held_out: bool

    def values(self, units: np.ndarray) -> dict[str, float]:
        """The configuration at a place of the unit cube."""
        return {r.name: r.value(float(unit)) for r, unit in zip(self.ranges, units, strict=True)}


@dataclass(frozen=True)
class Reference:
    """What the losses of a problem are measured by.

    Attributes:
        best: The smallest that is known.
        median: Of random configurations, each at the best of its epochs.
        good: What the best 0.2 % of random configurations reach.
    """

    best: float
    median: float
    good: float

    def regret(self, loss: float) -> float:
        """0: the best known; 1: the median of random configurations."""
        return (loss - self.best) / (self.median - self.best)


def problems(folder: Path, *, held_out: bool | None = None) -> list[Problem]:
    """All problems of a folder, or one half of them."""
    found = [*_taskset(folder / "taskset"), *_lcbench(folder / "lcbench")]
    return [p for p in found if held_out is None or p.held_out == held_out]


def reference(problem: Problem) -> Reference:
    """Measured by random configurations, the best of which are then mutated for a while."""
    rng = np.random.default_rng(0)
    dimensions = len(problem.ranges)
    curve_of = problem.begin()
    points_ND = rng.random((RANDOM_CONFIGURATIONS, dimensions))
    if problem.name.startswith("taskset"):  # A table is its own population.
        points_ND = points_ND[:1000]
    losses_N = _bests(problem, curve_of, points_ND)
    median, good = np.nanquantile(losses_N, [0.5, GOOD_SHARE])
    if not problem.name.startswith("taskset"):
        for round_number in range(ROUNDS):
            parents = points_ND[np.argsort(losses_N)[:PARENTS]]
            step = 0.2 * 0.6**round_number
            children = parents[rng.integers(PARENTS, size=MUTATIONS_PER_ROUND)]
            children = np.clip(children + step * rng.normal(size=children.shape), 0, 1)
            points_ND = np.concatenate([points_ND, children])
            losses_N = np.concatenate([losses_N, _bests(problem, curve_of, children)])
    return Reference(best=float(np.nanmin(losses_N)), median=float(median), good=float(good))


def _bests(problem: Problem, curve_of: CurveOf, points_ND: np.ndarray) -> np.ndarray:
    """The best of each training; infinite where its first epoch already diverged."""
    curves = [curve_of(problem.values(point)).losses_E for point in points_ND]
    return np.array(
        [np.min(losses, initial=math.inf, where=np.isfinite(losses)) for losses in curves]
    )


TASKSET_RANGES = (
    Range("learning_rate", 1e-8, 10, log=True),
    Range("one_minus_beta1", 1e-4, 1, log=True),
    Range("one_minus_beta2", 1e-6, 1, log=True),
    Range("epsilon", 1e-10, 1e3, log=True),
    Range("l1", 1e-8, 10, log=True),
    Range("l2", 1e-8, 10, log=True),
    Range("linear_decay", 1e-7, 1e-4, log=True),
    Range("exponential_decay", 1e-6, 1e-3, log=True),
)


def _taskset(folder: Path) -> list[Problem]:
    return [
        Problem(
            name=f"taskset/{path.stem}",
            ranges=TASKSET_RANGES,
            begin=partial(_begin_table, path),
            held_out=i % 2 == 1,
        )
        for i, path in enumerate(sorted(folder.glob("*.npz")))
    ]


def _begin_table(path: Path) -> CurveOf:
    return _Table(path).curve


class _Table:
    """A table's rows: each configuration gets the nearest one that was not given out yet."""

    def __init__(self, path: Path):
        self._points_ND, self._losses_NE = _rows(path)
        self._left = np.ones(len(self._points_ND), dtype=bool)

    def curve(self, values: Mapping[str, float]) -> Curve:
        """The nearest row's.

        Raises:
            LookupError: when all rows have been given out.
        """
        if not self._left.any():
            raise LookupError("the table has no rows left")
        point_D = np.array([r.unit(values[r.name]) for r in TASKSET_RANGES])
        distances_N = ((self._points_ND - point_D) ** 2).sum(1)
        row = int(np.where(self._left, distances_N, np.inf).argmin())
        self._left[row] = False
        return Curve(self._losses_NE[row], np.ones(EPOCHS))


@cache
def _rows(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as table:
        values_ND = table["hp"].astype(float)
        # The first entry is before training.
        losses_NE = table["valid"][:, 1 : EPOCHS + 1].astype(float)
    values_ND[:, 1:3] = 1 - values_ND[:, 1:3]
    points_ND = np.array(
        [[r.unit(v) for r, v in zip(TASKSET_RANGES, row, strict=True)] for row in values_ND]
    )
    return points_ND, losses_NE


LCBENCH_RANGES = (
    Range("batch_size", 16, 512, log=True, whole=True),
    Range("learning_rate", 1e-4, 0.1, log=True),
    Range("momentum", 0.1, 0.99),
    Range("weight_decay", 1e-5, 0.1),
    Range("num_layers", 1, 5, whole=True),
    Range("max_units", 64, 1024, log=True, whole=True),
    Range("max_dropout", 0, 1),
)
SECONDS, BALANCED_ACCURACY = 0, 3


def _lcbench(folder: Path) -> list[Problem]:
    if not folder.is_dir():
        return []
    encoding = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
    space = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
    tasks = next(entry["choices"] for entry in space if entry["name"] == "OpenML_task_id")
    return [
        Problem(
            name=f"lcbench/{task}",
            ranges=LCBENCH_RANGES,
            begin=partial(_begin_surrogate, folder, encoding[task]),
            held_out=encoding[task] % 2 == 1,
        )
        for task in sorted(tasks, key=lambda task: encoding[task])
    ]


def _begin_surrogate(folder: Path, code: int) -> CurveOf:
    return partial(_surrogate, folder, code)


def _surrogate(folder: Path, code: int, values: Mapping[str, float]) -> Curve:
    inputs = np.empty((EPOCHS, 1 + len(LCBENCH_RANGES)), np.float32)
    inputs[:, 0] = np.arange(2, EPOCHS + 2)  # Its epoch 1 is before training.
    inputs[:, 1:] = [values[r.name] for r in LCBENCH_RANGES]
    (outputs,) = _session(folder).run(
        None, {"x_cat": np.full((EPOCHS, 1), code, np.int32), "x_cont": inputs}
    )
    seconds_E = np.diff(outputs[:, SECONDS].astype(float), prepend=0)
    floor = max(1e-3, outputs[-1, SECONDS] / EPOCHS / 10)  # A smooth model may go back a little.
    return Curve(1 - outputs[:, BALANCED_ACCURACY].astype(float), np.maximum(seconds_E, floor))


@cache
def _session(folder: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
