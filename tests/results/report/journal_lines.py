"""A study's numbers straight from the lines of its journal, by other means than the report's."""

import json
import math
from pathlib import Path
from typing import Any

CREATE, STATE, VALUE = 4, 6, 7
STATES = {0: "running", 1: "complete", 2: "stopped early", 3: "failed", 4: "unfinished"}


def told(journal: Path, sign: int) -> dict[str, Any]:
    """Counts, epochs, the best, the best so far by epochs, and each trial's last epoch."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    states: dict[int, int] = {}
    reports: list[tuple[int, int, float]] = []
    for line in lines:
        if line["op_code"] == CREATE:
            states[len(states)] = line.get("state", 0)
        elif line["op_code"] == STATE:
            states[line["trial_id"]] = line["state"]
        elif line["op_code"] == VALUE:
            reports.append((line["trial_id"], line["step"], line["intermediate_value"]))
    failed = {number for number, state in states.items() if state == 3}
    so_far: list[list[float]] = []
    for cost, (number, epoch, value) in enumerate(reports, start=1):
        if (
            number not in failed
            and math.isfinite(value)
            and (not so_far or sign * value > sign * so_far[-1][1])
        ):
            so_far.append([cost, value, number, epoch])
    names = [STATES[state] for state in states.values()]
    return {
        "counts": {name: names.count(name) for name in set(names)},
        "epochs": len(reports),
        "best_so_far": so_far,
        "last_epochs": [
            max([epoch for n, epoch, _ in reports if n == number], default=0) for number in states
        ],
    }
