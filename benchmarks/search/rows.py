"""One row for each replayed search: JSON lines while they are made, Parquet to be kept.

python -m benchmarks.search.rows runs/*.jsonl --to benchmarks/search/stored/peers.parquet
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

FRACTIONS = 40


@dataclass(frozen=True)
class Row:
    """What a search found.

    Attributes:
        incumbents: The best loss so far at 1/40, 2/40, ... of the budget; infinite before any.
        trials: How many were started.
        complete: How many were trained to the end.
        epochs_to_good: What of the budget was spent when `Reference.good` was reached; None:
            it was not.
        cpu_s: The search's own, without the curves.
    """

    method: str
    problem: str
    seed: int
    workers: int
    trainings: int
    clock: str
    incumbents: list[float]
    trials: int
    complete: int
    epochs_to_good: float | None
    cpu_s: float

    @property
    def key(self) -> tuple[str, str, int, int, int, str]:
        """What is run only once."""
        return self.method, self.problem, self.seed, self.workers, self.trainings, self.clock


def read(file: Path) -> list[Row]:
    """The rows of a file of either kind; none where there is no file yet."""
    if file.suffix == ".parquet":
        import pyarrow.parquet

        return [Row(**row) for row in pyarrow.parquet.read_table(file).to_pylist()]
    lines = file.read_text().splitlines() if file.exists() else []
    return [Row(**json.loads(line)) for line in lines]


def mend(file: Path) -> None:
    """Take away a last line that was cut off."""
    if file.exists():
        whole, _, _ = file.read_bytes().rpartition(b"\n")
        file.write_bytes(whole + b"\n" if whole else b"")


def append(file: Path, row: Row) -> None:
    """Add a row; it is on the disk afterwards."""
    with file.open("a") as lines:
        lines.write(json.dumps(asdict(row)) + "\n")


def keep(rows: Iterable[Row], file: Path) -> None:
    """Write a small file, sorted, with each run once."""
    import pyarrow
    import pyarrow.parquet

    of_key = {row.key: row for row in rows}
    schema = pyarrow.schema(
        [
            *((name, pyarrow.string()) for name in ("method", "problem")),
            *((name, pyarrow.int32()) for name in ("seed", "workers", "trainings")),
            ("clock", pyarrow.string()),
            ("incumbents", pyarrow.list_(pyarrow.float32())),
            *((name, pyarrow.int32()) for name in ("trials", "complete")),
            *((name, pyarrow.float32()) for name in ("epochs_to_good", "cpu_s")),
        ]
    )
    table = pyarrow.Table.from_pylist([asdict(of_key[k]) for k in sorted(of_key)], schema)
    pyarrow.parquet.write_table(table, file, compression="zstd")


def main() -> None:
    """Collect files of rows in one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--to", required=True, type=Path)
    chosen = parser.parse_args()
    keep([row for file in chosen.files for row in read(file)], chosen.to)


if __name__ == "__main__":
    main()
