"""Proves that a search may keep its trials in PostgreSQL and loses nothing when it is killed.

pytest -m slow tests/slow/test_postgresql.py
"""

import os
import signal
from pathlib import Path

from optuna.trial import TrialState

from results.study.notes import Notes
from tests.slow.conftest import Launch, finish, record, wait_until

SPACE = """\
task: toy:train
objective: {maximize: score}
parameters: {x: {float: [0.1, 1.0]}}
fixed: {kind: good, epoch_s: 0.1}
start: [{x: 0.5}]
budget: {trials: 8, max_epochs: 9}
"""


def test_a_search_in_a_database_goes_on_after_a_kill(
    workplace: Path, launch: Launch, database_url: str
) -> None:
    (workplace / "toy.yaml").write_text(SPACE)
    command = ("--space", "toy.yaml", "--storage", database_url)
    process = launch(*command)
    description = workplace / "runs" / "toy" / "study.yaml"
    wait_until(lambda: description.exists() and epochs(workplace) >= 8, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = record(workplace, "toy")
    assert before.condition().startswith("dead")
    assert not before.folder.journal.exists()

    code, output = finish(launch("--resume", "runs/toy"))
    assert code == 0, output
    after = record(workplace, "toy")
    assert [trial.number for trial in after.trials] == list(range(8))
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in after.trials)
    assert after.trials[0].params == {"x": 0.5} and Notes.of(after.trials[0]).start_point == 0
    for old, new in zip(before.trials, after.trials, strict=False):
        assert new.params.items() >= old.params.items()
        assert new.intermediate_values.items() >= old.intermediate_values.items()
    best = max(value for trial in after.trials for value in trial.intermediate_values.values())
    assert after.ranked()[0].value == best

    code, output = finish(launch("status", "runs/toy"))
    assert code == 0 and f"{best:.4f}" in output, output
    code, output = finish(launch("--space", "toy.yaml"))
    assert code == 0 and f"{best:.4f}" in output, output
    code, output = finish(launch(*command[:3], database_url.replace("/postgres", "/other")))
    assert code == 2 and "keeps its trials in" in output, output


def epochs(workplace: Path) -> int:
    return sum(len(trial.intermediate_values) for trial in record(workplace, "toy").trials)
