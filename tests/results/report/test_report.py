"""Proves that a report's numbers are the journal's, and that it opens whatever happened.

The page is read as a browser would: facts, runs, findings, tables, words, the figures and the
terminal are judged by what they show there. pytest tests/results/report/test_report.py
"""

import base64
import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from results.report.page import plotly_js
from results.study.folder import StudyError, StudyFolder, StudyLock
from results.study.notes import frozen_epoch
from results.study.record import read_study
from tests.results.report import journal_lines
from tests.results.report.reading import Page, report_page, report_text
from tests.results.report.studies import HOSTILE, drive, open_study, score, space, unimportable

PNG = b"\x89PNG\r\n\x1a\n and more"
SECTIONS = {"best", "search", "learning", "coordinates", "matters", "time", "trials", "about"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study with failures and stopped trials."""
    return drive(open_study(tmp_path_factory.mktemp("a 'study' ✓ <b>") / "s", space())).folder


@pytest.fixture(scope="module")
def page(finished: StudyFolder) -> Page:
    return report_page(finished)


# Numbers


def test_the_numbers_are_those_of_the_journals_lines(finished: StudyFolder, page: Page) -> None:
    expected = journal_lines.told(finished.journal, sign=1)
    data = page.data
    assert data["counts"] == expected["counts"]
    assert data["counts"]["failed"] == 3
    assert data["epochs"] == expected["epochs"]
    assert data["best_so_far"] == expected["best_so_far"]
    assert [trial["epochs"] for trial in data["trials"]] == expected["last_epochs"]
    _, value, number, epoch = expected["best_so_far"][-1]
    assert data["best"] == {"trial": number, "epoch": epoch, "value": value}


def test_a_start_point_that_was_stopped_is_compared_by_what_it_had_reached(tmp_path: Path) -> None:
    promoted = space(start=[{"model.kind": "plain"}], search={"scheduler": "promotion"})
    study = drive(
        open_study(tmp_path, promoted),
        value=lambda values, number, epoch: (number > 0) * score(values, number, epoch),
    )
    words = report_page(study.folder).words
    assert "above the best start point (0.0000, stopped early after epoch 2)." in words


def test_what_is_drawn_is_what_the_journal_says(finished: StudyFolder, page: Page) -> None:
    trials = read_study(finished).trials
    drawn: dict[int, list[tuple[int, float]]] = {}
    for trace in page.figures["curves"]["data"]:
        if trace.get("mode") == "lines+markers" and "customdata" in trace:
            for number, epoch, value in zip(
                trace["customdata"], trace["x"], trace["y"], strict=True
            ):
                if number is not None:
                    drawn.setdefault(number, []).append((epoch, value))
    assert sorted(drawn) == [trial.number for trial in trials]
    for number, curve in drawn.items():
        assert curve == [
            (e, float(f"{v:.6g}")) for e, v in sorted(trials[number].intermediate_values.items())
        ]
    ends = [
        trace
        for trace in page.figures["curves"]["data"]
        if trace.get("marker", {}).get("symbol") == "square"
    ]
    stopped = {
        trial.number: max(trial.intermediate_values)
        for trial in trials
        if trial.state.name == "PRUNED"
    }
    assert dict(zip(ends[0]["customdata"], ends[0]["x"], strict=True)) == stopped
    assert [shape["x0"] for shape in page.figures["curves"]["layout"]["shapes"]] == [2, 6]


def test_every_figure_is_one_that_plotly_accepts(page: Page) -> None:
    assert {
        "history",
        "curves",
        "parallel",
        "importance",
        "contour",
        "timeline",
        "slice_0",
    } <= page.figures.keys()
    plotly = importlib.import_module("plotly.graph_objects")
    for spec in page.figures.values():
        text = json.dumps(spec)
        for token in ("@ink", "@rule", "@accent", "@veil"):
            text = text.replace(token, "#123456")
        plotly.Figure(json.loads(text))


def test_the_pareto_front_is_what_no_trial_beats(tmp_path: Path) -> None:
    both = space(objective=[{"maximize": "score"}, {"minimize": "size"}])
    study = drive(
        open_study(tmp_path, both),
        20,
        second=lambda values, n, e: round(40 * values["model.dropout"]),
    )
    found = report_page(study.folder)
    points = [
        (t["number"], t["value"], -t["second"])
        for t in found.data["trials"]
        if t["value"] is not None
    ]
    beaten = {
        number
        for number, value, second in points
        for _, other, other_second in points
        if other >= value and other_second >= second and (other, other_second) != (value, second)
    }
    kept = {(value, second) for number, value, second in points if number not in beaten}
    by_number = {number: (value, second) for number, value, second in points}
    assert {by_number[number] for number in found.data["front"]} == kept
    assert "pareto" in found.ids


# Safety, size


def test_the_page_is_whole_and_fetches_nothing(finished: StudyFolder, page: Page) -> None:
    text = (finished.path / "report.html").read_text()
    assert page.ids >= SECTIONS
    assert text.count(plotly_js()) == 1 and len(text.encode()) < 10e6
    assert page.executed == 2, "Plotly's script and the page's own"
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert "default-src 'none'" in text and "connect-src 'none'" in text
    assert not list(finished.path.glob(".*.tmp"))


def test_a_users_text_is_text(finished: StudyFolder, page: Page) -> None:
    text = (finished.path / "report.html").read_text().replace(plotly_js(), "")
    assert "<script>window" not in text and "<img" not in text
    assert " ".join(HOSTILE.split()) in page.words, (
        "reasons, values and notes are shown as they are"
    )
    assert "<" not in page.scripts["study-data"] and "<" not in page.scripts["figure-data"]
    for spec in page.figures.values():
        assert "<script" not in json.dumps(spec) and "<img" not in json.dumps(spec), (
            "Plotly would read it as HTML"
        )


# Whatever became of the study


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"is no study: it has no study\.yaml"):
        report_page(StudyFolder(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_a_study_without_a_trial_says_so(tmp_path: Path) -> None:
    study = open_study(tmp_path / "s", space(start=[]))
    found = report_page(study.folder)
    assert "The search never started: there is no trial." in found.words
    assert found.data["best"] is None and found.figures == {}
    study.folder.journal.unlink()
    assert "There is no trial." in report_page(study.folder).words


def test_a_killed_study_says_so(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path, space()), 3)
    trial = study.next_trial()
    assert trial
    study.report(trial.number, 1, 0.25)
    found = report_page(study.folder)
    assert "The search was killed" in found.words
    assert found.data["trials"][3]["state"] == "unfinished"
    assert found.data["trials"][3]["epochs"] == 1


def test_a_running_study_says_so(tmp_path: Path) -> None:
    study = open_study(tmp_path, space())
    trial = study.next_trial()
    assert trial
    with StudyLock(study.folder):
        found = report_page(study.folder)
    assert "The search is running: 0 of 24 trials are finished so far." in found.words
    assert "No trial is finished yet." in found.words
    assert found.data["counts"] == {"running": 1, "unfinished": 1}


def test_an_interrupted_study_goes_on_in_a_run_of_its_own(tmp_path: Path) -> None:
    study = open_study(tmp_path, space())
    trial = study.next_trial()
    assert trial
    study.report(trial.number, 1, 0.25)
    study.release()
    drive(open_study(tmp_path, space()), 1)
    found = report_page(study.folder)
    assert "Runs that go on with an interrupted or frozen trial: 1." in found.words
    bars = [n for trace in found.figures["timeline"]["data"] for n in trace["customdata"]]
    assert bars == [0, 0]
    assert (
        found.data["best_so_far"] == journal_lines.told(study.folder.journal, sign=1)["best_so_far"]
    )


def test_a_frozen_trial_is_called_so_with_its_epoch(tmp_path: Path) -> None:
    searched = space(start=[], search={"scheduler": "promotion"}, budget={"epochs": 500})
    study = drive(open_study(tmp_path, searched), 5)
    assert [frozen_epoch(trial) for trial in study.trials()] == [2, 6, 2, 2], "1 was thawed"
    found, text = report_page(study.folder), report_text(study.folder)
    assert found.data["counts"] == {"frozen": 4}
    assert "frozen at 2" in text and "frozen at 6" in text
    assert "4 frozen; 12 of 500 epochs trained" in text
    assert "12 of 500" in found.words
    assert "promotion, about 1 in 3 goes on from each rung (epochs 2, 6)" in found.words


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    def diverging(values: dict[str, Any], number: int, epoch: int) -> float:
        return math.nan if number % 2 and epoch == 2 else score(values, number, epoch)

    study = drive(open_study(tmp_path, space()), 8, value=diverging)
    found = report_page(study.folder)
    assert (
        found.data["best_so_far"] == journal_lines.told(study.folder.journal, sign=1)["best_so_far"]
    )
    assert "trials ended with a number that is not finite" in found.words


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_study_without_any_finite_value_still_opens(tmp_path: Path, value: float) -> None:
    study = drive(open_study(tmp_path, space()), 6, value=lambda *_: value)
    found = report_page(study.folder)
    assert "No trial has a finite value" in found.words
    assert found.data["best"] is None and found.data["best_so_far"] == []


def test_a_task_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gone_task", unimportable())
    study = drive(open_study(tmp_path, space(task="gone_task:train")), 4)
    monkeypatch.delitem(sys.modules, "gone_task")
    found = report_page(study.folder)
    assert (
        "The task can't be imported here" in found.words and "no module 'gone_task'" in found.words
    )
    assert len(found.data["trials"]) == 4


def test_metrics_that_are_gone_are_told(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path, space()), 4)
    for number in (1, 2):
        study.folder.trial(number).metrics.unlink()
    found = report_page(study.folder)
    assert "The metrics files of 2 of 4 trials are gone." in found.words
    assert (
        found.data["best_so_far"] == journal_lines.told(study.folder.journal, sign=1)["best_so_far"]
    )


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path, space()), 2)
    with study.folder.journal.open("a") as journal:
        journal.write('{"op_code": "</script><b>"}\n')
    found = report_page(study.folder)
    assert (
        "The trials can't be read, and none is shown" in found.words
        and "journal.log:" in found.words
    )
    assert found.data["trials"] == []


def test_a_damaged_description_is_told(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path, space()), 2)
    study.folder.description.write_text("a: [<b>\n")
    found = report_page(study.folder)
    assert "This study can't be read" in found.words and "study.yaml" in found.words


def test_one_trial_of_one_epoch_is_enough(tmp_path: Path) -> None:
    small = space(
        parameters={"x": {"choice": [HOSTILE, None, True, 1.5]}},
        start=[],
        fixed={},
        budget={"trials": 1, "max_epochs": 1},
        search={"scheduler": "none", "grace_epochs": 1},
    )
    study = drive(open_study(tmp_path, small), value=lambda *_: 0.5)
    assert report_page(study.folder).data["best"]["value"] == 0.5


# What lies beside


def test_the_tasks_pictures_are_within_the_page(tmp_path: Path) -> None:
    study = drive(open_study(tmp_path, space()), 4)
    study.folder.pictures.mkdir()
    (study.folder.pictures / "trial-0001-<b>masks.png").write_bytes(PNG)
    (study.folder.pictures / "broken.png").write_bytes(b"no picture")
    found = report_page(study.folder)
    assert found.images == ["data:image/png;base64," + base64.b64encode(PNG).decode()]


# The terminal


def test_the_terminal_has_the_same_facts_in_brief(finished: StudyFolder, page: Page) -> None:
    shown = report_text(finished)
    best = page.data["best"]
    assert (
        f"Best score {best['value']:.4f}: trial {best['trial']} at epoch {best['epoch']} of 18"
        in shown
    )
    assert f"cost: {page.data['epochs']} epochs" in shown
    assert "what mattered (at epoch 2, " in shown
    assert "[bold]" in shown, "a user's brackets are no markup"


@pytest.fixture(autouse=True)
def no_new_paths() -> Iterator[None]:
    """Reading a study lets its task's folders be imported from."""
    before = list(sys.path)
    yield
    sys.path[:] = before
