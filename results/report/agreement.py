"""How parameters were compared, in words, and how well an early epoch foretells a later one."""

import math
from itertools import pairwise

from scipy import stats

from results.report.facts import Facts
from results.report.importance import LEAST_TRIALS, MOST_TRIALS, REACHED, Comparison, Importance

LEAST_PAIRS = 5


def importance_text(comparison: Comparison, found: list[Importance]) -> str:
    """How the importance is computed, at which epoch and from how many trials."""
    if not comparison.epoch:
        return "No trial has a finite value, so parameters can't be compared."
    count = len(comparison.values)
    text = (
        f"Trials are compared at epoch {comparison.epoch}, the last that at least {REACHED:.0%} of "
        f"those with a value reached: {count} of {comparison.reporting} have a finite value there, "
        "stopped ones among them."
    )
    if not found:
        return (
            f"{text} Importance needs at least {LEAST_TRIALS} trials with different values there."
        )
    used = f"{MOST_TRIALS} of them, evenly chosen" if count > MOST_TRIALS else "all of them"
    text += (
        f" Importance is fANOVA on the ranks of these values ({used}): the share of their "
        "differences that each parameter alone explains. What matters at epoch "
        f"{comparison.epoch} need not matter most at the end."
    )
    return text


def agreement_text(facts: Facts) -> str:
    """How well a rung foretells the next one, by the trials that reached both."""
    texts = []
    epochs = [*facts.space.rungs, facts.space.budget.max_epochs]
    for early, late in pairwise(epochs):
        pairs = [
            (trial.values[early], trial.values[late])
            for trial in facts.trials
            if trial.best and {early, late} <= trial.values.keys()
        ]
        pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
        if len(pairs) >= LEAST_PAIRS and (rho := rank_correlation(pairs)) is not None:
            texts.append(f"{rho:.2f} from epoch {early} to {late} ({len(pairs)} trials)")
    if not texts:
        return ""
    return (
        "How well an early value foretells a later one, as rank correlation (1 is perfectly): "
        f"{', '.join(texts)}."
    )


def rank_correlation(pairs: list[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation; None if all values of one side are equal."""
    sides = list(zip(*pairs, strict=True))
    if any(len(set(side)) == 1 for side in sides):
        return None
    return float(stats.spearmanr(*sides).statistic)
