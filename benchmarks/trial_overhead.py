"""What a trial costs before and between its epochs: Rungs beside Ray Tune, on the same function.

    python -m benchmarks.trial_overhead

64 trials of 1 to 9 reports (ASHA decides) on the cores that are there. Each engine runs in a
process of its own, one after the other. "Start-up" is the time until the first trial has ended;
what a trial costs is the rest of the time over the rest of the trials. A turn is one trial's time
in a slot: with `promotion` trials are frozen, and those that are thawed have several. The trainable
does nothing, so all of it is overhead.
"""

import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import side_by_side
from benchmarks.side_by_side import Measured, in_own_process, print_figures
from trainables.machine import usable_cpus

TRIALS, MAX_EPOCHS = 64, 9
SPACE = {
    "task": "benchmarks.trial_overhead:train",
    "objective": {"maximize": "score"},
    "parameters": {"x": {"float": [0.0, 1.0]}},
    "budget": {"trials": TRIALS, "max_epochs": MAX_EPOCHS},
}


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Nine values that depend on the configuration, at once."""
    for epoch in range(1, MAX_EPOCHS + 1):
        yield {"score": config["x"] * epoch}


def ours() -> Measured:
    """This engine."""
    return side_by_side.ours(SPACE)


def promotion() -> Measured:
    """This engine, freezing trials and thawing them."""
    return side_by_side.ours({**SPACE, "search": {"scheduler": "promotion"}})


def stock() -> Measured:
    """Ray Tune as its documentation shows it: a function, OptunaSearch, ASHA, default loggers."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    def trainable(config: dict[str, Any]) -> None:
        for metrics in train(config):
            tune.report(metrics)

    return side_by_side.stock(
        trainable,
        {"x": tune.uniform(0.0, 1.0)},
        num_samples=TRIALS,
        search_alg=OptunaSearch(),
        scheduler=ASHAScheduler(max_t=MAX_EPOCHS, grace_period=1, reduction_factor=3),
    )


ENGINES = {"ours": ours, "promotion": promotion, "stock": stock}


def main() -> None:
    """Measure both and print the comparison."""
    figures = {engine: in_own_process("benchmarks.trial_overhead", engine) for engine in ENGINES}
    print(f"{TRIALS} trials of 1 to {MAX_EPOCHS} reports, {usable_cpus()} cores")
    print(
        f"{'':10}{'start-up':>10}{'turns':>8}{'per turn':>12}{'per trial':>12}{'driver':>12}"
        f"{'actors':>12}"
    )
    for engine, found in figures.items():
        print(
            f"{engine:10}{found.startup_s:8.1f} s{found.turns:8}{found.per_turn_s:10.3f} s"
            f"{found.per_trial_s:10.3f} s"
            f"{found.driver_mib:8.0f} MiB{found.actors_mib:8.0f} MiB"
        )
    print(
        f"a trial costs {figures['stock'].per_trial_s / figures['ours'].per_trial_s:.1f} times "
        "less here"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print_figures(ENGINES[sys.argv[1]]())
    else:
        main()
