"""What stored rows say: a line for each method and setting.

python -m benchmarks.search.table benchmarks/search/stored/peers.parquet

Regret 0 is the best known of a problem, 1 the median of random configurations. Each problem counts
the same, whatever its number of seeds; where `good` wasn't reached, the whole budget counts.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.search.curves import EPOCHS
from benchmarks.search.references import kept
from benchmarks.search.rows import FRACTIONS, Row, read

COLUMNS = (
    "method", "workers", "trainings", "clock", "problems", "seeds", "regret at 1/8", "1/4", "1/2",
    "end", "reached good", "epochs to it", "trials", "to the end", "CPU s",
)  # fmt: skip
WORST_REGRET = 2.0  # Before anything was found it is infinite.
SHOWN = tuple(int(FRACTIONS * share) - 1 for share in (1 / 8, 1 / 4, 1 / 2, 1))


def measures(row: Row) -> list[float]:
    """The columns' numbers of one run."""
    reference = kept()[row.problem]
    epochs = row.trainings * EPOCHS if row.epochs_to_good is None else row.epochs_to_good
    return [
        *(min(WORST_REGRET, reference.regret(row.incumbents[i])) for i in SHOWN),
        row.epochs_to_good is not None,
        epochs,
        row.trials,
        row.complete,
        row.cpu_s,
    ]


def line(rows: Sequence[Row]) -> list[float]:
    """The means over problems of the means over seeds."""
    of_problem = defaultdict(list)
    for row in rows:
        of_problem[row.problem].append(measures(row))
    seeds = min(map(len, of_problem.values()))
    means = np.mean([np.mean(values, axis=0) for values in of_problem.values()], axis=0)
    return [len(of_problem), seeds, *means]


def table(rows: Iterable[Row]) -> str:
    """In Markdown, the best at the end first."""
    of_setting = defaultdict(list)
    for row in rows:
        of_setting[row.workers, row.trainings, row.clock, row.method].append(row)
    entries = [(setting, line(rows)) for setting, rows in of_setting.items()]
    entries.sort(key=lambda entry: (entry[0][:3], entry[1][5]))
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(cells(*entry) for entry in entries)]
    return "\n".join("| " + " | ".join(texts) + " |" for texts in lines)


def cells(setting: tuple[int, int, str, str], values: Sequence[float]) -> list[str]:
    """One line."""
    workers, trainings, clock, method = setting
    formats = (
        "{:.0f}",
        "{:.0f}",
        *["{:.3f}"] * 4,
        "{:.0%}",
        "{:.0f}",
        "{:.0f}",
        "{:.1f}",
        "{:.2g}",
    )
    texts = [form.format(value) for form, value in zip(formats, values, strict=True)]
    return [method, str(workers), str(trainings), clock, *texts]


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    print(table(row for file in parser.parse_args().files for row in read(file)))


if __name__ == "__main__":
    main()
