"""Proves that a view shows a user's texts as they are: pytest tests/cluster/test_view.py."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.live import Live

from cluster.search.study import Study
from cluster.tune_hooks import Halt
from cluster.view import LINE_S, REFRESH_S, LineView, TableView
from results.console import Console
from tests.results.report.studies import open_study, space

PROMPT, METRIC = "[INST] {q} [/INST] :smile:", "val/acc [top]"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A trial runs whose texts all look like markup."""
    x = {"float": [0, 1]}
    parameters = {"prompt": {"choice": [PROMPT, "[/red]"]}, "gen.x": x, "disc.x": x}
    objective, start = {"maximize": METRIC}, [{"prompt": PROMPT}]
    searched = space("[bold]", objective=objective, parameters=parameters, start=start)
    study = open_study(tmp_path / "[exp]", searched)
    assert study.next_trial() is not None
    study.report(0, 1, 0.5)
    return study


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_a_line_shows_them(study: Study, clock: Callable[[float], None]) -> None:
    file = io.StringIO()
    view = LineView(study, Halt(None), Console(file))
    view.refresh()
    assert not file.getvalue(), "it isn't time yet"
    clock(LINE_S)
    view.refresh()
    told = f"0/24 trials: 1 running  1 epochs  best {METRIC} 0.5000 (trial 0, epoch 1)  10s gone\n"
    assert file.getvalue() == told


def test_the_table_shows_them(study: Study, clock: Callable[[float], None]) -> None:
    file = io.StringIO()
    with Live(console=Console(file), auto_refresh=False) as live:
        view = TableView(study, Halt(None), live)
        clock(REFRESH_S)
        view.refresh()
    head, columns, row = file.getvalue().splitlines()
    assert f"best {METRIC} 0.5000" in head
    assert columns.split("  ")[:3] == ["trial", "epoch", METRIC]
    assert f"prompt={PROMPT} gen.x=" in row
    assert " disc.x=" in row
