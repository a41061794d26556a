"""How long a report takes: reading a study, computing what there is to say, filling in the page.

    python -m benchmarks.report [--trials 3000] [--study FOLDER]

Makes a study of ten parameters without training (a few minutes for 3,000 trials of up to 20
epochs) unless it is given one, and prints the processor time of each part. The imports are
scikit-learn's for the most part. What the study's task imports is a part of the page, which says
whether it can be imported; that of the study made here imports nothing.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from results.study.folder import StudyFolder

Result = TypeVar("Result")

PARAMETERS = {
    "optim.lr": {"float": [1e-4, 1e-1], "log": True},
    "optim.weight_decay": {"float": [1e-5, 1e-1], "log": True},
    "optim.warmup": {"float": [0, 0.3]},
    "optim.scheduler": {"choice": ["constant", "cosine", "restarts"]},
    "optim.restart_epochs": {"int": [2, 20], "when": {"optim.scheduler": "restarts"}},
    "model.kind": {"choice": ["plain", "deep", "wide"]},
    "model.depth": {"int": [1, 9], "when": {"model.kind": "deep"}},
    "model.width": {"int": [16, 1024], "log": True, "when": {"model.kind": "wide"}},
    "model.dropout": {"float": [0, 0.5]},
    "model.norm": {"choice": [True, False]},
}


def make_study(path: Path, trials: int) -> StudyFolder:
    """A study written as a search writes it, with conditions, failures and trials stopped early."""
    from tests.results.report.studies import drive, open_study, space

    budget = {"trials": trials, "max_epochs": 20}
    searched = space("report", parameters=PARAMETERS, start=[], budget=budget)
    return drive(open_study(path, searched), trials).folder


def timed(name: str, part: Callable[[], Result]) -> Result:
    """Run a part and print its processor time."""
    begun = time.process_time()
    result = part()
    print(f"{name:12}{time.process_time() - begun:8.2f} s", flush=True)
    return result


def measure(folder: StudyFolder) -> None:
    """Print how long each part of a report takes."""
    timed("imports", lambda: import_module("results.report"))
    from results.report.findings import Findings
    from results.report.page import page_html
    from results.study.record import read_study

    record = timed("read", lambda: read_study(folder))
    findings = timed("findings", lambda: Findings.of(record))
    page = timed("page", lambda: page_html(folder, findings, None))
    print(f"{len(record.trials)} trials, {len(record.journal)} lines, {len(page) / 1e6:.1f} MB")


def main() -> None:
    """Make a study, or take the one that is given, and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=3000)
    parser.add_argument("--study", type=Path)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        given = StudyFolder(args.study) if args.study else None
        measure(given or make_study(Path(folder) / "study", args.trials))


if __name__ == "__main__":
    main()
