"""What a search loses when its driver is killed: Rungs beside Ray Tune with `Tuner.restore`.

    python benchmarks/faults.py [--kills 5] [--trials 16] [--seed 0]

Both run the same trainable, which keeps a checkpoint after each epoch, under ASHA, and this engine
also under promotion and freeze-thaw search, which freeze trials and thaw them. The driver is killed
(SIGKILL) at random moments while trials run, and started again each time; after the last kill it
runs to its end. Counted are

- starts that failed,
- trials that had begun to train and have no end,
- epochs that were trained twice (also each at which a trial was frozen and later thawed: the
  trainable saves an epoch after the `yield`),
- epochs that were trained and of which Optuna has no value,
- trials whose state in Optuna isn't what happened to them: COMPLETE though stopped early, or still
RUNNING.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MAX_EPOCHS, EPOCH_S, SLOTS = 9, 0.3, 2
COLUMNS = ("kills", "failed starts", "trials lost", "epochs redone", "missing", "wrong states")
START_TIMEOUT_S, RUN_TIMEOUT_S = 90, 600
SPACE = """\
task: benchmarks.faults:train
objective: {{maximize: score}}
parameters: {{x: {{float: [0.0, 1.0]}}}}
search: {{sampler: {sampler}, scheduler: {scheduler}}}
fixed: {{log: {log}}}
budget: {{trials: {trials}, max_epochs: {max_epochs}}}
seed: {seed}
"""


def train(config: dict[str, Any], *, folder: Path) -> Iterator[dict[str, float]]:
    """A trainable that remembers its epoch in its folder, and logs each epoch that it trains."""
    memory = folder / "epoch.json"
    done = json.loads(memory.read_text()) if memory.exists() else 0
    for epoch in range(done + 1, MAX_EPOCHS + 1):
        yield {"epoch": epoch, "score": train_epoch(config, epoch)}
        memory.write_text(str(epoch))


def train_epoch(config: dict[str, Any], epoch: int) -> float:
    """One epoch: a nap, a line in the log, a score."""
    time.sleep(EPOCH_S)
    with Path(config["log"]).open("a") as log:
        log.write(f"{config['x']!r} {epoch}\n")
    return config["x"] * epoch


def stock_driver(folder: Path, trials: int) -> None:
    """Ray Tune as documented: a function with checkpoints, OptunaSearch, ASHA, `Tuner.restore`."""
    import optuna
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ray.init(num_cpus=SLOTS, logging_level="ERROR", log_to_driver=False)

    def trainable(config: dict[str, Any]) -> None:
        checkpoint, done = tune.get_checkpoint(), 0
        if checkpoint:
            with checkpoint.as_directory() as path:
                done = json.loads((Path(path) / "epoch.json").read_text())
        for epoch in range(done + 1, MAX_EPOCHS + 1):
            score = train_epoch(config, epoch)
            with tempfile.TemporaryDirectory() as path:
                (Path(path) / "epoch.json").write_text(str(epoch))
                tune.report(
                    {"score": score, "epoch": epoch},
                    checkpoint=tune.Checkpoint.from_directory(path),
                )

    experiment = folder / "stock"
    search = OptunaSearch(metric="score", mode="max")
    if tune.Tuner.can_restore(str(experiment)):
        tuner = tune.Tuner.restore(
            str(experiment), trainable, resume_unfinished=True, resume_errored=True
        )
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"x": tune.uniform(0.0, 1.0), "log": str(folder / "epochs.log")},
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=trials,
                search_alg=search,
                scheduler=ASHAScheduler(
                    time_attr="epoch", max_t=MAX_EPOCHS, grace_period=1, reduction_factor=3
                ),
            ),
            run_config=tune.RunConfig(name="stock", storage_path=str(folder), verbose=0),
        )
    results = tuner.fit()
    epochs = [result.metrics.get("epoch", 0) if result.metrics else 0 for result in results]
    study = newest_optuna_study(experiment)
    (folder / "ended.json").write_text(json.dumps({"epochs": epochs, "optuna": study}))


def newest_optuna_study(experiment: Path) -> list[list[Any]]:
    """State, parameter and epochs of each trial as OptunaSearch saved them last."""
    import pickle

    saved = max(experiment.glob("searcher-state-*.pkl"), key=lambda path: path.stat().st_mtime)
    search = pickle.loads(saved.read_bytes())  # Ray's own format, of our own run.
    study = (
        (search.get("searcher") or search)["_ot_study"]
        if isinstance(search, dict)
        else search._ot_study
    )
    return [
        [trial.state.name, trial.params.get("x"), len(trial.intermediate_values)]
        for trial in study.trials
    ]


def killed_often(
    command: list[str], log: Path, ended: Any, *, kills: int, chance: random.Random
) -> dict[str, int]:
    """Start a driver, kill it, start it again, ...; at last let it end.

    Counts kills and starts that failed.
    """
    counts = {"kills": 0, "failed_starts": 0}
    while counts["kills"] < kills and not ended():
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        lines, wanted = count_lines(log), chance.randrange(1, 16)
        deadline = time.monotonic() + START_TIMEOUT_S
        while (
            process.poll() is None
            and count_lines(log) < lines + wanted
            and time.monotonic() < deadline
        ):
            time.sleep(chance.uniform(0.01, 0.2))
        counts["failed_starts"] += process.poll() not in (None, 0)
        counts["kills"] += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    if not ended():
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=RUN_TIMEOUT_S)
            counts["failed_starts"] += done.returncode != 0
        except subprocess.TimeoutExpired:
            counts["failed_starts"] += 1
    return counts


def count_lines(path: Path) -> int:
    """How many lines a file has."""
    return path.read_text().count("\n")


def epochs_redone(log: Path) -> int:
    """How many lines of the log stand there twice."""
    lines = log.read_text().splitlines()
    return len(lines) - len(set(lines))


def epochs_missing(log: Path, known: dict[float, int]) -> int:
    """How many more epochs were trained than Optuna has values of; trials differ in a parameter."""
    trained = Counter(float(line.split()[0]) for line in set(log.read_text().splitlines()))
    return sum(max(0, epochs - known.get(x, 0)) for x, epochs in trained.items())


def promotion(kills: int, trials: int, seed: int, folder: Path) -> dict[str, int]:
    """This engine, under promotion."""
    return ours(kills, trials, seed, folder, scheduler="promotion")


def freeze_thaw(kills: int, trials: int, seed: int, folder: Path) -> dict[str, int]:
    """This engine, under freeze-thaw search; it ends with its epochs, however many trials began."""
    return ours(kills, trials, seed, folder, sampler="curves", scheduler="freeze_thaw")


def ours(
    kills: int,
    trials: int,
    seed: int,
    folder: Path,
    sampler: str = "tpe",
    scheduler: str = "asha",
) -> dict[str, int]:
    """This engine, killed and resumed by the same command."""
    from optuna.trial import TrialState

    from results.study.folder import StudyFolder
    from results.study.record import read_study

    log, space = folder / "epochs.log", folder / "faults.yaml"
    log.touch()
    text = SPACE.format(
        log=log,
        trials=trials,
        max_epochs=MAX_EPOCHS,
        seed=seed,
        sampler=sampler,
        scheduler=scheduler,
    )
    space.write_text(text)
    command = [sys.executable, "launch.py", "--space", str(space), "--out", str(folder), "--quiet"]
    command += ["--concurrent", str(SLOTS)]
    study_folder = StudyFolder(folder / "faults")

    def ended() -> bool:
        return study_folder.journal.exists() and read_study(study_folder).condition() == "finished"

    counts = killed_often(command, log, ended, kills=kills, chance=random.Random(seed))
    trials_now = read_study(study_folder).trials
    full = [max(trial.intermediate_values, default=0) == MAX_EPOCHS for trial in trials_now]
    expected = [TrialState.COMPLETE if whole else TrialState.PRUNED for whole in full]
    wrong = sum(trial.state != state for trial, state in zip(trials_now, expected, strict=True))
    finished = sum(trial.state.is_finished() for trial in trials_now)
    missing = epochs_missing(
        log, {trial.params["x"]: len(trial.intermediate_values) for trial in trials_now}
    )
    return counts | {
        "lost": len({line.split()[0] for line in log.read_text().splitlines()}) - finished,
        "redone": epochs_redone(log),
        "missing": missing,
        "wrong": wrong,
    }


def stock(kills: int, trials: int, seed: int, folder: Path) -> dict[str, int]:
    """Stock Ray Tune, killed and restored."""
    log, end = folder / "epochs.log", folder / "ended.json"
    log.touch()
    command = [
        sys.executable,
        "-m",
        "benchmarks.faults",
        "--stock-driver",
        str(folder),
        "--trials",
        str(trials),
    ]
    counts = killed_often(command, log, end.exists, kills=kills, chance=random.Random(seed))
    found = json.loads(end.read_text()) if end.exists() else {"epochs": [], "optuna": []}
    lengths: dict[float, int] = {}
    for line in log.read_text().splitlines():
        x, epoch = line.split()
        lengths[float(x)] = max(lengths.get(float(x), 0), int(epoch))
    wrong = 0
    for state, x, _ in found["optuna"]:
        whole = lengths.get(x, 0) == MAX_EPOCHS
        wrong += state not in ("COMPLETE" if whole else "PRUNED", "FAIL")
    return counts | {
        "lost": trials - len(found["epochs"]),
        "redone": epochs_redone(log),
        "missing": epochs_missing(log, {x: epochs for _, x, epochs in found["optuna"]}),
        "wrong": wrong,
    }


def main() -> None:
    """Measure both and print the comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stock-driver", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stock_driver:
        stock_driver(args.stock_driver, args.trials)
        return
    print(
        f"{args.trials} trials of up to {MAX_EPOCHS} epochs, {SLOTS} at once, drivers killed "
        f"{args.kills} times"
    )
    print("{:12}{:>8}{:>16}{:>14}{:>16}{:>10}{:>15}".format("", *COLUMNS))
    for name, engine in (
        ("ours", ours),
        ("promotion", promotion),
        ("freeze_thaw", freeze_thaw),
        ("stock", stock),
    ):
        with tempfile.TemporaryDirectory() as folder:
            found = engine(args.kills, args.trials, args.seed, Path(folder))
        cells = (
            found[key] for key in ("kills", "failed_starts", "lost", "redone", "missing", "wrong")
        )
        print("{:12}{:>8}{:>16}{:>14}{:>16}{:>10}{:>15}".format(name, *cells), flush=True)


if __name__ == "__main__":
    main()
