"""Proves that a forecast is what happens: pytest -m slow tests/slow/test_forecast.py."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.search.forecast import forecast
from cluster.search.recorded import Recorded, Recording, read_recording
from tests.slow.conftest import Launch, finish, record

TASK = """\
import time

def curve_of(row):
    return [((row * 7 % 12) + epoch / 2, 0.8 + row % 5 / 20) for epoch in range(1, 10)]

def train(config):
    for value, seconds in curve_of(config["row"]):
        time.sleep(seconds)
        yield {"score": value}
"""
SPACE = """\
task: replayed:train
objective: {maximize: score}
parameters: {row: {int: [0, 11]}}
search: {sampler: grid, scheduler: SCHEDULER, reduction: 3}
budget: {trials: 12, max_epochs: 9}
"""


def reported(journal: Path) -> list[tuple[int, int]]:
    """Trial and epoch of each report, in order."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return [(line["trial_id"], line["step"]) for line in lines if "intermediate_value" in line]


def test_a_search_on_one_slot_takes_its_decisions_and_its_time(
    workplace: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "replayed.py").write_text(TASK)
    (workplace / "small.yaml").write_text(SPACE.replace("SCHEDULER", "asha"))
    code, output = finish(launch("--space", "small.yaml", "--concurrent", "1"))
    assert code == 0, output
    study = record(workplace, "small")
    space, objective = study.description.space, study.description.objective
    monkeypatch.setattr(sys, "path", [str(workplace), *sys.path])
    task: dict[str, Any] = {}
    exec(TASK, task)
    rows = [
        Recorded(params={"row": row}, curve=task["curve_of"](row), ended=False) for row in range(12)
    ]
    told = forecast(
        space, objective, Recording(space=space, objective=objective, trainings=rows), 1
    )
    assert [(s.number, s.epoch) for s in told.simulation.steps] == reported(study.folder.journal)

    # The first trial waits for its process, which takes longer on a busy machine.
    ends = [trial.datetime_complete for trial in study.trials if trial.datetime_complete]
    real_s = (max(ends) - ends[0]).total_seconds()
    first_s = max(step.time_s for step in told.simulation.steps if step.number == 0)
    turns_s = 0.25 * len(study.trials)  # What starting a trial takes on a busy machine.
    assert abs(told.wall_s - first_s - real_s) < 0.1 * real_s + turns_s

    by_itself = forecast(space, objective, read_recording(study.folder.path), 1)
    assert by_itself.states == told.states
    assert abs(by_itself.wall_s - told.wall_s) < 0.1 * told.wall_s
