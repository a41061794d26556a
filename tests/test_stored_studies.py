"""Proves that studies which an earlier version left behind still resume, report, export and train.

Both were made by commit 1a82eee: `classifier` was interrupted in the middle of two trials,
`factors` has two objectives and is finished. pytest tests/test_stored_studies.py
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import launch
from cluster.search.study import Study
from results.export.export import read_export
from results.load import load_exported
from results.study.description import read_description
from results.study.folder import StudyFolder
from results.study.record import read_study
from trainables.job import run

STORED = Path(__file__).parent / "stored_studies"


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """A copy of the stored studies, which lies elsewhere than where they began."""
    return shutil.copytree(STORED, tmp_path / "studies")


def test_an_interrupted_study_goes_on_with_what_it_had(studies: Path) -> None:
    folder = StudyFolder(studies / "classifier")
    before = {trial.number: trial for trial in read_study(folder).trials}
    description = read_description(folder)
    study = Study(folder, description.space, description.objective, split_seed=3)
    while (trial := study.next_trial()) is not None:
        for report in run(study.job(trial)):
            if not study.report(trial.number, report.epoch, report.metrics["accuracy"]):
                break
    record = read_study(folder)
    assert [trial.state.name for trial in record.trials].count("WAITING") == 0
    assert len(record.trials) == record.description.space.budget.trials == 7
    for number, known in before.items():
        after = record.trials[number]
        assert known.params == after.params
        assert known.intermediate_values.items() <= after.intermediate_values.items()
    first_new_epoch = max(before[1].intermediate_values) + 1
    lines = folder.trial(1).metrics.read_text(encoding="utf-8").splitlines()
    assert first_new_epoch == 6 and f'"epoch": {first_new_epoch}' in lines[first_new_epoch - 1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("classifier", ["interrupted", "0.3611", "global_pool_mean", "unfinished"]),
        ("factors", ["finished", "0.8407", "8.0000", "0.7158", "4.0000"]),
    ],
)
def test_a_stored_study_is_shown(
    name: str, told: list[str], studies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.main(["status", str(studies / name)]) == 0
    output = capsys.readouterr().out
    assert [text for text in told if text not in output] == []
    assert launch.main(["report", str(studies / name)]) == 0
    page = (studies / name / "report.html").read_text(encoding="utf-8")
    assert [text for text in told[1:3] if text not in page] == []


def test_a_stored_study_is_exported_and_loaded(studies: Path) -> None:
    assert launch.main(["export", str(studies / "factors")]) == 0
    folders = sorted(
        path.name for path in (studies / "factors" / "exports").iterdir() if path.is_dir()
    )
    assert folders == ["trial-0001", "trial-0003"]
    loaded = load_exported(studies / "factors" / "exports" / "trial-0003")
    assert loaded.export.best.value == pytest.approx(0.8407, abs=1e-4)
    assert loaded.predict(next(loaded.splits.validation.batches(4))) is not None


def test_a_stored_configuration_trains_to_its_value(studies: Path, tmp_path: Path) -> None:
    export = read_export(studies / "factors" / "best.yaml", studies / "factors")
    reports = list(run(replace(export.job, folder=tmp_path / "again")))
    assert reports[export.best.epoch - 1].metrics["cosine"] == pytest.approx(
        export.best.value, abs=1e-4
    )
