"""Proves that the table of systems is made of the right trainings, each of which is run once.

pytest tests/benchmarks/test_systems.py
"""

from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from benchmarks.systems import searches, trainings
from benchmarks.systems.results import (
    HAND,
    RESCALED,
    Results,
    configurations_of,
    finalists,
    results_of,
)
from benchmarks.systems.rows import Found, Key, Store, Trained, configuration_of, digest
from benchmarks.systems.searches import (
    CHOSEN,
    RANDOM,
    SHIPPED,
    WAYS,
    search,
    search_all,
    searched_space,
)
from benchmarks.systems.tables import tables
from benchmarks.systems.trainings import jobs_of, train, train_missing
from search_spaces import Objective, Search, Space, load_space, space_from_mapping
from trainables.accepting import accept
from trainables.job import Job

ROOT = Path(__file__).resolve().parents[2]
OBJECTIVE = Objective(name="error", direction="minimize")
LINES = space_from_mapping(
    {
        "task": "tests.slow.toy:Line",
        "parameters": {"optim.lr": {"float": [1.0e-4, 0.1], "log": True}},
        "fixed": {"data.batch_size": 8},
        "start": [{"optim.lr": 0.001}, {"optim.lr": 0.002}, {"optim.lr": 0.05}],
        "search": {"reduction": 2},
        "budget": {"trials": 5, "max_epochs": 4, "time": "1m"},
    },
    name="lines",
    file=str(ROOT / "lines.yaml"),
)
BY_RATE = {0.001: (0.6, 0.7, 0.8), 0.002: (0.4, 0.5, 0.6), 0.05: (0.31, 0.32, 0.35)}
FOUND = {SHIPPED: 0.02, CHOSEN: 0.03, RANDOM: 0.05}
BY_RATE |= {0.02: (0.25, 0.26, 0.21), 0.03: (0.1, 0.2, 0.9)}


def key(rate: float, split: int = 0, seed: int = 0) -> Key:
    return Key("lines", configuration_of(LINES, {"optim.lr": rate}), split, seed)


def found(way: str, rate: float, seed: int = 0) -> Found:
    return Found(
        space="lines", way=way, seed=seed, study="-", values={"optim.lr": rate}, value=0.2,
        trials=5, epochs=9,
    )  # fmt: skip


