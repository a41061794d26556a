"""Proves that users' texts are shown as they are: pytest tests/results/test_console.py."""

import io
from pathlib import Path

import pytest
from rich.live import Live
from rich.table import Table

from results.confirm.candidates import print_confirmation
from results.console import Console
from results.report import compare, report
from results.study.folder import StudyFolder
from results.study.notes import Notes
from results.study.record import read_study
from results.summary import print_summary
from tests.results.report.studies import drive, open_study, space
from tests.results.small_study import confirmed_candidate, small_confirmation

TEXTS = (
    "[INST] {q} [/INST]",
    "[bold]{q}",
    "[/red]",
    "[red]: {q}",
    ":smile:",
    "100 'x' True",
    r"\[x]",
    "[link=x]",
)
METRIC = "val/acc [top]"


def shown(*values: object) -> str:
    file = io.StringIO()
    for value in values:
        Console(file, width=200).print(value)
    return file.getvalue()


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_stays_as_it_is(text: str) -> None:
    file = io.StringIO()
    console = Console(file)
    console.say(text)
    console.say(text, style="red")
    console.print(text)
    assert file.getvalue() == f"{text}\n" * 3


@pytest.mark.parametrize("text", TEXTS)
def test_a_table_shows_a_text_as_it_is(text: str) -> None:
    table = Table(title=text, box=None)
    table.add_column(text)
    table.add_row(text)
    assert [line.strip() for line in shown(table).splitlines()] == [text] * 3


@pytest.mark.parametrize("text", TEXTS)
def test_a_live_view_shows_a_text_as_it_is(text: str) -> None:
    file = io.StringIO()
    with Live(text, console=Console(file), auto_refresh=False):
        pass
    assert file.getvalue().strip() == text


def test_a_line_is_told_whole_however_long_it_is() -> None:
    file = io.StringIO()
    Console(file, width=20).say("word " * 100)
    assert file.getvalue() == "word " * 100 + "\n"


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert shown("\x1b[31mred\x07\x9b2J\rover\x00") == r"\x1b[31mred\x07\x9b2J\x0dover\x00" + "\n"
    assert shown("two\nlines") == "two\nlines\n"


def test_what_the_encoding_lacks_is_shown_with_backslashes() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    table = Table("ü", "next", box=None)
    table.add_row("日本", "✓")
    Console(file).print(table)
    file.seek(0)
    assert file.read().split() == [r"\xfc", "next", r"\u65e5\u672c", r"\u2713"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study whose texts all look like markup."""
    parameters = {"prompt": {"choice": list(TEXTS)}, "x": {"float": [0, 1]}}
    start = [{"prompt": text} for text in TEXTS]
    searched = space("[bold]", objective={"maximize": METRIC}, parameters=parameters, start=start)
    path = tmp_path_factory.mktemp("studies") / "[exp]"
    study = open_study(path, searched)
    return drive(study, value=lambda values, number, epoch: values["x"] - number).folder


def test_the_tables_of_a_study_show_them(folder: StudyFolder) -> None:
    file = io.StringIO()
    record = read_study(folder)
    print_summary(record, Console(file, width=200))
    lines = file.getvalue().splitlines()
    assert any(METRIC in line for line in lines)
    for best in record.ranked():
        trial = record.trials[best.number]
        if Notes.of(trial).start_point is not None:
            told = f"[start point {best.number}] prompt={trial.params['prompt']} x="
            assert any(told in line for line in lines), told


def test_the_report_in_brief_and_the_comparison_show_them(
    folder: StudyFolder, tmp_path: Path
) -> None:
    file = io.StringIO()
    console = Console(file, width=200)
    report(folder, console)
    assert f"[bold]: finished\nBest {METRIC} " in file.getvalue()
    compare([folder] * 2, tmp_path / "c.html", console)
    assert "/[exp] " in file.getvalue()
    assert f"maximize {METRIC}" in file.getvalue()


def test_the_table_of_fresh_seeds_shows_them() -> None:
    file = io.StringIO()
    one = confirmed_candidate(name="start point 0 [/x]")
    found = small_confirmation(objective=METRIC, candidates=(one,), verdict="[red] is best")
    print_confirmation(found, Console(file, width=200))
    assert f"fresh {METRIC}" in file.getvalue()
    assert "start point 0 [/x]" in file.getvalue()
    assert "\n[red] is best\n" in file.getvalue()


def test_a_folder_with_brackets_keeps_its_files(folder: StudyFolder, tmp_path: Path) -> None:
    path = tmp_path / "[exp] *?"
    path.mkdir()
    (path / "trials" / "0003" / "checkpoint").mkdir(parents=True)
    assert StudyFolder(path).checkpoints() == {3}
