"""Proves that every space that comes with the project can be searched as it stands.

pytest tests/search_spaces
"""

import os
import re
import tomllib
from pathlib import Path

import pytest

from search_spaces import builtin_spaces, load_space
from search_spaces.load import BUILTIN
from search_spaces.suggest import corners
from trainables.accepting import accept
from trainables.knobs import check_knobs, idle_knobs
from trainables.task import BUILTIN_TASKS

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = builtin_spaces()
EMBEDDED = [file for file in FILES if "data.path" not in load_space(file).fixed]
OF_ONES_OWN = [file for file in FILES if file not in EMBEDDED]
each_space = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_all_spaces_are_found_in_folders_too_and_no_two_have_one_name() -> None:
    there = {Path(root) / file for root, _, files in os.walk(BUILTIN) for file in files}
    assert set(FILES) == {file for file in there if file.suffix == ".yaml"}
    assert len(FILES) == 25
    assert len({file.stem for file in FILES}) == len(FILES)
    assert FILES[-1] == BUILTIN / "textbook" / "next_char.yaml"


def test_they_are_in_the_package_that_is_built() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    globs = configuration["tool"]["setuptools"]["package-data"]["search_spaces"]
    assert {file for pattern in globs for file in BUILTIN.glob(pattern)} == set(FILES)


@each_space
def test_it_searches_nothing_in_vain_and_nothing_that_moves_the_validation_data(file: Path) -> None:
    check_knobs(load_space(file))
    assert list(idle_knobs(load_space(file))) == []


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
def test_each_start_point_says_where_its_numbers_come_from(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    points = [i for i, line in enumerate(lines) if line.startswith("  - {")]
    assert len(points) == ("start:" in lines and len(load_space(file).start))
    assert [lines[i] for i in points if not lines[i - 1].startswith("  # ")] == []


@pytest.mark.parametrize("file", EMBEDDED, ids=lambda file: file.stem)
def test_the_last_start_point_of_embedded_data_is_rescaled_to_them(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if "\nstart:\n" in text:  # It is not inherited.
        *_, last = re.findall(r"((?:^  #.*\n)+)  - \{", text, re.MULTILINE)
        assert last.startswith("  # Rescaled to this size")
        assert text.count("# Rescaled") == 1
    assert len(load_space(file).start) >= 2


@pytest.mark.parametrize("file", OF_ONES_OWN, ids=lambda file: file.stem)
def test_data_of_ones_own_do_not_start_from_what_was_rescaled_to_others(file: Path) -> None:
    rescaled = [load_space(other).start[-1] for other in EMBEDDED]
    assert [point for point in load_space(file).start if point in rescaled] == []


@each_space
def test_its_lines_are_short(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) >= 100] == []


@each_space
def test_it_is_found_by_its_name_and_says_how_to_start_it(file: Path) -> None:
    assert load_space(file.stem) == load_space(file)
    assert file.read_text(encoding="utf-8").startswith(f"# python launch.py --space {file.name}")


@each_space
def test_its_budget_leaves_room_for_early_stopping(file: Path) -> None:
    space = load_space(file)
    assert space.search.scheduler == "none" or space.search.grace_epochs < space.budget.max_epochs
