"""The comparison of searches, from stored rows.

python -m benchmarks.search                  the table, and ours beside each other one
python -m benchmarks.search --draw FILE.svg  the figure too

Rows are made by `benchmarks.search.replay` and packed by `benchmarks.search.rows`.
"""

import argparse
from pathlib import Path

from benchmarks.search.compare import comparisons, draw, regrets
from benchmarks.search.rows import read
from benchmarks.search.table import table

STORED = Path(__file__).parent / "stored"
MAIN_SETTING = (4, 20, "epochs")


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--draw", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows = [row for file in sorted(STORED.glob("*.parquet")) for row in read(file)]
    print(table(rows))
    found = regrets(rows, MAIN_SETTING)
    print("\nWith 4 workers and 20 trainings, regret at the end as a part of another one's:")
    for each in comparisons(found, "rungs"):
        print(
            f"  {each.method:20} {each.ratio:.2f}  better on {each.wins} of {each.problems} "
            f"problems, p = {each.p:.2g}"
        )
    if options.draw:
        draw(found, options.draw)


if __name__ == "__main__":
    main()
