"""What a trial of two workers costs: warm Ray Train groups beside the pattern that Ray's documentation shows.

    python benchmarks/train_groups.py

12 trials of 1 to 9 reports (ASHA decides), one at a time, each by two workers of half a core that train nothing: all
of it is overhead. Each engine runs in a process of its own, one after the other. "Start-up" is the time until the
first trial has ended; what a trial costs is the rest of the time over the rest of the trials. "Left held" are the CPUs
that are not free again when the search is over.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
TRIALS, MAX_EPOCHS, WORKERS, CPUS = 12, 9, 2, 0.45
RELEASE_S = 10.0


def train(config: dict[str, Any], *, rank: int = 0) -> Iterator[dict[str, float]]:
    """Nine values that depend on the configuration, at once."""
    for epoch in range(1, MAX_EPOCHS + 1):
        yield {"score": config["x"] * epoch}


def warm() -> dict[str, float]:
    """This engine: one group for all trials."""
    import ray

    from cluster.connect import connect
    from cluster.search import search
    from cluster.study import Study
    from cluster.tuning import Halt
    from cluster.view import SilentView
    from results.study_folder import StudyFolder
    from search_spaces import Objective, space_from_mapping

    space = space_from_mapping(
        {
            "task": "benchmarks.train_groups:train",
            "objective": {"maximize": "score"},
            "parameters": {"x": {"float": [0.0, 1.0]}},
            "budget": {"trials": TRIALS, "max_epochs": MAX_EPOCHS},
            "resources": {"cpus": CPUS, "workers": WORKERS},
        },
        name="groups",
        file="groups.yaml",
    )

    class Clock(SilentView):
        """Notes when the first trial has ended."""

        first_s = 0.0

        def refresh(self) -> None:
            if not self.first_s and any(trial.state.is_finished() for trial in study.trials()):
                self.first_s = time.monotonic() - begun

    with tempfile.TemporaryDirectory() as folder:
        study = Study(StudyFolder(Path(folder)), space, Objective(name="score", direction="maximize"))
        clock, begun = Clock(), time.monotonic()
        search(study, connect(None), concurrent=1, view=clock, halt=Halt(None))
        total_s = time.monotonic() - begun
    return measured(total_s, clock.first_s, held_cpus(ray))


def documented() -> dict[str, float]:
    """A TorchTrainer for each trial, fitted inside a Tune function, as Ray's documentation has it."""
    import ray
    from ray import train as ray_train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback
    from ray.tune.schedulers import ASHAScheduler

    def worker(config: dict[str, Any]) -> None:
        for metrics in train(config):
            ray_train.report(metrics)

    def driver(config: dict[str, Any]) -> None:
        TorchTrainer(
            worker,
            train_loop_config=config,
            scaling_config=ray_train.ScalingConfig(num_workers=WORKERS, resources_per_worker={"CPU": CPUS}),
            run_config=ray_train.RunConfig(
                name=f"trial-{tune.get_context().get_trial_id()}",
                storage_path=folder,
                callbacks=[TuneReportCallback()],
            ),
        ).fit()

    class Clock(tune.Callback):
        """Notes when the first trial has ended."""

        first_s = 0.0

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.first_s = self.first_s or time.monotonic() - begun

    clock, begun = Clock(), time.monotonic()
    ray.init(logging_level="ERROR", log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(driver, {"cpu": 0.05}),
            param_space={"x": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=TRIALS,
                max_concurrent_trials=1,
                scheduler=ASHAScheduler(max_t=MAX_EPOCHS, grace_period=1, reduction_factor=3),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[clock]),
        ).fit()
        total_s = time.monotonic() - begun
    return measured(total_s, clock.first_s, held_cpus(ray))


def held_cpus(ray: Any) -> float:
    """CPUs that are not free, once what has just ended had time to give them back."""
    deadline = time.monotonic() + RELEASE_S
    while True:
        held = ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0.0)
        if held < 1e-6 or time.monotonic() > deadline:
            return held
        time.sleep(0.2)


def measured(total_s: float, first_s: float, held: float) -> dict[str, float]:
    """One engine's figures."""
    return {"startup_s": first_s, "per_trial_s": (total_s - first_s) / (TRIALS - 1), "held_cpus": held}


def in_own_process(engine: str) -> dict[str, float]:
    """Run one engine in a new process and read its figures from the last line it prints."""
    command = [sys.executable, "-m", "benchmarks.train_groups", engine]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{engine} failed:\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure both and print the comparison."""
    figures = {engine: in_own_process(engine) for engine in ("warm", "documented")}
    print(f"{TRIALS} trials of 1 to {MAX_EPOCHS} reports by {WORKERS} workers, {psutil.cpu_count()} cores")
    print(f"{'':12}{'start-up':>10}{'per trial':>12}{'left held':>14}")
    for engine, found in figures.items():
        startup_s, per_trial_s, held = found["startup_s"], found["per_trial_s"], found["held_cpus"]
        print(f"{engine:12}{startup_s:8.1f} s{per_trial_s:10.3f} s{held:9.2f} CPUs")
    print(f"a trial costs {figures['documented']['per_trial_s'] / figures['warm']['per_trial_s']:.1f} times less warm")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps({"warm": warm, "documented": documented}[sys.argv[1]]()))
    else:
        main()
