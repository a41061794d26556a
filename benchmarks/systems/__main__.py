"""The settings by hand, random search and this search, on every built-in system: one table.

python -m benchmarks.systems                       makes what is missing, and prints
python -m benchmarks.systems v6 nailong --seeds 8  of these spaces alone
python -m benchmarks.systems --table               prints what there is

Each space is searched as it is shipped, by `search: auto` and at random, with the same start points
and the same number of epochs, on the validation data of split 0. Each one's winner, the settings by
hand (the first start points; the better one is shown) and the rescaled one (the last start point)
are then trained by fresh seeds, the same for all, and each model is measured once on the test data.
This search's better winner and the rescaled setting are trained on other splits too. With more than
one search, intervals are those of the searches.

What was made is kept at once and not made again: who interrupts it gives the same command.
"""

import argparse
from pathlib import Path

from benchmarks.systems.results import configurations_of, finalists, results_of
from benchmarks.systems.rows import Store
from benchmarks.systems.searches import SPLIT, search_all
from benchmarks.systems.tables import tables
from benchmarks.systems.trainings import jobs_of, measure_references, train_missing
from search_spaces import Objective, Space, SpaceError, load_space
from trainables.accepting import accept_at

SPACES = (
    "v4", "v5", "v6", "low_rank", "low_rank_learned", "deeplabv3", "mask2former", "nailong",
    "next_char",
)  # fmt: skip
"""Those with one objective that take minutes; v7 takes hours, and must be named."""


def make(
    space: Space, objective: Objective, options: argparse.Namespace, other_splits: range
) -> None:
    """Make what the store lacks of a space."""
    store = Store(options.to)
    for seed in range(options.searches):
        search_all(space, objective, seed, options.runs, store)
    if space.task == "low_rank":
        measure_references(space, SPLIT, options.seeds, store)
    settings = configurations_of(space, store)
    each = [values for setting in settings.values() for values in setting]
    first = range(SPLIT, SPLIT + 1)
    train_missing(jobs_of(space, objective, each, first, options.seeds), store)
    last = [
        values
        for setting in finalists(results_of(space, objective, store))
        for values in settings[setting]
    ]
    train_missing(jobs_of(space, objective, last, other_splits, 1), store)


def checked(name: str) -> tuple[Space, Objective]:
    """A space and its objective, or argparse's error."""
    try:
        space = load_space(name)
        space, objective = accept_at(space, [str(space.file.parent.resolve())])
    except SpaceError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if objective.second is not None:
        raise argparse.ArgumentTypeError(f"{name} must have one objective, got {objective.text}")
    return space, objective


def main() -> None:
    """Make what is missing and print what there is."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.systems",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "spaces", nargs="*", type=checked, metavar="space", help=f"default: {', '.join(SPACES)}"
    )
    parser.add_argument("--seeds", type=int, default=5, help="fresh ones (default: 5)")
    parser.add_argument("--searches", type=int, default=1, help="of each way (default: 1)")
    parser.add_argument("--splits", type=int, default=3, help="other ones (default: 3)")
    parser.add_argument("--table", action="store_true", help="make nothing")
    parser.add_argument("--runs", type=Path, default=Path("runs/systems"), metavar="FOLDER")
    parser.add_argument(
        "--to", type=Path, default=Path(__file__).parent / "stored", metavar="FOLDER"
    )
    options = parser.parse_args()
    spaces = options.spaces or [checked(name) for name in SPACES]
    other_splits = range(SPLIT + 1, SPLIT + 1 + options.splits)
    if not options.table:
        Store(options.to).mend()
        for space, objective in spaces:
            make(space, objective, options, other_splits)
    all_results = [results_of(space, objective, Store(options.to)) for space, objective in spaces]
    print("\n".join(tables(all_results, other_splits)))


if __name__ == "__main__":
    main()
