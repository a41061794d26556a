"""The references of all problems, measured once (a few minutes) and kept.

python -m benchmarks.search.references --curves FOLDER
"""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

from benchmarks.search.curves import Problem, Reference, problems, reference
from benchmarks.search.options import parser

FILE = Path(__file__).parent / "stored" / "references.json"


@cache
def kept() -> dict[str, Reference]:
    """By the problem's name."""
    return {name: Reference(**values) for name, values in json.loads(FILE.read_text()).items()}


@cache
def reference_of(problem: Problem) -> Reference:
    """The one that is kept; a problem that is not public is measured now."""
    return kept().get(problem.name) or reference(problem)


def main() -> None:
    """Measure all."""
    folder = parser(__doc__).parse_args().curves
    found = {problem.name: asdict(reference(problem)) for problem in problems(folder)}
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
