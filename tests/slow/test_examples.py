"""Proves that the examples are searched for real, by the command that they name.

pytest -m slow tests/slow/test_examples.py
"""

import shutil
from pathlib import Path

import pytest

from tests.slow.conftest import ROOT, Launch, finish, record


@pytest.mark.parametrize("name", ["digits_function", "digits_task"])
def test_a_copied_example_is_searched(name: str, workplace: Path, launch: Launch) -> None:
    shutil.copytree(ROOT / "examples", workplace / "examples")
    space = f"examples/{name}.yaml"
    code, output = finish(launch("--space", space, "--trials", "4", "--max-epochs", "3"))
    assert code == 0, output
    study = record(workplace, name)
    assert len(study.trials) == 4 and all(trial.state.is_finished() for trial in study.trials)
    assert study.ranked()[0].value > 0.7  # Guessing gives 0.1.