def trained(key: Key, error: float) -> Trained:
    return Trained(key=key, epoch=3, validation={"error": error}, test={"error": error + 1})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three fresh seeds of all on split 0, and two searches by each way but `auto`."""
    made = Store(tmp_path)
    for way, rate in FOUND.items():
        made.add(found(way, rate))
    for rate, errors in BY_RATE.items():
        for seed, error in enumerate(errors):
            made.add(trained(key(rate, seed=seed), error))
    return made


def results(store: Store) -> Results:
    return results_of(LINES, OBJECTIVE, store)


# What is compared


def test_the_last_start_point_is_the_rescaled_one_and_the_others_are_by_hand(store: Store) -> None:
    settings = configurations_of(LINES, store)
    assert settings[HAND] == [{"optim.lr": 0.001}, {"optim.lr": 0.002}]
    assert settings[RESCALED] == [{"optim.lr": 0.05}]
    assert {way: settings[way] for way in WAYS} == {
        way: [{"optim.lr": rate}] for way, rate in FOUND.items()
    }


@pytest.mark.parametrize("way", [CHOSEN, RANDOM])
def test_other_searches_get_the_start_points_and_the_epochs_of_the_shipped_one(way: str) -> None:
    shipped, other = (searched_space(LINES, OBJECTIVE, each, 3, 17) for each in (SHIPPED, way))
    assert (shipped.search, shipped.budget.trials) == (LINES.search, 5)
    assert shipped.epochs is None and other.epochs == 17
    assert shipped.budget.time_s is other.budget.time_s is None
    assert other.start == shipped.start == LINES.start
    assert other.seed == shipped.seed == 3
    assert (
        other.search
        == {
            CHOSEN: Search(sampler="curves", scheduler="freeze_thaw"),
            RANDOM: Search(sampler="random", scheduler="none"),
        }[way]
    )


def test_by_hand_is_the_better_setting_by_fresh_seeds(store: Store) -> None:
    assert results(store).sample(HAND, "validation") == [0.4, 0.5, 0.6]
    assert results(store).sample(HAND, "test") == [1.4, 1.5, 1.6]


def test_a_search_that_found_a_start_point_shares_its_trainings(store: Store) -> None:
    assert results(store).sample(RANDOM, "test") == results(store).sample(RESCALED, "test")


def test_of_several_searches_each_winner_counts_once(store: Store) -> None:
    store.add(found(SHIPPED, 0.03, seed=1))
    assert results(store).sample(SHIPPED, "validation") == pytest.approx([0.24, 0.4])


def test_the_gain_is_positive_where_a_search_is_better_and_p_is_welchs(store: Store) -> None:
    gain, p = results(store).gain(SHIPPED) or (0, 0)
    assert gain == pytest.approx((0.31 + 0.32 + 0.35 - 0.25 - 0.26 - 0.21) / 3)
    expected = stats.ttest_ind(BY_RATE[0.02], BY_RATE[0.05], equal_var=False)
    assert p == pytest.approx(expected.pvalue)


def test_this_searchs_better_way_goes_to_other_splits_beside_the_rescaled(store: Store) -> None:
    assert finalists(results(store)) == [RESCALED, SHIPPED]
    for seed in range(3):
        store.add(trained(key(0.03, seed=seed), 0.1))
    assert finalists(results(store)) == [RESCALED, CHOSEN]


def test_the_tables_show_it(store: Store) -> None:
    store.add(trained(key(0.02, split=2), 0.123))
    lines = list(tables([results(store)], (1, 2)))
    half = stats.sem(BY_RATE[0.05]) * stats.t.ppf(0.975, 2)
    (fresh, *_) = (line for line in lines if line.startswith("| lines, error (less is better) |"))
    rescaled = f"0.3267 ± {half:.4f}"
    assert fresh.split(" | ")[1:4] == ["0.5000 ± 0.2484", rescaled, rescaled]
    assert "| lines, error (less is better) | as shipped |  | 0.1230 |" in lines
    assert any("5 trials, 9 epochs: 0.2000" in line for line in lines)


def test_the_tables_are_there_before_anything_is_made(tmp_path: Path) -> None:
    assert "| lines, error (less is better) |  |  |  |  |  |" in list(
        tables([results(Store(tmp_path))], (1,))
    )


@pytest.mark.parametrize("name", ["low_rank", "low_rank_learned"])
def test_what_needs_no_training_stands_beside_low_rank(tmp_path: Path, name: str) -> None:
    space, store = load_space(name), Store(tmp_path)
    row = trained(Key(name, "untrained", 0, 0), 0.5)
    store.add(Trained(key=row.key, epoch=0, validation={"gap": 0.005}, test={"gap": 0.006}))
    lines = list(tables([results_of(space, accept(space), store)], (1,)))
    assert f"| {name}, gap (less is better) | 0.0050 |  |" in lines


# What is run


def jobs(seeds: int = 2) -> dict[Key, Job]:
    return jobs_of(LINES, OBJECTIVE, [{"optim.lr": 0.05}], range(1), seeds)


def test_a_training_is_that_of_its_seed_and_is_measured_on_the_test_split() -> None:
    first, other = (train(*pair) for pair in jobs().items())
    assert train(*next(iter(jobs().items()))) == first
    assert first.key == key(0.05) and other.key == key(0.05, seed=1)
    assert first.validation != other.validation
    assert 0 < first.test["error"] < 1 and first.test["error"] != first.validation["error"]


def test_another_configuration_or_length_is_another_training() -> None:
    longer = space_from_mapping(
        {**LINES.to_dict(), "budget": {"trials": 5, "max_epochs": 5}}, name="lines", file="x.yaml"
    )
    of = {configuration_of(space, {"optim.lr": rate}) for space in (LINES, longer)
          for rate in (0.1, 0.2)}  # fmt: skip
    assert len(of) == 4


def test_what_is_there_is_not_run_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pool(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(trainings, "ProcessPoolExecutor", no_pool)
    train_missing(jobs(3), store)
    with pytest.raises(AssertionError, match="a process was started"):
        train_missing(jobs(4), store)


def test_a_row_that_was_cut_off_is_taken_away_and_a_later_one_counts(store: Store) -> None:
    whole = store.trained()
    with (store.folder / "trainings.jsonl").open("a") as file:
        file.write('{"key": ["lines"')
    store.mend()
    assert store.trained() == whole
    store.add(trained(key(0.05), 0.9))
    assert store.trained()[key(0.05)].validation == {"error": 0.9}


def test_a_space_that_was_changed_is_searched_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def searched(space: Space, objective: Objective, way: str, runs: Path) -> Found:
        made.append(way)
        return replace(found(way, 0.1), study=digest(space.to_dict()))

    monkeypatch.setattr(searches, "search", searched)
    store = Store(tmp_path)
    for _ in range(2):
        search_all(LINES, OBJECTIVE, 0, tmp_path, store)
    assert made == list(WAYS)
    changed = {**LINES.to_dict(), "fixed": {"data.batch_size": 16}}
    space = space_from_mapping(changed, name="lines", file="x.yaml")
    search_all(space, OBJECTIVE, 0, tmp_path, store)
    assert made == [*WAYS, *WAYS]


@pytest.mark.slow
def test_a_search_is_made_on_split_0_whatever_its_seed(tmp_path: Path) -> None:
    space = searched_space(LINES, OBJECTIVE, SHIPPED, seed=5, epochs=None)
    row = search(space, OBJECTIVE, SHIPPED, tmp_path)
    assert (row.trials, row.seed) == (5, 5) and row.epochs > 5
    assert search(space, OBJECTIVE, SHIPPED, tmp_path) == row
