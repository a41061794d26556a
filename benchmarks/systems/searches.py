"""The searches that are compared: each by `launch.py`, in a process of its own."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.side_by_side import ROOT
from benchmarks.systems.rows import Found, Store, digest
from results.study.description import Description, origin
from results.study.folder import StudyFolder
from results.study.record import read_study
from search_spaces import Objective, Search, Space
from search_spaces.auto import choose_search
from search_spaces.space import AUTO

SHIPPED, CHOSEN, RANDOM = "as shipped", "search: auto", "random search"
WAYS = (SHIPPED, CHOSEN, RANDOM)
"""The first one's epochs are what the others may spend."""
SPLIT = 0
ENOUGH_TRIALS = 1000


def search_all(space: Space, objective: Objective, seed: int, runs: Path, store: Store) -> None:
    """Search a space in each way, but what the store has."""
    epochs = None
    for way in WAYS:
        searched = searched_space(space, objective, way, seed, epochs)
        row = store.found().get((space.name, way, seed))
        if row is None or row.study != digest(searched.to_dict()):
            row = search(searched, objective, way, runs)
            store.add(row)
            print(row, flush=True)
        epochs = row.epochs if way == SHIPPED else epochs


def searched_space(
    space: Space, objective: Objective, way: str, seed: int, epochs: int | None
) -> Space:
    """The space as one of the ways searches it: without a limit of time, by the same epochs.

    All have the space's start points. Random search trains each configuration to its end.
    """
    ways = {SHIPPED: space.search, CHOSEN: AUTO, RANDOM: Search(sampler="random", scheduler="none")}
    budget = replace(space.budget, time_s=None)
    if way != SHIPPED:
        budget = replace(budget, trials=ENOUGH_TRIALS, epochs=epochs)
    searched = replace(space, search=ways[way], budget=budget, seed=seed)
    return choose_search(searched, objective, resumes=True)[0]


def search(space: Space, objective: Objective, way: str, runs: Path) -> Found:
    """Search, or go on with a search that was interrupted: to begin is to resume an empty study.

    The validation data are the same whatever the seed of the search.
    """
    study = digest(space.to_dict())
    folder = StudyFolder(runs / f"{space.name}-{way.replace(': ', '-').replace(' ', '-')}-{study}")
    if not folder.exists():
        described(space, objective).write(folder)
    command = [sys.executable, str(ROOT / "launch.py"), "--resume", str(folder.path), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    record = read_study(folder)
    best = record.ranked()[0]
    epochs = [len(trial.intermediate_values) for trial in record.trials]
    return Found(
        space=space.name,
        way=way,
        seed=space.seed,
        study=study,
        values=record.trials[best.number].params,
        value=best.value,
        trials=sum(map(bool, epochs)),
        epochs=sum(epochs),
    )


def described(space: Space, objective: Objective) -> Description:
    """A study of the space on the split that all searches have."""
    return Description(
        space=space,
        objective=objective,
        import_paths=(str(space.file.parent.resolve()),),
        origin=origin(space.task),
        split_seed=SPLIT,
    )
