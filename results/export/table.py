"""All trials of a study as tables for other tools: CSV, and JSON that has every epoch too."""

import csv
import json
import math
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from results.states import state_name
from results.study.best import best_epoch
from results.study.notes import Notes
from results.study.record import StudyRecord
from trainables.trial_folder import write_atomically, write_text_atomically

BEFORE = ("number", "state", "start_point")
VALUES = ("value", "second")
BEHIND = ("epochs", "started", "seconds", "reason", "warning")


def write_csv(record: StudyRecord, path: Path) -> None:
    """Write a line for each trial (RFC 4180).

    Parameters are named `config.<name>`, empty where a trial has none; the values of its best epoch
    `best.<metric>`.
    """
    names = [parameter.name for parameter in record.description.space.parameters]
    metrics = dict(zip(VALUES, record.description.objective.names, strict=False))
    header = [
        *BEFORE,
        *(f"config.{name}" for name in names),
        *(f"best.{name}" for name in metrics.values()),
    ]
    lines: list[list[Any]] = [[*header, "best_epoch", *BEHIND]]
    for trial in record.trials:
        row = trial_row(trial, record)
        config, best = row["config"], row["best"] or {}
        shown = [_value_cell(config[name]) if name in config else "" for name in names]
        bests = [best.get(key, "") for key in (*metrics, "epoch")]
        lines.append([*(row[key] for key in BEFORE), *shown, *bests, *(row[key] for key in BEHIND)])

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            csv.writer(file).writerows(lines)

    write_atomically(path, write)


def write_json(record: StudyRecord, path: Path) -> None:
    """Write the same with the values of all epochs.

    A value that is not finite is null, as JSON has no other word.
    """
    content = {
        "study": record.description.space.name,
        "task": record.description.space.task,
        "objective": record.description.objective.to_yaml(),
        "trials": [
            trial_row(trial, record) | {"values": _values(trial)} for trial in record.trials
        ],
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_text_atomically(path, text)


def trial_row(trial: FrozenTrial, record: StudyRecord) -> dict[str, Any]:
    """What a study knows of a trial.

    `repeats` is the number of the failed trial that it trains again, if it does so; `epochs` is the
    last one that it reported; `started` is when it last began, on its launcher's clock; `seconds`
    is what its epochs took, whatever lay between them.
    """
    best, notes = best_epoch(trial, record.description.objective), Notes.of(trial)
    names = [parameter.name for parameter in record.description.space.parameters]
    return {
        "number": trial.number,
        "state": state_name(trial, record),
        "start_point": notes.start_point,
        "repeats": notes.repeats,
        "config": {name: trial.params[name] for name in names if name in trial.params},
        "best": best and {"epoch": best.epoch, **dict(zip(VALUES, best.values, strict=False))},
        "epochs": max(trial.intermediate_values, default=0),
        "started": trial.datetime_start.isoformat(timespec="seconds")
        if trial.datetime_start
        else None,
        "seconds": _seconds(trial, record),
        "reason": notes.reason,
        "warning": notes.warning,
    }


def _values(trial: FrozenTrial) -> list[dict[str, Any]]:
    """Every epoch that it reported."""
    rows, notes = [], Notes.of(trial)
    for epoch, value in sorted(trial.intermediate_values.items()):
        second = notes.second_at(epoch)
        finite = value if math.isfinite(value) else None
        rows.append(
            {"epoch": epoch, "value": finite, **({} if second is None else {"second": second})}
        )
    return rows


def _seconds(trial: FrozenTrial, record: StudyRecord) -> float | None:
    """None where the trial's file is gone."""
    lines = record.folder.trial(trial.number).read_metrics()
    seconds = [line["seconds"] for line in lines if isinstance(line.get("seconds"), int | float)]
    return round(sum(seconds), 3) if seconds else None


def _value_cell(value: Any) -> Any:
    """`null` and `true` as YAML has them; an empty cell is a parameter that the trial has not."""
    return json.dumps(value) if value is None or isinstance(value, bool) else value
