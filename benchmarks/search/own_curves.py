"""Tables of learning curves of the built-in tasks, which searches can be tried on.

    python -m benchmarks.search.own_curves SPACE --configurations N --to FILE [--max-epochs N]

Trains random configurations of a space to their last epoch, in this process and by one thread, and
writes every epoch's objective and processor seconds. The table is renewed after each training; the
same command goes on with a table that was cut off, and adds to one that is to have more rows.
`cluster/search/recorded.py` reads it.
"""

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import optuna

from cluster.search.recorded import Recorded, Recording, read_recording, write_table
from cluster.search.sampler import make_sampler
from search_spaces import Objective, Space, load_space
from search_spaces.suggest import suggest
from trainables.accepting import accept_at
from trainables.job import Job, reports
from trainables.seeding import derive_seed


def configurations(space: Space, objective: Objective) -> Iterator[dict[str, Any]]:
    """Random ones, without end: the same for the same seed."""
    searched = replace(space, search=replace(space.search, sampler="random"))
    study = optuna.create_study(sampler=make_sampler(searched, objective))
    while True:
        trial = study.ask()
        suggest(space, trial)
        yield trial.params


def trained(space: Space, objective: Objective, number: int, params: dict[str, Any]) -> Recorded:
    """A configuration's training; one that fails ends there."""
    job = Job(
        task=space.task,
        objective=objective,
        values={**space.fixed, **params},
        seed=derive_seed(space.seed, "trial", number),
        split_seed=space.seed,
        max_epochs=space.budget.max_epochs,
        folder=Path(os.devnull),
    )
    curve, begun = list[tuple[float, float]](), time.process_time()
    try:
        for report in reports(job):
            value, now = report.metrics[objective.name], time.process_time()
            curve.append((value if math.isfinite(value) else math.nan, now - begun))
            begun = now
    except Exception as error:
        print(f"{number}: {type(error).__name__}: {error}", flush=True)
    return Recorded(params=params, curve=curve, ended=len(curve) < job.max_epochs)


def record(space: Space, objective: Objective, rows: int, file: Path, command: str) -> None:
    """Train until the table has so many rows."""
    trainings = list(read_recording(file).trainings) if file.exists() else []
    new = islice(configurations(space, objective), len(trainings), rows)
    for number, params in enumerate(new, start=len(trainings)):
        trainings.append(trained(space, objective, number, params))
        write_table(file, Recording(space=space, objective=objective, trainings=trainings), command)
        values, seconds = zip(*trainings[-1].curve, strict=True)
        print(f"{number + 1}/{rows}: {values[-1]:.4g} in {sum(seconds):.1f} s", flush=True)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Record learning curves of a space.")
    parser.add_argument("space")
    parser.add_argument("--configurations", type=int, required=True, metavar="N")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE")
    parser.add_argument("--max-epochs", type=int, metavar="N")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = load_space(args.space, budget={"max_epochs": args.max_epochs})
    space, objective = accept_at(space, [str(space.file.parent.resolve())])
    command = f"python -m benchmarks.search.own_curves {shlex.join(sys.argv[1:])}"
    record(space, objective, args.configurations, args.to, command)


if __name__ == "__main__":
    main()
