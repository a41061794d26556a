"""Proves that each search gets the same budget, and that a file of rows goes on where it was.

pytest tests/benchmarks/search/test_replay.py
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.search import replay as replaying
from benchmarks.search.curves import EPOCHS, Curve, CurveOf, Problem, Range
from benchmarks.search.peers import peer
from benchmarks.search.replay import Job, replayed, run
from benchmarks.search.rows import keep, read
from benchmarks.search.setting import Replay, Setting
from cluster.search.simulator import Step

HUMBLE = ("random", "sobol", "one_epoch", "random_asha", "random_promotion")
SEARCHES = (*HUMBLE, "ray_stock", "optuna_tpe")
SETTINGS = [
    *((method, 4, 5) for method in SEARCHES),
    *((method, workers, 20) for method in HUMBLE for workers in (1, 16, 64)),
]
CUBE = tuple(Range(name, 0.0, 1.0) for name in ("x", "y"))


def bowl(values: Mapping[str, float]) -> Curve:
    """The nearer to (0.3, 0.3) the lower; a corner diverges, and one side is slower."""
    distance = math.hypot(values["x"] - 0.3, values["y"] - 0.3)
    losses_E = distance + 1 / np.arange(1, EPOCHS + 1)
    if values["x"] > 0.9:
        losses_E[:] = math.nan
    return Curve(losses_E, np.full(EPOCHS, 2.0 if values["y"] > 0.5 else 1.0))


def begin() -> CurveOf:
    return bowl


TINY = Problem("tiny", CUBE, begin, held_out=True)


@cache
def steps_of(method: str, setting: Setting) -> list[Step]:
    return list(peer(method)(Replay(setting)))


@pytest.mark.parametrize(("method", "workers", "trainings"), SETTINGS)
def test_the_budget_is_kept_exactly_and_no_more_train_at_once(
    method: str, workers: int, trainings: int
) -> None:
    setting = Setting(TINY, workers=workers, trainings=trainings)
    steps = steps_of(method, setting)
    assert len(steps) == setting.epochs
    assert max(Counter(step.time_s for step in steps).values()) == workers
    assert {step.time_s for step in steps} == set(range(1, math.ceil(len(steps) / workers) + 1))


@pytest.mark.parametrize("method", SEARCHES)
def test_a_trial_goes_on_from_its_last_epoch_and_none_goes_on_after_it_diverged(
    method: str,
) -> None:
    of_trial: dict[int, list[Step]] = {}
    for step in steps_of(method, Setting(TINY)):
        of_trial.setdefault(step.number, []).append(step)
    for steps in of_trial.values():
        assert [step.epoch for step in steps] == list(range(1, len(steps) + 1))
        assert all(math.isfinite(step.value) for step in steps[:-1])
    assert any(math.isnan(steps[-1].value) for steps in of_trial.values())


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("clock", ["epochs", "seconds"])
def test_incumbents_never_rise_and_the_last_is_the_best_of_all(method: str, clock: str) -> None:
    setting = Setting(TINY, clock=clock)
    row = replayed(method, setting)
    assert row.incumbents == sorted(row.incumbents, reverse=True)
    values = [step.value for step in steps_of(method, setting)]
    assert row.incumbents[-1] == min(value for value in values if math.isfinite(value))
    assert row.trials >= 20


@pytest.mark.parametrize("method", SEARCHES)
def test_the_same_seed_gives_the_same_search_and_another_does_not(method: str) -> None:
    first, again, other = (
        replace(replayed(method, Setting(TINY, seed=seed)), cpu_s=0, seed=0) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_the_budget_of_the_other_clock_is_in_seconds() -> None:
    setting = Setting(TINY, clock="seconds")
    steps = steps_of("random", setting)
    assert setting.budget_s() in {20 * EPOCHS * 1.0, 20 * EPOCHS * 1.5, 20 * EPOCHS * 2.0}
    assert max(step.time_s for step in steps) <= setting.budget_s() / setting.workers
    assert replayed("random", setting).incumbents[0] < math.inf


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that were made of a folder in which there is only the tiny problem."""
    made: list[str] = []

    def by_name(folder: Path) -> dict[str, Problem]:
        made.append(folder.name)
        return {"tiny": TINY}

    monkeypatch.setattr(replaying, "_by_name", by_name)
    return made


def jobs(folder: Path, seeds: int) -> list[Job]:
    return [Job("random", folder, "tiny", seed, 4, 5, "epochs") for seed in range(seeds)]


def test_a_file_that_was_cut_off_goes_on_without_repeating_rows(
    tmp_path: Path, counted: list[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    run(jobs(tmp_path, 2), file)
    whole = file.read_text()
    file.write_text(whole[:-20])
    run(jobs(tmp_path, 3), file)
    assert len(counted) == 2 + 2
    assert [row.seed for row in read(file)] == [0, 1, 2]


def test_rows_are_kept_once_and_come_back(tmp_path: Path, counted: list[str]) -> None:
    file, kept = tmp_path / "rows.jsonl", tmp_path / "rows.parquet"
    run(jobs(tmp_path, 2), file)
    rows = read(file)
    keep([*rows, *rows], kept)
    back = read(kept)
    assert [row.key for row in back] == [row.key for row in rows]
    assert back[0].incumbents == pytest.approx(rows[0].incumbents)
    assert back[0].epochs_to_good == rows[0].epochs_to_good
