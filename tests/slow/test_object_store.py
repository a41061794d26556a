"""Proves that a search whose machines share no file system goes on from a store.

pytest -m slow tests/slow
"""

import shutil
import signal
from pathlib import Path

from optuna.trial import TrialState

from results.study.folder import StudyFolder
from results.study.record import read_study
from tests.slow.conftest import Launch, finish, record, wait_until
from trainables.mirror import Mirror

SPACE = """\
task: toy:Line
parameters: {{optim.lr: {{float: [1.0e-3, 1.0e-1], log: true}}}}
fixed: {{data.epoch_s: 0.1, data.log: {log}}}
budget: {{trials: 6, max_epochs: 9}}
"""


def test_what_a_machine_took_with_it_comes_from_the_store(
    workplace: Path, launch: Launch, bucket: str
) -> None:
    log = workplace / "epochs.log"
    log.touch()
    (workplace / "line.yaml").write_text(SPACE.format(log=f'"{log}"'))
    process = launch("--space", "line.yaml", "--checkpoints", bucket)
    wait_until(lambda: log.exists() and log.read_text().count("\n") >= 16, process)
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    before = record(workplace, "line")
    shutil.rmtree(workplace / "runs" / "line" / "trials")

    code, output = finish(launch("--resume", "runs/line"))
    assert code == 0, output
    after = read_study(StudyFolder(workplace / "runs" / "line"))
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in after.trials)
    begun = [
        trial
        for trial in before.trials
        if trial.intermediate_values and not trial.state.is_finished()
    ]
    assert begun, "none was interrupted"
    for old in begun:
        assert (
            after.trials[old.number].intermediate_values.items() >= old.intermediate_values.items()
        )
    best = after.ranked()[0].number
    assert after.folder.trial(best).best.exists() and after.folder.trial(best).read_metrics()
    assert after.folder.mirror
    kept = {
        file.parts[1] for file in Mirror(after.folder.mirror).files() if "checkpoint" in file.parts
    }
    assert 1 <= len(kept) <= after.description.space.budget.keep, (
        "others were removed from the store"
    )

    code, output = finish(launch("train", "runs/line/best.yaml"))
    assert code == 0 and "reproduced" in output, output
    code, output = finish(
        launch("--space", "line.yaml", "--checkpoints", "nowhere", "--name", "other")
    )
    assert code == 2 and "--checkpoints must be s3://bucket/folder" in output, output
