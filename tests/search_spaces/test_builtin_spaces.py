"""Proves that every space that comes with the project can be searched as it stands.

pytest tests/search_spaces
"""

from pathlib import Path

import pytest

from search_spaces import builtin_spaces, load_space
from search_spaces.suggest import corners
from trainables.accepting import accept
from trainables.task import BUILTIN_TASKS

FILES = builtin_spaces()
each_space = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_there_are_spaces() -> None:
    assert FILES


@each_space
def test_its_task_is_built_in_and_accepts_all_corners(file: Path) -> None:
    space = load_space(file)
    assert space.task in BUILTIN_TASKS
    assert accept(space).direction in ("maximize", "minimize")
    assert len(list(corners(space))) >= 2


@each_space
def test_it_starts_from_settings_that_people_used(file: Path) -> None:
    space = load_space(file)
    assert space.start
    assert len(space.start) <= space.budget.trials


@each_space
def test_it_is_found_by_its_name_and_says_how_to_start_it(file: Path) -> None:
    assert load_space(file.stem) == load_space(file)
    assert file.read_text(encoding="utf-8").startswith(f"# python launch.py --space {file.name}")


@each_space
def test_its_budget_leaves_room_for_early_stopping(file: Path) -> None:
    space = load_space(file)
    assert space.search.scheduler == "none" or space.search.grace_epochs < space.budget.max_epochs
