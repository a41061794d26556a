"""What a trial of two workers costs: warm Ray Train groups beside Ray's documented pattern.

    python -m benchmarks.train_groups

12 trials of 1 to 9 reports (ASHA decides), one at a time, each by two workers of half a core that
train nothing: all of it is overhead. Each engine runs in a process of its own, one after the other.
"Start-up" is the time until the first trial has ended; what a trial costs is the rest of the time
over the rest of the trials. "Left held" are the CPUs that are not free again when the search is
over.
"""

import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks import side_by_side
from benchmarks.side_by_side import Measured, in_own_process, print_figures
from trainables.machine import usable_cpus

TRIALS, MAX_EPOCHS, WORKERS, CPUS = 12, 9, 2, 0.45
SPACE = {
    "task": "benchmarks.train_groups:train",
    "objective": {"maximize": "score"},
    "parameters": {"x": {"float": [0.0, 1.0]}},
    "budget": {"trials": TRIALS, "max_epochs": MAX_EPOCHS},
    "resources": {"cpus": CPUS, "workers": WORKERS},
}


def train(config: dict[str, Any], *, rank: int = 0) -> Iterator[dict[str, float]]:
    """Nine values that depend on the configuration, at once."""
    for epoch in range(1, MAX_EPOCHS + 1):
        yield {"score": config["x"] * epoch}


def warm() -> Measured:
    """This engine: one group for all trials."""
    return side_by_side.ours(SPACE, concurrent=1)


def documented() -> Measured:
    """A TorchTrainer for each trial, fitted in a Tune function, as Ray's documentation has it."""
    from ray import train as ray_train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback
    from ray.tune.schedulers import ASHAScheduler

    def worker(config: dict[str, Any]) -> None:
        for metrics in train(config):
            ray_train.report(metrics)

    def driver(config: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            TorchTrainer(
                worker,
                train_loop_config=config,
                scaling_config=ray_train.ScalingConfig(
                    num_workers=WORKERS, resources_per_worker={"CPU": CPUS}
                ),
                run_config=ray_train.RunConfig(
                    name=f"trial-{tune.get_context().get_trial_id()}",
                    storage_path=folder,
                    callbacks=[TuneReportCallback()],
                ),
            ).fit()

    return side_by_side.stock(
        tune.with_resources(driver, {"cpu": 0.05}),
        {"x": tune.uniform(0.0, 1.0)},
        num_samples=TRIALS,
        max_concurrent_trials=1,
        scheduler=ASHAScheduler(max_t=MAX_EPOCHS, grace_period=1, reduction_factor=3),
    )


def main() -> None:
    """Measure both and print the comparison."""
    figures = {
        engine: in_own_process("benchmarks.train_groups", engine)
        for engine in ("warm", "documented")
    }
    print(
        f"{TRIALS} trials of 1 to {MAX_EPOCHS} reports by {WORKERS} workers, {usable_cpus()} cores"
    )
    print(f"{'':12}{'start-up':>10}{'per trial':>12}{'left held':>14}")
    for engine, found in figures.items():
        print(
            f"{engine:12}{found.startup_s:8.1f} s{found.per_trial_s:10.3f} "
            f"s{found.held_cpus:9.2f} CPUs"
        )
    print(
        f"a trial costs {figures['documented'].per_trial_s / figures['warm'].per_trial_s:.1f} "
        "times less warm"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print_figures({"warm": warm, "documented": documented}[sys.argv[1]]())
    else:
        main()
