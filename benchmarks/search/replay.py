"""A search replayed on public learning curves: a row for each problem and seed.

python -m benchmarks.search.replay --method random_asha --curves FOLDER --seeds 0:20 --to FILE

The file is JSON lines; what is in it already isn't run again.
"""

import argparse
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.search.curves import EPOCHS, Problem, problems
from benchmarks.search.options import parser
from benchmarks.search.peers import PEERS, peer
from benchmarks.search.references import reference_of
from benchmarks.search.rows import FRACTIONS, Row, append, mend, read
from benchmarks.search.setting import CLOCKS, Replay, Setting
from cluster.search.simulator import Step

HALVES = {"held_out": True, "tuning": False, "all": None}


def replayed(method: str, setting: Setting) -> Row:
    """Run a search."""
    replay = Replay(setting)
    search = peer(method)
    begun_s = time.process_time()
    steps = search(replay)
    cpu_s = time.process_time() - begun_s - replay.curves_cpu_s
    good = reference_of(setting.problem).good
    return Row(
        method=method,
        problem=setting.problem.name,
        seed=setting.seed,
        workers=setting.workers,
        trainings=setting.trainings,
        clock=setting.clock,
        incumbents=incumbents(steps, setting),
        trials=len({step.number for step in steps}),
        complete=sum(step.epoch == EPOCHS for step in steps),
        epochs_to_good=epochs_to(good, steps, setting),
        cpu_s=cpu_s,
    )


def spent(step: Step, setting: Setting) -> float:
    """The share of the budget that is gone when a step is reported, idle workers included."""
    return min(1.0, step.time_s * setting.workers / setting.budget_s())


def incumbents(steps: Sequence[Step], setting: Setting) -> list[float]:
    """The best loss so far at equal fractions of the budget."""
    best = [math.inf] * FRACTIONS
    for step in steps:
        first = max(0, math.ceil(spent(step, setting) * FRACTIONS - 1e-9) - 1)
        if math.isfinite(step.value):
            best[first] = min(best[first], step.value)
    return [min(best[: i + 1]) for i in range(FRACTIONS)]


def epochs_to(good: float, steps: Sequence[Step], setting: Setting) -> float | None:
    """What of the budget was spent when a loss was first as good; None: none was."""
    shares = [spent(step, setting) for step in steps if step.value <= good]
    return min(shares) * setting.epochs if shares else None


@dataclass(frozen=True)
class Job:
    """A run that another process can be told to make."""

    method: str
    folder: Path
    problem: str
    seed: int
    workers: int
    trainings: int
    clock: str

    @property
    def key(self) -> tuple[str, str, int, int, int, str]:
        """Its row's."""
        return self.method, self.problem, self.seed, self.workers, self.trainings, self.clock

    def row(self) -> Row:
        """Make the run."""
        problem = _by_name(self.folder)[self.problem]
        setting = Setting(problem, self.seed, self.workers, self.trainings, self.clock)
        return replayed(self.method, setting)


@cache
def _by_name(folder: Path) -> dict[str, Problem]:
    return {problem.name: problem for problem in problems(folder)}


def run(jobs: Iterable[Job], file: Path, processes: int = 1) -> None:
    """Make the runs that a file doesn't hold yet, and add each to it when it is done."""
    mend(file)
    done = {row.key for row in read(file)}
    for row in _rows([job for job in jobs if job.key not in done], processes):
        append(file, row)


def _rows(jobs: Sequence[Job], processes: int) -> Iterator[Row]:
    if processes == 1:
        yield from map(Job.row, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(Job.row, jobs)


def chosen_problems(folder: Path, which: str) -> list[str]:
    """The names of a half, or of one problem.

    Raises:
        SystemExit: when there is none of this name.
    """
    if which in HALVES:
        return [p.name for p in problems(folder, held_out=HALVES[which])]
    if which not in _by_name(folder):
        names = ", ".join([*HALVES, *_by_name(folder)])
        raise SystemExit(f"--problems must be one of {names}; got {which}")
    return [which]


def _seeds(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end)) if end else range(int(first), int(first) + 1)


def _options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--method", required=True, choices=sorted(PEERS))
    made.add_argument("--to", required=True, type=Path, metavar="FILE")
    made.add_argument("--seeds", type=_seeds, default=_seeds("0"), help="0:20, or one")
    made.add_argument("--problems", default="held_out", help="held_out, tuning, all, or a name")
    made.add_argument("--workers", type=int, default=4)
    made.add_argument("--trainings", type=int, default=20, help="the budget, at full length")
    made.add_argument("--clock", choices=CLOCKS, default="epochs")
    made.add_argument("--processes", type=int, default=1)
    return made


def main() -> None:
    """Replay one method."""
    o = _options().parse_args()
    jobs = [
        Job(o.method, o.curves, problem, seed, o.workers, o.trainings, o.clock)
        for seed in o.seeds
        for problem in chosen_problems(o.curves, o.problems)
    ]
    run(jobs, o.to, o.processes)


if __name__ == "__main__":
    main()
