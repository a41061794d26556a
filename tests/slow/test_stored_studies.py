"""Proves that a search of an earlier version goes on with Ray.

pytest -m slow tests/slow/test_stored_studies.py
"""

import shutil
from pathlib import Path

from tests.slow.conftest import Launch, finish, record

STORED = Path(__file__).parents[1] / "stored_studies"


def test_a_search_of_an_earlier_version_goes_on(workplace: Path, launch: Launch) -> None:
    shutil.copytree(STORED / "classifier", workplace / "runs" / "classifier")
    before = record(workplace, "classifier")
    code, output = finish(launch("--resume", "runs/classifier"))
    assert code == 0, output
    after = record(workplace, "classifier")
    assert after.condition() == "finished"
    assert "commit of Rungs was 1a82eee" in output
    assert (
        before.trials[1].intermediate_values.items() < after.trials[1].intermediate_values.items()
    )
