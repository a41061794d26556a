"""What a trial costs before and between its epochs: this engine beside stock Ray Tune, on the same trivial trainable.

    python benchmarks/trial_overhead.py

64 trials of 1 to 9 reports (ASHA decides) on the cores that are there. Each engine runs in a process of its own, one
after the other. "Start-up" is the time until the first trial has ended; what a trial costs is the rest of the time
over the rest of the trials. The trainable does nothing, so all of it is overhead.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
TRIALS, MAX_EPOCHS = 64, 9
SAMPLE_S = 0.2


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Nine values that depend on the configuration, at once."""
    for epoch in range(1, MAX_EPOCHS + 1):
        yield {"score": config["x"] * epoch}


class Memory:
    """Largest resident memory (MiB, shared pages counted fairly) of this process and of the processes that train."""

    def __init__(self) -> None:
        self.driver_mib = 0.0
        self.actors_mib = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            self.driver_mib = max(self.driver_mib, _mib(me))
            actors = [process for process in me.children(recursive=True) if _is_actor(process)]
            self.actors_mib = max(self.actors_mib, sum(map(_mib, actors)))
            time.sleep(SAMPLE_S)


def _is_actor(process: psutil.Process) -> bool:
    try:
        title = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return title.startswith("ray::") and "IDLE" not in title


def _mib(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss / 2**20
    except psutil.Error:
        return 0.0


def ours() -> dict[str, float]:
    """This engine."""
    from cluster.connect import connect
    from cluster.search import search
    from cluster.study import Study
    from cluster.tuning import Halt
    from cluster.view import SilentView
    from results.study_folder import StudyFolder
    from search_spaces import Objective, space_from_mapping

    space = space_from_mapping(
        {
            "task": "benchmarks.trial_overhead:train",
            "objective": {"maximize": "score"},
            "parameters": {"x": {"float": [0.0, 1.0]}},
            "budget": {"trials": TRIALS, "max_epochs": MAX_EPOCHS},
        },
        name="overhead",
        file="overhead.yaml",
    )

    class Clock(SilentView):
        """Notes when the first trial has ended."""

        first_s = 0.0

        def refresh(self) -> None:
            if not self.first_s and any(trial.state.is_finished() for trial in study.trials()):
                self.first_s = time.monotonic() - begun

    with tempfile.TemporaryDirectory() as folder:
        study = Study(StudyFolder(Path(folder)), space, Objective(name="score", direction="maximize"))
        memory, clock, begun = Memory(), Clock(), time.monotonic()
        search(study, connect(None), concurrent=None, view=clock, halt=Halt(None))
        total_s = time.monotonic() - begun
    return measured(total_s, clock.first_s, memory)


def stock() -> dict[str, float]:
    """Ray Tune as its documentation shows it: a function trainable, OptunaSearch, ASHA, default loggers."""
    import optuna
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def trainable(config: dict[str, Any]) -> None:
        for metrics in train(config):
            tune.report(metrics)

    class Clock(tune.Callback):
        """Notes when the first trial has ended."""

        first_s = 0.0

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.first_s = self.first_s or time.monotonic() - begun

    memory, clock, begun = Memory(), Clock(), time.monotonic()
    ray.init(logging_level="ERROR", log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            trainable,
            param_space={"x": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=TRIALS,
                search_alg=OptunaSearch(),
                scheduler=ASHAScheduler(max_t=MAX_EPOCHS, grace_period=1, reduction_factor=3),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[clock]),
        ).fit()
        total_s = time.monotonic() - begun
    return measured(total_s, clock.first_s, memory)


def measured(total_s: float, first_s: float, memory: Memory) -> dict[str, float]:
    """One engine's figures."""
    return {
        "startup_s": first_s,
        "per_trial_s": (total_s - first_s) / (TRIALS - 1),
        "driver_mib": memory.driver_mib,
        "actors_mib": memory.actors_mib,
    }


def in_own_process(engine: str) -> dict[str, float]:
    """Run one engine in a new process and read its figures from the last line it prints."""
    command = [sys.executable, "-m", "benchmarks.trial_overhead", engine]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{engine} failed:\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure both and print the comparison."""
    figures = {engine: in_own_process(engine) for engine in ("ours", "stock")}
    print(f"{TRIALS} trials of 1 to {MAX_EPOCHS} reports, {psutil.cpu_count()} cores")
    print(f"{'':8}{'start-up':>10}{'per trial':>12}{'driver':>12}{'actors':>12}")
    for engine, found in figures.items():
        print(
            f"{engine:8}{found['startup_s']:8.1f} s{found['per_trial_s']:10.3f} s"
            f"{found['driver_mib']:8.0f} MiB{found['actors_mib']:8.0f} MiB"
        )
    print(f"a trial costs {figures['stock']['per_trial_s'] / figures['ours']['per_trial_s']:.1f} times less here")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps({"ours": ours, "stock": stock}[sys.argv[1]]()))
    else:
        main()
