"""Proves that the dashboard and Prometheus are told what trains while it does.

pytest -m slow tests/slow
"""

import json
import re
from pathlib import Path
from urllib.request import urlopen

import psutil

from tests.cluster.test_metrics import exported
from tests.slow.conftest import Launch, record, wait_until

NODES = Path(
    "/tmp/ray/prom_metrics_service_discovery.json"
)  # As cluster/monitoring/prometheus.yaml has it.
SPACE = """\
task: toy:train
objective: {maximize: score}
parameters: {x: {float: [0.1, 1.0]}}
fixed: {kind: good, epoch_s: 0.3}
search: {scheduler: none}
budget: {trials: 60, max_epochs: 9}
"""


def test_metrics_and_names_tell_what_trains(workplace: Path, launch: Launch) -> None:
    (workplace / "watched.yaml").write_text(SPACE)
    process = launch("--space", "watched.yaml")
    figures: dict[str, float] = {}

    def many_epochs_are_told() -> bool:
        figures.update(
            told()
        )  # Another Ray of this machine may tell of itself there a moment later.
        return figures.get("ray_rungs_epochs_total", 0) >= 20

    wait_until(many_epochs_are_told, process)
    study = record(workplace, "watched")
    assert {name for name in figures if "rungs" in name} == exported()
    epochs = sum(len(trial.intermediate_values) for trial in study.trials)
    best = max(value for trial in study.trials for value in trial.intermediate_values.values())
    assert 20 <= figures["ray_rungs_epochs_total"] <= epochs
    assert 0 < figures["ray_rungs_best_value"] <= best
    assert figures["ray_rungs_report_seconds_count"] == figures["ray_rungs_epochs_total"]
    assert 1 <= figures["ray_rungs_busy_slots"] <= figures["ray_rungs_slots"]
    wait_until(lambda: bool(titles(process.pid)), process)
    number, x = titles(process.pid)[0]
    assert f"{record(workplace, 'watched').trials[number].params['x']:.3g}" == x


def told() -> dict[str, float]:
    """The metrics of the study, summed over tags."""
    if not NODES.exists():
        return {}
    figures: dict[str, float] = {}
    for target in json.loads(NODES.read_text())[0]["targets"]:
        try:
            text = urlopen(f"http://{target}/metrics", timeout=10).read().decode()
        except OSError:
            continue
        for name, value in re.findall(
            r'^(ray_rungs_\w+)\{.*study="watched".*\} (\S+)$', text, re.MULTILINE
        ):
            figures[name] = figures.get(name, 0.0) + float(value)
    return figures


def titles(driver: int) -> list[tuple[int, str]]:
    """Numbers and values of the trials in the names of a driver's processes."""
    names = [" ".join(child.cmdline()) for child in psutil.Process(driver).children(recursive=True)]
    found = [re.match(r"ray::trial (\d+) x=(\S+)", name) for name in names]
    return [(int(match[1]), match[2]) for match in found if match]
