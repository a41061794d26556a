"""What benchmarks print: tables in Markdown, means with their intervals."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from results.confirm.candidates import interval


def table(title: str, heads: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table below its title."""
    yield from (f"{title}:", "")
    for cells in (heads, ["---"] * len(heads), *lines):
        yield f"| {' | '.join(cells)} |"
    yield ""


def mean_text(values: Sequence[float]) -> str:
    """The mean, and half of Student's 95 % interval where there are two values; or nothing."""
    if not values:
        return ""
    ends = interval(values)
    return f"{fmean(values):.4f}" + (f" ± {(ends[1] - ends[0]) / 2:.4f}" if ends else "")
