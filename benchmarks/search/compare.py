"""Whether one search is better than another, over problems that are not alike.

The figure is the mean regret; the test is Wilcoxon's signed-rank test over problems, each the mean
of its seeds (Demsar 2006, https://jmlr.org/papers/v7/demsar06a.html).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from benchmarks.search.references import kept
from benchmarks.search.rows import FRACTIONS, Row
from benchmarks.search.table import WORST_REGRET

Setting = tuple[int, int, str]
Regrets = dict[str, np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """Ours beside another one.

    Attributes:
        method: The other one.
        problems: On which both were run.
        ratio: Our mean regret at the end as a part of its.
        wins: On how many problems ours is smaller.
        p: How probable so clear a difference would be if there were none.
    """

    method: str
    problems: int
    ratio: float
    wins: int
    p: float


def regrets(rows: Iterable[Row], setting: Setting) -> dict[str, Regrets]:
    """By method and problem: the regret at each fraction of the budget, the mean of the seeds."""
    found: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if (row.workers, row.trainings, row.clock) == setting:
            reference = kept()[row.problem]
            curve = [min(WORST_REGRET, reference.regret(loss)) for loss in row.incumbents]
            found[row.method][row.problem].append(curve)
    return {
        method: {problem: np.mean(curves, axis=0) for problem, curves in of_problem.items()}
        for method, of_problem in found.items()
    }


def comparisons(found: dict[str, Regrets], ours: str) -> list[Comparison]:
    """Ours beside each other method on the problems of both, the best other one first."""
    others = [method for method in found if method != ours]
    made = [_comparison(method, found[ours], found[method]) for method in others]
    return sorted(made, key=lambda comparison: -comparison.ratio)


def _comparison(method: str, ours: Regrets, theirs: Regrets) -> Comparison:
    problems = sorted(ours.keys() & theirs.keys())
    mine_N = np.array([ours[problem][-1] for problem in problems])
    other_N = np.array([theirs[problem][-1] for problem in problems])
    return Comparison(
        method=method,
        problems=len(problems),
        ratio=float(mine_N.mean() / other_N.mean()),
        wins=int((mine_N < other_N).sum()),
        p=float(wilcoxon(mine_N, other_N).pvalue),
    )


def draw(found: dict[str, Regrets], file: Path) -> None:
    """The mean regret of each method over the budget, with its standard error over problems."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "rungs"  # The same rows, the same file.
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    shares = np.arange(1, FRACTIONS + 1) / FRACTIONS
    ordered = sorted(found, key=lambda method: np.mean([c[-1] for c in found[method].values()]))
    for i, method in enumerate(ordered):
        curves_PE = np.array(list(found[method].values()))
        means = curves_PE.mean(axis=0)
        errors = curves_PE.std(axis=0, ddof=1) / np.sqrt(len(curves_PE))
        width = 2.5 if method == "rungs" else 1
        style = "-" if i < len(mpl.color_sequences["tab10"]) else "--"
        (line,) = axes.plot(shares, means, style, label=method, linewidth=width)
        if method in ("rungs", "ray_stock"):
            axes.fill_between(
                shares, means - errors, means + errors, color=line.get_color(), alpha=0.2
            )
    axes.set(xlabel="part of the budget", ylabel="mean regret", yscale="log", xlim=(0.05, 1))
    axes.set_ylim(top=1.2)
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
