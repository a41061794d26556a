"""What the benchmarks share: engines, each run in a process of its own and measured alike."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from optuna.trial import FrozenTrial, TrialState

from results.study.journal import read_journal
from results.study.notes import frozen_epoch
from results.study.optuna_private import JournalOperation

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_S = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One engine's figures for a search whose trials train nothing, so that all of it is overhead.

    Attributes:
        trials: How many there were.
        turns: How often one began in a slot; those that are thawed begin again.
        results: How many epochs they reported.
        startup_s: Until the first trial had ended, or was frozen.
        rest_s: For all others.
        cpu_s: The driver's own CPU time for all others.
        driver_mib: The driver's largest resident memory, shared pages counted fairly.
        actors_mib: The same for the processes that train, all together.
        held_cpus: CPUs that were not free again when the search was over.
    """

    trials: int
    turns: int
    results: int
    startup_s: float
    rest_s: float
    cpu_s: float
    driver_mib: float
    actors_mib: float
    held_cpus: float

    @property
    def per_trial_s(self) -> float:
        """What a trial costs once the first has ended."""
        return self.rest_s / (self.trials - 1)

    @property
    def per_turn_s(self) -> float:
        """What a change of trial in a slot costs, with its reports."""
        return self.rest_s / (self.turns - 1)

    @property
    def per_second(self) -> float:
        """Trials that end in a second."""
        return 1 / self.per_trial_s


class Stopwatch:
    """Measures a search, from its making to `measured`."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._begun_s = time.monotonic()
        self._first_s = self._first_cpu_s = 0.0

    def first_trial_ended(self) -> None:
        """Call it when a trial has ended; only the first time counts."""
        if not self._first_s:
            self._first_s, self._first_cpu_s = time.monotonic() - self._begun_s, time.process_time()

    def measured(self, trials: int, results: int, turns: int | None = None) -> Measured:
        """The figures, while Ray is still there."""
        total_s, cpu_s = time.monotonic() - self._begun_s, time.process_time()
        return Measured(
            trials=trials,
            turns=turns or trials,
            results=results,
            startup_s=self._first_s,
            rest_s=total_s - self._first_s,
            cpu_s=cpu_s - self._first_cpu_s,
            driver_mib=self._memory.driver_mib,
            actors_mib=self._memory.actors_mib,
            held_cpus=held_cpus(),
        )


class Memory:
    """Largest memory (MiB, shared pages counted fairly) of this process and of those that train."""

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


def held_cpus(wait_s: float = 10.0) -> float:
    """CPUs that are not free, once what has just ended had time to give them back."""
    import ray

    deadline = time.monotonic() + wait_s
    while True:
        held = ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0.0)
        if held < 1e-6 or time.monotonic() > deadline:
            return max(0.0, held)
        time.sleep(0.2)


def ours(space: dict[str, Any], *, concurrent: int | None = None) -> Measured:
    """This engine's search of a space, in a folder that is removed again."""
    from cluster.connect import connect
    from cluster.search.study import Study
    from cluster.tune import search
    from cluster.tune_hooks import Halt
    from cluster.view import SilentView
    from results.study.folder import StudyFolder
    from search_spaces import space_from_mapping

    class Watch(SilentView):
        """Tells the stopwatch of the first trial that has ended."""

        ended = False

        def refresh(self) -> None:
            if not self.ended and any(map(left_its_slot, study.trials())):
                self.ended = True
                stopwatch.first_trial_ended()

    checked = space_from_mapping(space, name="benchmark", file="benchmark.yaml")
    assert checked.objective is not None
    with tempfile.TemporaryDirectory() as path:
        study = Study(StudyFolder(Path(path)), checked, checked.objective)
        stopwatch = Stopwatch()
        search(study, connect(None), concurrent=concurrent, view=Watch(), halt=Halt(None))
        trials = study.trials()
        return stopwatch.measured(
            len(trials),
            sum(len(trial.intermediate_values) for trial in trials),
            sum(
                map(begins, read_journal(study.folder.journal, checked, checked.objective).records)
            ),
        )


def left_its_slot(trial: FrozenTrial) -> bool:
    """Whether a trial is over, or frozen."""
    return trial.state.is_finished() or frozen_epoch(trial) is not None


def begins(line: Mapping[str, Any]) -> bool:
    """Whether a line of a journal has a trial begin in a slot."""
    operation, state = line["op_code"], line.get("state")
    if operation == JournalOperation.CREATE_TRIAL:
        return state is None
    return operation == JournalOperation.SET_TRIAL_STATE_VALUES and state == TrialState.RUNNING


def stock(trainable: Any, space: dict[str, Any], **settings: Any) -> Measured:
    """Ray Tune's search, with the loggers that it has by default; `settings` are `TuneConfig`'s."""
    import optuna
    import ray
    from ray import tune

    class Watch(tune.Callback):
        """Tells the stopwatch of the first trial that has ended."""

        def on_trial_complete(
            self, iteration: int, trials: list[Any], trial: Any, **info: Any
        ) -> None:
            stopwatch.first_trial_ended()

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    stopwatch = Stopwatch()
    ray.init(logging_level="ERROR", log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        done = tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune.TuneConfig(metric="score", mode="max", **settings),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Watch()]),
        ).fit()
        epochs = [result.metrics["training_iteration"] if result.metrics else 0 for result in done]
        return stopwatch.measured(len(epochs), sum(epochs))


def in_own_process(module: str, engine: str, *arguments: object) -> Measured:
    """Run a benchmark's engine in a new process and read its figures from the last line it prints.

    Raises:
        SystemExit: with the engine's output, when it fails.
    """
    command = [sys.executable, "-m", module, engine, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{engine} failed:\n{done.stdout}\n{done.stderr}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def print_figures(measured: Measured) -> None:
    """For the process that `in_own_process` waits for."""
    print(json.dumps(asdict(measured)))
