"""Learning curves that were recorded, by which a search can be tried on a virtual clock.

They come from a table (`benchmarks/search/own_curves.py` makes those in
`benchmarks/search/stored/curves`), or from a study that was run before.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from cluster.search.simulator import Curve, CurveOf
from results.study.folder import StudyError, StudyFolder
from results.study.record import StudyRecord, read_study
from search_spaces import Objective, Parameter, Space, read_objective, space_from_mapping
from search_spaces.problems import same
from search_spaces.unit import place_of

STORED = Path(__file__).parents[2] / "benchmarks" / "search" / "stored" / "curves"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """One training.

    Attributes:
        params: Its configuration.
        curve: The value and the seconds of each epoch from the first on.
        ended: Whether it ended by itself, and would not have gone on.
    """

    params: Mapping[str, Any]
    curve: Curve
    ended: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """Trainings of a space.

    Attributes:
        space: What was searched.
        objective: What the values are.
        trainings: At least one.
    """

    space: Space
    objective: Objective
    trainings: Sequence[Recorded]

    def begin(self, space: Space) -> CurveOf:
        """Gives each configuration of a search over `space` the nearest training's curve.

        No training is given twice before all have been. A curve that was cut off before the
        space's last epoch goes on as it was at its end.

        Raises:
            StudyError: when the trainings are another task's, or have no parameter of the space.
        """
        if space.task != self.space.task:
            raise StudyError(f"the curves must be of {space.task}, got those of {self.space.task}")
        return _Nearest(self.trainings, space).curve_of


def read_recording(path: Path) -> Recording:
    """Read what was recorded: a table, or a study by its folder.

    Raises:
        StudyError: when there is neither, or no training in it.
    """
    recording = _of_study(read_study(StudyFolder(path))) if path.is_dir() else _of_table(path)
    if not recording.trainings:
        raise StudyError(f"{path} must have at least one training, got none")
    return recording


def stored_curves(space: Space) -> Path:
    """The stored table of a space, or of one with the same task.

    Raises:
        StudyError: when there is none.
    """
    for table in sorted(STORED.glob("*.parquet"), key=lambda table: table.stem != space.name):
        if read_recording(table).space.task == space.task:
            return table
    raise StudyError(
        f"no curves of {space.task} are stored; name a table, or a former study, with --curves"
    )


class _Nearest:
    """Hands out curves.

    Two configurations differ by the squares of the differences of their places on the scales of
    the space, by 1 for another choice, and not at all where one has no such parameter.
    """

    def __init__(self, trainings: Sequence[Recorded], space: Space):
        shared = {name for training in trainings for name in training.params}
        self._parameters = [p for p in space.parameters if p.name in shared]
        if not self._parameters:
            raise StudyError("the curves must share parameters with the space, got none")
        self._trainings, self._max_epochs = trainings, space.budget.max_epochs
        self._is_choice_D = np.array([p.kind == "choice" for p in self._parameters])
        self._places_ND = np.array([self._places(training.params) for training in trainings])
        self._left_N = np.ones(len(trainings), dtype=bool)

    def curve_of(self, params: Mapping[str, Any]) -> Curve:
        """The curve of the nearest training that was not given yet."""
        if not self._left_N.any():
            self._left_N[:] = True
        differences_ND = np.nan_to_num(self._places_ND - self._places(params))
        squares_ND = np.where(self._is_choice_D, differences_ND != 0, differences_ND**2)
        row = int(np.where(self._left_N, squares_ND.sum(axis=1), math.inf).argmin())
        self._left_N[row] = False
        return _whole(self._trainings[row], self._max_epochs)

    def _places(self, params: Mapping[str, Any]) -> np.ndarray:
        return np.array([_place(p, params) for p in self._parameters])


def _place(parameter: Parameter, params: Mapping[str, Any]) -> float:
    """Where the value lies on the parameter's scale; NaN if it takes no part."""
    if parameter.name not in params:
        return math.nan
    value = params[parameter.name]
    if parameter.kind == "choice":
        places = (i for i, choice in enumerate(parameter.choices) if same(choice, value))
        return next(places, -1)
    return place_of(parameter, value)


def _whole(training: Recorded, max_epochs: int) -> Curve:
    """The curve up to the last epoch."""
    curve = list(training.curve[:max_epochs])
    if training.ended or not curve:
        return curve
    after = (curve[-1][0], fmean(seconds for _, seconds in curve))
    return curve + [after] * (max_epochs - len(curve))


def write_table(path: Path, recording: Recording, command: str) -> None:
    """Write a table, for `read_recording`; who is killed meanwhile leaves what was there before.

    Args:
        path: Of a Parquet file, with a row for each training.
        recording: What to write.
        command: What made it, for its metadata.
    """
    import pyarrow
    from pyarrow import parquet

    rows = [
        {
            "configuration": json.dumps(training.params),
            "values": [value for value, _ in training.curve],
            "seconds": [seconds for _, seconds in training.curve],
            "ended": training.ended,
        }
        for training in recording.trainings
    ]
    metadata = {
        "command": command,
        "name": recording.space.name,
        "space": json.dumps(recording.space.to_dict()),
        "objective": json.dumps(recording.objective.to_yaml()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    columns = {
        "configuration": pyarrow.string(),
        "values": pyarrow.list_(pyarrow.float64()),
        "seconds": pyarrow.list_(pyarrow.float32()),
        "ended": pyarrow.bool_(),
    }
    table = pyarrow.Table.from_pylist(rows, pyarrow.schema(columns, metadata))
    parquet.write_table(table, temporary, compression="zstd")
    temporary.replace(path)


def _of_table(path: Path) -> Recording:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        metadata = {key.decode(): text.decode() for key, text in table.schema.metadata.items()}
        mapping = json.loads(metadata["space"])
        space = space_from_mapping(mapping, name=metadata["name"], file=str(path))
        objective = read_objective(json.loads(metadata["objective"]))
    except (OSError, pyarrow.ArrowException, AttributeError, KeyError, ValueError) as error:
        text = f"{path} must be a study's folder or a table of curves: {error}"
        raise StudyError(text) from error
    trainings = [
        Recorded(
            params=json.loads(row["configuration"]),
            curve=list(zip(row["values"], row["seconds"], strict=True)),
            ended=row["ended"],
        )
        for row in table.to_pylist()
    ]
    return Recording(space=space, objective=objective, trainings=trainings)


def _of_study(record: StudyRecord) -> Recording:
    """The trials that reported each epoch from the first on."""
    trainings = [
        Recorded(params=trial.params, curve=curve, ended=_ended(trial))
        for trial in record.counted()
        if (curve := _curve_of_trial(record, trial))
    ]
    description = record.description
    return Recording(space=description.space, objective=description.objective, trainings=trainings)


def _curve_of_trial(record: StudyRecord, trial: FrozenTrial) -> Curve:
    values = [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)]
    lines = record.folder.trial(trial.number).read_metrics()
    seconds = {line["epoch"]: line.get("seconds") for line in lines}
    timed = [seconds.get(epoch) for epoch in range(1, len(values) + 1)]
    if len(values) not in {0, max(trial.intermediate_values, default=0)}:
        return []
    return [(value, each) for value, each in zip(values, timed, strict=True) if each is not None]


def _ended(trial: FrozenTrial) -> bool:
    """Whether a trial's training came to its own end, and was not stopped by the search."""
    diverged = not all(map(math.isfinite, trial.intermediate_values.values()))
    return diverged or trial.state in (TrialState.COMPLETE, TrialState.FAIL)
