"""How much a driver can take: many cheap trials by Rungs, beside Ray Tune with its loggers.

    python -m benchmarks.scale [--trials 500] [--many 10000]

Eight trials at once on the cores that are there, each of ten reports at no cost, none stopped
early. Stock Ray Tune is given what makes it fast: its actors are reused too, so that drivers are
compared and not the starting of processes. Both suggest by Optuna's TPE. Rates are from the end of
the first trial to the end of the last. Then this engine runs `--many` trials, suggested at random
(TPE's own time grows with what it has seen, on either engine).
"""

import argparse
from collections.abc import Iterator
from typing import Any

from benchmarks import side_by_side
from benchmarks.side_by_side import Measured, in_own_process, print_figures
from trainables.machine import usable_cpus

RESULTS, CPUS = 10, 0.25


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Ten values that depend on the configuration, at once."""
    for epoch in range(1, RESULTS + 1):
        yield {"score": config["x"] * epoch}


def ours(trials: int, sampler: str = "tpe") -> Measured:
    """This engine."""
    return side_by_side.ours(
        {
            "task": "benchmarks.scale:train",
            "objective": {"maximize": "score"},
            "parameters": {"x": {"float": [0.0, 1.0]}},
            "search": {"sampler": sampler, "scheduler": "none"},
            "budget": {"trials": trials, "max_epochs": RESULTS},
            "resources": {"cpus": CPUS},
        }
    )


def stock(trials: int) -> Measured:
    """Ray Tune with OptunaSearch, default loggers and reused actors."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def trainable(config: dict[str, Any]) -> None:
        for metrics in train(config):
            tune.report(metrics)

    return side_by_side.stock(
        tune.with_resources(trainable, {"cpu": CPUS}),
        {"x": tune.uniform(0.0, 1.0)},
        num_samples=trials,
        search_alg=OptunaSearch(),
        reuse_actors=True,
    )


def line(name: str, found: Measured) -> str:
    """One row of the comparison."""
    return (
        f"{name:8}{found.trials:8d}{found.per_second:12.2f}"
        f"{found.results / found.trials * found.per_second:12.1f}"
        f"{found.cpu_s / found.results * 1000:14.2f} ms{found.driver_mib:10.0f} MiB"
    )


def main() -> None:
    """Measure both and print the comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument(
        "engine", nargs="?", choices=["ours", "many", "stock"], help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    if args.engine:
        engines = {"ours": lambda: ours(args.trials), "many": lambda: ours(args.many, "random")}
        print_figures({**engines, "stock": lambda: stock(args.trials)}[args.engine]())
        return
    sizes = ("--trials", args.trials, "--many", args.many)
    print(f"trials of {RESULTS} results, 8 at once, {usable_cpus()} cores")
    print(
        f"{'':8}{'trials':>8}{'trials/s':>12}{'results/s':>12}{'driver/result':>17}{'driver':>14}"
    )
    figures = {}
    for engine in ("ours", "stock", "many"):
        figures[engine] = in_own_process("benchmarks.scale", engine, *sizes)
        print(line("ours" if engine == "many" else engine, figures[engine]), flush=True)
    print(f"{figures['ours'].per_second / figures['stock'].per_second:.1f} times as many here")


if __name__ == "__main__":
    main()
