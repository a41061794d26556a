"""Proves that no two parameters are shown as one: pytest tests/results/study/test_names.py."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.console import Console
from results.report import compare
from results.study.folder import StudyFolder
from results.text import short_names, values_text
from tests.results.report.reading import Page, comparison_page, report_page, report_text
from tests.results.report.studies import drive, open_study, space

LR: dict[str, Any] = {"float": [1e-4, 1e-1], "log": True}
PARAMETERS = {
    "gen.lr": LR,
    "disc.kind": {"choice": ["plain", "deep"]},
    "disc.lr": LR | {"when": {"disc.kind": "deep"}},
    "gen.depth": {"int": [1, 9]},
}
DOTTED = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["optim.lr", "depth"], ["lr", "depth"]),
        (["gen.lr", "disc.lr"], ["gen.lr", "disc.lr"]),
        (["a.gen.lr", "b.gen.lr", "b.disc.lr"], ["a.gen.lr", "b.gen.lr", "disc.lr"]),
        (["net.gen.lr", "net.disc.lr"], ["gen.lr", "disc.lr"]),
        (["lr", "gen.lr", "net.gen.depth"], ["lr", "gen.lr", "depth"]),
        (["gen.lr", "net.gen.lr"], ["gen.lr", "net.gen.lr"]),
        (["lr", "glr"], ["lr", "glr"]),
        ([], []),
    ],
)
def test_a_name_is_as_short_as_it_can_be(names: list[str], shown: list[str]) -> None:
    assert short_names(names) == dict(zip(names, shown, strict=True))


@given(st.sets(DOTTED, max_size=12))
def test_no_two_are_called_the_same(names: set[str]) -> None:
    shown = short_names(names)
    assert len(set(shown.values())) == len(names)
    assert all(f".{name}".endswith(f".{short}") for name, short in shown.items())


def test_a_configuration_is_told_by_its_short_names() -> None:
    names = short_names(["gen.lr", "disc.lr", "gen.depth"])
    assert values_text({"disc.lr": 0.01, "gen.depth": 3}, names) == "disc.lr=0.01 depth=3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of two networks with a learning rate each, one of which takes part in some trials."""
    searched = space(parameters=PARAMETERS, start=[{"disc.kind": "plain"}])
    study = open_study(tmp_path_factory.mktemp("studies") / "gan", searched)
    return drive(study, value=lambda values, number, epoch: values["gen.lr"] * epoch).folder


@pytest.fixture(scope="module")
def page(folder: StudyFolder) -> Page:
    return report_page(folder)


def test_in_the_terminal(folder: StudyFolder) -> None:
    text = report_text(folder)
    start = next(line for line in text.splitlines() if "[start point 0]" in line)
    assert "gen.lr=" in start and "disc.lr" not in start and " depth=" in start
    assert " kind=deep disc.lr=" in text
    mattered = next(line for line in text.splitlines() if "what mattered" in line)
    assert " gen.lr " in mattered and " depth " in mattered


def test_in_the_figures(page: Page) -> None:
    assert set(page.figures["parallel"]["layout"]["xaxis"]["ticktext"]) == {
        "gen.lr",
        "kind",
        "disc.lr",
        "depth",
    }
    labels = page.figures["importance"]["layout"]["yaxis"]["ticktext"]
    assert {label.partition(" ")[0] for label in labels} == {"gen.lr", "kind", "disc.lr", "depth"}
    texts = [text for trace in page.figures["history"]["data"] for text in trace.get("text", ())]
    assert all("<br>gen.lr = " in text and "<br>depth = " in text for text in texts)
    assert any("<br>disc.lr = " in text for text in texts)


def test_in_the_table_of_all_trials(page: Page) -> None:
    assert "time start gen.lr kind disc.lr depth note" in page.words


def test_side_by_side_over_all_studies(folder: StudyFolder, tmp_path: Path) -> None:
    other = drive(open_study(tmp_path / "other", space()), 3).folder
    text = io.StringIO()
    compare([folder, other], tmp_path / "c.html", Console(text, width=200))
    best = text.getvalue().rpartition("\nbest")[2].splitlines()[2:]
    assert {line.split()[0] for line in best} == {
        "gen.lr",
        "disc.kind",
        "gen.depth",
        "optim.lr",
        "model.kind",
        "model.depth",
        "dropout",
    }
    words = comparison_page([folder, other], tmp_path / "c.html").words
    assert "model. kind" in words and "model. dropout" not in words.rpartition("Best config")[2]
