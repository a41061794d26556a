"""How long a search will take on so many slots, and what it will cost, before it runs.

The search is the real one, with its journal in a temporary folder; the trainings are recorded ones
on a virtual clock.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from rich.table import Table

from cluster.search.recorded import Recording
from cluster.search.simulator import Machine, Simulation, simulate
from cluster.search.study import Study
from results.console import Console
from results.states import plain_state_name
from results.study.folder import StudyError, StudyFolder
from results.text import duration, metric_text
from search_spaces import Objective, Space

START_S = 5.0  # Until a process has imported PyTorch.
SWITCH_S = 0.03  # What a trial costs beside its training, see docs/costs.md.
MEMORY = Path("/dev/shm")  # A journal on a disk waits for it at every line.
SHOWN_SHARES = (1 / 8, 1 / 4, 1 / 2, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a search did on the virtual clock.

    Attributes:
        slots: How many trials trained at once.
        simulation: Its reports, and how the slots were used.
        states: How many trials ended in each state, by their names for people.
        thawed: How often a frozen trial went on.
    """

    slots: int
    simulation: Simulation
    states: Counter[str]
    thawed: int

    @property
    def wall_s(self) -> float:
        """From the start of the search to its end."""
        return self.simulation.end_s

    @property
    def slot_hours(self) -> float:
        """What is paid for: all slots until the end."""
        return self.slots * self.wall_s / 3600

    @property
    def busy_share(self) -> float:
        """The share of that in which something trained."""
        return self.simulation.busy_s / (self.slots * self.wall_s) if self.wall_s else 0.0

    def best_by(self, time_s: float, objective: Objective) -> float | None:
        """The best value that was reported by then."""
        values = [step.value for step in self.simulation.steps if step.time_s <= time_s]
        return max(
            filter(math.isfinite, values), key=lambda value: objective.sign * value, default=None
        )


def forecast(space: Space, objective: Objective, recording: Recording, slots: int) -> Forecast:
    """Run a search of a space to its end, with recorded trainings.

    Raises:
        StudyError: when the recording is of something else.
    """
    if objective.second or objective != recording.objective:
        got = recording.objective.text
        raise StudyError(f"the curves must be those of one objective, {objective.text}, got {got}")
    machine = Machine(slots=slots, start_s=START_S, switch_s=SWITCH_S, time_s=space.budget.time_s)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    memory = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        study = Study(StudyFolder(Path(folder)), space, objective)
        study.slots = slots
        simulation = simulate(study, recording.begin(space), machine)
        study.release()  # As a launch does that is over its time.
        trials = study.trials()
    return Forecast(
        slots=slots,
        simulation=simulation,
        states=Counter(map(plain_state_name, trials)),
        thawed=simulation.starts - sum(trial.datetime_start is not None for trial in trials),
    )


def print_forecast(found: Forecast, objective: Objective, console: Console) -> None:
    """Print how long it takes, what it costs, and the best value over time."""
    counts = ", ".join(f"{count} {name}" for name, count in found.states.most_common())
    slots = f"{found.slots} slot{'' if found.slots == 1 else 's'}"
    console.say(
        f"{slots}, {duration(found.wall_s)}: {found.slot_hours:.3g} slot-hours, "
        f"{found.busy_share:.0%} of them in training"
    )
    console.say(
        f"{found.states.total()} trials: {counts}; {len(found.simulation.steps)} epochs trained, "
        f"{found.thawed} thaws"
    )
    console.print(_over_time(found, objective, SHOWN_SHARES))


def _over_time(found: Forecast, objective: Objective, shares: Sequence[float]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("after", f"best {objective.name}", "epochs"):
        table.add_column(column, justify="right")
    for share in shares:
        time_s = share * found.wall_s
        best = found.best_by(time_s, objective)
        epochs = sum(step.time_s <= time_s for step in found.simulation.steps)
        table.add_row(
            duration(time_s), "none yet" if best is None else metric_text(best), str(epochs)
        )
    return table
