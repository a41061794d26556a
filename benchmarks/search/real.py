"""Real searches of a space by three engines, each for the same time on this machine.

python -m benchmarks.search.real v6.yaml --seeds 5 --to benchmarks/search/stored/real.jsonl

`auto` is what Rungs chooses by itself, `tpe_asha` its search of before (`sampler: tpe, scheduler:
asha`), `stock_ray` Ray Tune's OptunaSearch under its ASHAScheduler with their defaults, told the
same conditions and start points. All train by the same code; the clock includes what an engine
takes to start. The best of each is then trained again by fresh seeds. What a file has is not run
again; without `--seeds` the table of what it has is printed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml

from benchmarks.side_by_side import ROOT
from results.export.export import read_export
from results.study.folder import StudyFolder
from results.study.record import read_study
from search_spaces import Space, dump_yaml, space_from_mapping
from search_spaces.load import find_space
from search_spaces.suggest import suggest
from trainables.job import Job, run
from trainables.seeding import derive_seed
from trainables.task import Task, load_task

SEARCHES: dict[str, dict[str, Any]] = {
    "auto": {},
    "tpe_asha": {"sampler": "tpe", "scheduler": "asha"},
}
STOCK = "stock_ray"
ENOUGH_TRIALS = 1000
FRESH_SEEDS = 3


@dataclass(frozen=True)
class Run:
    """What one search found.

    Attributes:
        best: The objective that the winner had reached when the time was over.
        fresh: What its configuration reaches on the full budget by fresh seeds.
        trials: How many had reported.
        epochs: How many all of them reported.
    """

    space: str
    search: str
    seed: int
    seconds: int
    best: float
    fresh: list[float]
    trials: int
    epochs: int


@dataclass(frozen=True)
class Found:
    """A search's winner."""

    job: Job
    best: float
    trials: int
    epochs: int


def mapping_of(space_file: str, search: str, seed: int) -> dict[str, Any]:
    """The space, searched in another way, with more trials than the time allows."""
    mapping: dict[str, Any] = yaml.safe_load(find_space(space_file).read_text(encoding="utf-8"))
    budget = {**mapping["budget"], "trials": ENOUGH_TRIALS}
    budget.pop("time", None)
    settings = SEARCHES.get(search, {})
    if settings:  # As the space was shipped: its reduction and first rung.
        settings = {**mapping.get("search", {}), **settings}
    return {**mapping, "search": settings, "budget": budget, "seed": seed}


