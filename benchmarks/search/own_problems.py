"""The built-in tasks' recorded trainings as problems; they need no public data.

Apart from `curves.py`, which peers import in environments that lack what reading a space needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.search.curves import Curve
from cluster.search.recorded import STORED, Recording, read_recording


@dataclass(frozen=True)
class OwnProblem:
    """A built-in task's space, which has choices and conditions, and trainings of it.

    Attributes:
        name: Of the space.
        recording: What `benchmarks/search/own_curves.py` made.
    """

    name: str
    recording: Recording

    def begin(self) -> Callable[[Mapping[str, Any]], Curve]:
        """Gives what a search asks for the nearest curve that was not given yet."""
        sign = self.recording.objective.sign
        curve_of = self.recording.begin(self.recording.space)

        def losses_of(params: Mapping[str, Any]) -> Curve:
            values_E, seconds_E = np.array(curve_of(params)).T
            return Curve(-sign * values_E, seconds_E)

        return losses_of


def own_problems() -> list[OwnProblem]:
    """Those that are stored here: they need no public data."""
    return [
        OwnProblem(path.stem, read_recording(path)) for path in sorted(STORED.glob("*.parquet"))
    ]
