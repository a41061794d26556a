"""Proves that a search with real Ray ends with true states, survives Ctrl-C, and exports a best.

pytest -m slow tests/slow/test_search.py
"""

import os
import re
import signal
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from results.study.notes import Notes
from tests.slow.conftest import Launch, finish, record, wait_until

TOY = """\
task: toy:train
objective: {maximize: score}
parameters:
  x: {float: [0.1, 1.0]}
  kind: {choice: [good, not_a_number, raises, ends]}
start:
  - {kind: good, x: 0.1}
  - {kind: not_a_number, x: 1.0}
  - {kind: raises, x: 1.0}
  - {kind: ends, x: 1.0}
budget: {trials: 16, max_epochs: 9}
"""


PROMOTED = """\
task: toy:Line
parameters: {{optim.lr: {{float: [1.0e-4, 1.0e-1], log: true}}}}
fixed: {{data.epoch_s: 0.02, data.log: epochs.log, optim.scheduler: constant}}
search: {{scheduler: promotion}}
budget: {{trials: 12, max_epochs: 9}}
resources: {{cpus: 0.9, gpus: 0, workers: {workers}}}
seed: 5
"""


def test_every_trial_ends_in_its_true_state(workplace: Path, launch: Launch) -> None:
    (workplace / "toy.yaml").write_text(
        TOY.replace("max_epochs: 9}", "max_epochs: 9}\nsearch: {grace_epochs: 3}")
    )
    code, output = finish(launch("--space", "toy.yaml"))
    assert code == 0, output
    study = record(workplace, "toy")
    assert len(study.trials) == 16 and all(trial.state.is_finished() for trial in study.trials)
    good, not_a_number, raises, ends = study.trials[:4]
    assert good.state in (TrialState.COMPLETE, TrialState.PRUNED)
    assert not_a_number.state == TrialState.PRUNED and max(not_a_number.intermediate_values) == 2
    assert raises.state == TrialState.FAIL and "planned failure" in (Notes.of(raises).reason or "")
    assert ends.state == TrialState.COMPLETE and ends.value == ends.intermediate_values[1] == 1.0
    assert "planned failure" in (study.folder.trial(2).path / "error.txt").read_text()
    for trial in study.trials:
        last = max(trial.intermediate_values, default=0)
        if trial.state == TrialState.COMPLETE and trial.params["kind"] == "good":
            assert last == 9 and trial.value == max(trial.intermediate_values.values())
        if trial.state == TrialState.PRUNED and trial.params["kind"] == "good":
            assert last == 3 and trial.value == trial.intermediate_values[3]
    assert study.folder.best.exists() and f"{study.ranked()[0].value:.4f}" in output


@pytest.mark.parametrize("workers", [1, 2])
def test_a_frozen_trial_goes_on_in_any_slot_and_trains_no_epoch_twice(
    workplace: Path, launch: Launch, workers: int
) -> None:
    (workplace / "line.yaml").write_text(PROMOTED.format(workers=workers))
    (workplace / "epochs.log").touch()
    code, output = finish(launch("--space", "line.yaml"))
    assert code == 0, output
    study = record(workplace, "line")
    assert len(study.trials) == 12 and all(trial.state.is_finished() for trial in study.trials)
    assert any(trial.state == TrialState.COMPLETE for trial in study.trials)
    trained = Counter(map(float, (workplace / "epochs.log").read_text().split()))
    for trial in study.trials:
        times = trained[trial.params["optim.lr"]]
        assert times == workers * len(trial.intermediate_values), "each epoch by each worker once"
    thawed = [
        trial
        for trial in study.trials
        if (at := Notes.of(trial).frozen_epoch) and at < max(trial.intermediate_values)
    ]
    assert thawed, "some trial went on after it had been frozen"
    assert len(list(study.folder.checkpoints())) == 3, "those that `keep` says"


def test_interrupted_by_ctrl_c_and_resumed(workplace: Path, launch: Launch) -> None:
    (workplace / "toy.yaml").write_text(TOY.replace("budget", "fixed: {epoch_s: 0.15}\nbudget"))
    process = launch("--space", "toy.yaml")
    journal = workplace / "runs" / "toy" / "journal.log"
    wait_until(
        lambda: journal.exists() and journal.read_text().count('"intermediate_value"') >= 12,
        process,
    )
    os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to every process of the group.
    code, output = finish(process)
    assert code == 130 and "--resume runs/toy" in output, output
    before = record(workplace, "toy")
    assert before.condition() == "interrupted"
    assert not [trial for trial in before.trials if trial.state == TrialState.RUNNING]
    finished = {trial.number: trial for trial in before.trials if trial.state.is_finished()}

    code, output = finish(launch("--resume", "runs/toy", "--trials", "18"))
    assert code == 0, output
    after = record(workplace, "toy")
    assert [trial.number for trial in after.trials] == list(range(18))
    assert all(trial.state.is_finished() for trial in after.trials)
    for number, trial in finished.items():
        assert after.trials[number] == trial
    for trial in before.trials:
        assert after.trials[trial.number].params.items() >= trial.params.items()


def test_best_is_trained_again_to_the_same_value_and_exported(
    workplace: Path, launch: Launch
) -> None:
    tiny = (
        "model.layers=1",
        "model.width=16",
        "model.heads=2",
        "data.batch_size=64",
        "search.grace_epochs=1",
    )
    code, output = finish(
        launch(
            "--space", "v6", "--trials", "4", "--max-epochs", "3", "--set", *tiny, "--name", "tiny"
        )
    )
    assert code == 0, output
    study = record(workplace, "tiny")
    assert [trial.state.is_finished() for trial in study.trials] == [True] * 4
    assert list(study.folder.trial(0).path.glob("events.out.tfevents.*"))

    code, output = finish(launch("train", "runs/tiny/best.yaml"))
    assert code == 0 and "reproduced" in output, output
    code, output = finish(launch("export", "runs/tiny", "--top", "2", "--to", "best of"))
    assert code == 0 and f"{study.ranked()[0].value:.4f}" in output
    exported = sorted((workplace / "best of").iterdir())
    bests = sorted(f"trial-{best.number:04d}" for best in study.ranked()[:2])
    assert [path.name for path in exported] == [*bests, "trials.csv", "trials.json"]
    assert {path.name for path in exported[0].iterdir()} == {
        "README.md",
        "config.json",
        "config.yaml",
        "model.safetensors",
    }
    code, output = finish(launch("train", str(exported[0] / "config.yaml")))
    assert code == 0 and "reproduced" in output, output


def test_the_shipped_space_beats_the_hand_made_settings(workplace: Path, launch: Launch) -> None:
    code, output = finish(
        launch("--space", "v6.yaml", "--time", "30m", "--trials", "12"), timeout_s=1800
    )
    assert code == 0, output
    study = record(workplace, "v6")
    assert len(study.trials) == 12 and all(trial.state.is_finished() for trial in study.trials)
    assert sum(trial.state == TrialState.PRUNED for trial in study.trials) > len(study.trials) / 2
    best = study.ranked()[0]
    starts = [
        max(trial.intermediate_values.values())
        for trial in study.trials
        if Notes.of(trial).start_point is not None
    ]
    *by_hand, rescaled = starts
    assert len(by_hand) == 2 and best.value >= 0.93
    assert best.value > max(by_hand) and best.value >= rescaled
    storage = JournalStorage(JournalFileBackend(str(study.folder.journal)))
    assert optuna.load_study(study_name="v6", storage=storage).best_value <= best.value
    assert re.search(rf"{best.value:.4f}", output)
