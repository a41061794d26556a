"""What deciding costs a driver, and how busy that leaves the slots of a large cluster.

    python -m benchmarks.decisions [--trials 1000 10000] [--slots 1 16 64 256 1024]

A study of twelve parameters is filled with random trials of which those that may come back are
frozen, as a search leaves them; then the whole of a decision is timed: the report of an epoch at
which trials are compared, what is written to the journal, and the next trial for that slot.

Then searches of four trials a slot at least are simulated, with epochs of about a minute and one
driver, which takes as long for each decision as it takes here, one after the other. A slot counts
as idle from when it is free until it trains again; the search ends for this purpose when its last
new trial begins.
"""

import argparse
import math
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from unittest.mock import patch

import optuna

from cluster.search import freeze_thaw
from cluster.search.simulator import Curve, Machine, Simulation, simulate
from cluster.search.study import Study
from results.study.folder import StudyFolder
from search_spaces import Objective, Space, space_from_mapping

EPOCHS, DECISIONS = 27, 60
LOSS = Objective(name="loss", direction="minimize")
SEARCHES = {
    "freeze_thaw": {"sampler": "curves", "scheduler": "freeze_thaw"},
    "promotion": {"sampler": "tpe", "scheduler": "promotion"},
    "asha": {"sampler": "tpe", "scheduler": "asha"},
}
PARAMETERS: dict[str, Any] = {
    **{f"x{i}": {"float": [0.0, 1.0]} for i in range(9)},
    "rate": {"float": [1e-5, 1e-1], "log": True},
    "width": {"int": [1, 64], "log": True},
    "kind": {"choice": ["a", "b", "c"]},
}


def space_of(search: str, trials: int) -> Space:
    """Twelve parameters, searched in one of the ways."""
    mapping = {
        "task": "benchmarks.scale:train",
        "objective": {"minimize": "loss"},
        "parameters": PARAMETERS,
        "search": SEARCHES[search],
        "budget": {"trials": trials, "max_epochs": EPOCHS},
    }
    return space_from_mapping(mapping, name="decisions", file="decisions.yaml")


def curve_of(params: Mapping[str, Any]) -> Curve:
    """Falls with the epochs; an epoch takes half a minute to one and a half."""
    loss = sum(value for name, value in params.items() if name.startswith("x"))
    epoch_s = 30 + 60 * params["x0"]
    return [(loss + 5 / epoch + 0.01 * math.sin(9 * loss), epoch_s) for epoch in range(1, 28)]


def filled_study(folder: Path, search: str, trials: int) -> Study:
    """A study that has begun so many trials, all of them random."""
    space = space_of(search, trials + 10 * DECISIONS)
    study = Study(StudyFolder(folder), space, LOSS)
    with (
        patch.object(freeze_thaw, "RANDOM_SHARE", 1.0),
        patch("cluster.search.sampler.RANDOM_EVERY", 1),
    ):
        slots, begun = Slots(study), 0
        while begun < trials:
            begun = max(begun, slots.decide() + 1)
    return study


class Slots:
    """Four slots, of which one at random reports next."""

    def __init__(self, study: Study):
        self._study = study
        self._random = random.Random(0)
        self._running: list[tuple[int, Mapping[str, Any], int]] = []

    def decide(self) -> int:
        """A report, and if its trial leaves its slot, the next one; gives that one's number."""
        if len(self._running) < 4:
            return self._begin()
        number, params, epoch = self._running.pop(self._random.randrange(4))
        loss, _ = curve_of(params)[epoch]
        if self._study.report(number, epoch + 1, loss):
            self._running.append((number, params, epoch + 1))
            return number
        return self._begin()

    def _begin(self) -> int:
        trial = self._study.next_trial()
        assert trial is not None
        epoch = max(trial.intermediate_values, default=0)
        self._running.append((trial.number, trial.params, epoch))
        return trial.number


def decision_times_s(search: str, trials: int) -> list[float]:
    """The processor time of decisions after so many trials."""
    with tempfile.TemporaryDirectory() as folder:
        study = filled_study(Path(folder), search, trials)
        slots, times_s = Slots(study), list[float]()
        study.release()
        for _ in range(8):  # The slots are filled, and the model is learnt once.
            slots.decide()
        while len(times_s) < DECISIONS:
            begun = time.process_time()
            slots.decide()
            times_s.append(time.process_time() - begun)
        return times_s


def busy_share(search: str, slots: int, trials: int) -> float:
    """The part of the slots' time in which they train, until the last new trial has begun."""
    with tempfile.TemporaryDirectory() as folder:
        space = space_of(search, trials)
        study = Study(StudyFolder(Path(folder)), space, LOSS)
        done = simulate(study, curve_of, Machine(slots=slots, waits_for_decisions=True))
    last_began_s = max(step.time_s - step.seconds for step in done.steps if step.epoch == 1)
    return busy_until(done, last_began_s, slots)


def busy_until(done: Simulation, end_s: float, slots: int) -> float:
    """The same for any time; every step took its epoch's seconds."""
    busy_s = sum(step.seconds for step in done.steps if step.time_s <= end_s)
    busy_s += sum(
        max(0.0, end_s - (step.time_s - step.seconds)) for step in done.steps if step.time_s > end_s
    )
    return busy_s / (slots * end_s)


def main() -> None:
    """Measure, and simulate with what was measured."""
    parser = argparse.ArgumentParser(description="Measure what a decision costs.")
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 16, 64, 256, 1024])
    parser.add_argument("--searches", nargs="+", default=list(SEARCHES), choices=SEARCHES)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for search in options.searches:
        for trials in options.trials:
            times_s = decision_times_s(search, trials)
            print(
                f"{search:12} after {trials:6} trials: {1000 * median(times_s):6.1f} ms, "
                f"95 % below {1000 * quantiles(times_s, n=20)[-1]:6.1f} ms",
                flush=True,
            )
        for slots in options.slots:
            share = busy_share(search, slots, max(128, 4 * slots))
            print(f"{search:12} {slots:6} slots: {share:6.1%} busy", flush=True)


if __name__ == "__main__":
    main()
