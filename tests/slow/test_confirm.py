"""Proves that the best are trained again on fresh seeds and judged on the test split, read once.

pytest -m slow
"""

import json
import signal
from pathlib import Path

from results.export.export import read_export
from results.study.folder import StudyFolder
from results.study.record import read_study
from tests.slow.conftest import Launch, finish, record, wait_until
from trainables.seeding import derive_seed

SPACE = """\
task: toy:Line
parameters: {optim.lr: {float: [1.0e-3, 1.0e-1], log: true}}
fixed: {data.epoch_s: 0.05}
start: [{optim.lr: 0.0011}]
budget: {trials: 6, max_epochs: 4}
seed: 5
"""


def test_the_best_are_confirmed_on_fresh_seeds(workplace: Path, launch: Launch) -> None:
    (workplace / "line.yaml").write_text(SPACE)
    code, output = finish(launch("--space", "line.yaml"))
    assert code == 0, output
    study = record(workplace, "line")
    process = launch("confirm", "runs/line", "--top", "2", "--seeds", "3")
    wait_until(
        lambda: bool(list(study.folder.confirmation.glob("*/trials/0001/metrics.jsonl"))), process
    )
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 130 and "launch.py confirm runs/line --top 2 --seeds 3" in output, output

    code, output = finish(launch("confirm", "runs/line", "--top", "2", "--seeds", "3"))
    assert code == 0, output
    (folder,) = study.folder.confirmation.iterdir()
    trainings = read_study(StudyFolder(folder))
    content = json.loads(study.folder.confirmed.read_text())
    assert len(trainings.trials) == 3 * len(content["candidates"])
    assert {len(trial.intermediate_values) for trial in trainings.trials} == {4}, (
        "nothing is stopped early"
    )
    seeds = {
        derive_seed(derive_seed(5, "confirm"), "trial", number)
        for number in range(len(trainings.trials))
    }
    assert not seeds & {derive_seed(5, "trial", number) for number in range(6)}

    for candidate in content["candidates"]:
        params = study.trials[candidate["trial"]].params
        values = [
            min(t.intermediate_values.values()) for t in trainings.trials if t.params == params
        ]
        assert candidate["values"] == values and len(set(values)) == 3
        assert (
            abs(candidate["mean"] - sum(values) / 3) < 1e-12
            and candidate["low"] < candidate["mean"]
        )
        assert candidate["test_value"] is not None and candidate["test_value"] != candidate["mean"]
    best = content["candidates"][0]
    assert best["mean"] == min(candidate["mean"] for candidate in content["candidates"])
    assert read_export(study.folder.best, study.folder.path).best.number == best["trial"]
    assert content["verdict"] in output and len(content["test_split_read"]) == 1

    code, output = finish(launch("confirm", "runs/line", "--top", "2", "--seeds", "3"))
    assert code == 0 and content["verdict"] in output, output
    assert json.loads(study.folder.confirmed.read_text()) == content, (
        "the test split is not read again"
    )
