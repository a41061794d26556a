"""Proves that a trial's traceback is kept: pytest tests/cluster/test_training.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.training import TRIAL_ERRORS, LocalTrainer
from search_spaces import Objective
from trainables.job import Job


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Quotes a file name that is no text."""
    yield {"score": 1.0}
    raise FileNotFoundError("\udcff.png")


def test_its_traceback_is_kept_whatever_it_quotes(tmp_path: Path) -> None:
    job = Job(
        task=f"{__name__}:train",
        objective=Objective(name="score", direction="maximize"),
        values={},
        seed=0,
        split_seed=0,
        max_epochs=3,
        folder=tmp_path,
    )
    trainer = LocalTrainer()
    trainer.take(job)
    assert trainer.step().report is not None
    assert str(trainer.step().failed).startswith("FileNotFoundError: \udcff.png")
    assert "FileNotFoundError: \\udcff.png" in (tmp_path / TRIAL_ERRORS).read_text()