def by_rungs(mapping: Mapping[str, Any], seconds: int, folder: Path) -> Found:
    """As a user runs it."""
    (folder / "space.yaml").write_text(dump_yaml(mapping), encoding="utf-8")
    command = [sys.executable, str(ROOT / "launch.py"), "--space", str(folder / "space.yaml")]
    subprocess.run(
        [*command, "--time", f"{seconds}s", "--out", str(folder / "runs")],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    study = read_study(StudyFolder(folder / "runs" / "space"))
    export = read_export(study.folder.best, study.folder.path)
    epochs = [len(trial.intermediate_values) for trial in study.trials]
    return Found(export.job, export.best.value, sum(map(bool, epochs)), sum(epochs))


@dataclass(frozen=True)
class Configure:
    """A space with its conditions as OptunaSearch takes it; it pickles its searcher."""

    space: Space

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        """Suggest a configuration; gives what is fixed."""
        suggest(self.space, trial)
        return dict(self.space.fixed)


def by_stock_ray(mapping: Mapping[str, Any], seconds: int, folder: Path) -> Found:
    """As Ray's guide has it, in this process."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    space = space_of(mapping)
    name, mode = space.objective.name, space.objective.direction[:3]  # type: ignore[union-attr]

    def trainable(config: dict[str, Any]) -> None:
        context = tune.get_context()
        job = job_of(space, config, context.get_trial_id(), Path(context.get_trial_dir()))
        for report in run(job):
            tune.report({name: report.metrics[name]})

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    points = [dict(point) for point in space.start]
    ray.init(logging_level="ERROR", log_to_driver=False)
    results = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric=name,
            mode=mode,
            num_samples=-1,
            time_budget_s=seconds,
            search_alg=OptunaSearch(
                Configure(space), points_to_evaluate=points, seed=space.seed, metric=name, mode=mode
            ),
            scheduler=ASHAScheduler(max_t=space.budget.max_epochs),
        ),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()
    frames = [result.metrics_dataframe for result in results]
    seen = [frame[name] for frame in frames if frame is not None and name in frame]
    best = results.get_best_result(scope="all")
    assert best.config and best.metrics_dataframe is not None
    values = best.metrics_dataframe[name]
    ray.shutdown()
    return Found(
        job_of(space, best.config, "best", folder),
        float(values.max() if mode == "max" else values.min()),
        len(seen),
        sum(map(len, seen)),
    )


def space_of(mapping: Mapping[str, Any]) -> Space:
    """Checked, with the objective of its task."""
    space = space_from_mapping(mapping, name="space", file="space.yaml")
    task = load_task(space.task)
    assert isinstance(task, Task)
    return replace(space, objective=task.objective)


def job_of(space: Space, values: Mapping[str, Any], trial: str, folder: Path) -> Job:
    """A training as Rungs would have it."""
    assert space.objective is not None
    return Job(
        task=space.task,
        objective=space.objective,
        values=dict(values),
        seed=derive_seed(space.seed, "trial", trial),
        split_seed=space.seed,
        max_epochs=space.budget.max_epochs,
        folder=folder,
        cpus=space.resources.cpus,
    )


def fresh_values(job: Job) -> list[float]:
    """The objective of fresh trainings, two at a time."""
    with (
        tempfile.TemporaryDirectory() as path,
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
    ):
        jobs = [
            replace(job, seed=derive_seed(job.split_seed, "fresh", i), folder=Path(path, str(i)))
            for i in range(FRESH_SEEDS)
        ]
        return list(pool.map(best_value, jobs))


def best_value(job: Job) -> float:
    """Of all epochs of a training."""
    values = [report.metrics[job.objective.name] for report in run(job)]
    return max(values) if job.objective.direction == "maximize" else min(values)


def search(space_file: str, name: str, seed: int, seconds: int) -> Run:
    """Search, and train the winner again."""
    mapping = mapping_of(space_file, name, seed)
    with tempfile.TemporaryDirectory() as path:
        by = by_stock_ray if name == STOCK else by_rungs
        found = by(mapping, seconds, Path(path))
        fresh = fresh_values(found.job)
    return Run(space_file, name, seed, seconds, found.best, fresh, found.trials, found.epochs)


def read(file: Path) -> list[Run]:
    """The runs of a file; none where there is none yet."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Run(**json.loads(line)) for line in lines]


def table(runs: list[Run]) -> Iterator[str]:
    """A line for each search of each space."""
    of_search: defaultdict[tuple[str, str], dict[int, Run]] = defaultdict(dict)
    for each in runs:
        of_search[each.space, each.search][each.seed] = each
    yield "| space | search | seeds | best at the end | winner on fresh seeds | trials | epochs |"
    yield "|---|---|---|---|---|---|---|"
    for (space, name), by_seed in sorted(of_search.items()):
        found = list(by_seed.values())
        fresh = [float(np.mean(each.fresh)) for each in found]
        yield (
            f"| {space} | {name} | {len(found)} | {spread([each.best for each in found])} "
            f"| {spread(fresh)} | {np.mean([each.trials for each in found]):.0f} "
            f"| {np.mean([each.epochs for each in found]):.0f} |"
        )


def spread(values: list[float]) -> str:
    """The mean, and the standard error of it."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{np.mean(values):.4f} ± {error:.4f}"


def main() -> None:
    """Run what is missing, or print what is there."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.real",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("space", nargs="?")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "stored" / "real.jsonl")
    options = parser.parse_args()
    done = {(each.space, each.search, each.seed, each.seconds) for each in read(options.to)}
    for seed in range(options.seeds):
        for name in (*SEARCHES, STOCK):
            if (options.space, name, seed, options.seconds) in done:
                continue
            # A process of its own, as Ray's settings stay with the one that started it; and a
            # module that Ray's workers can import, which __main__ isn't.
            from benchmarks.search import real

            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                made = pool.submit(real.search, options.space, name, seed, options.seconds).result()
            with options.to.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(made)) + "\n")
            print(made, flush=True)
    print("\n".join(table(read(options.to))))


if __name__ == "__main__":
    main()
