"""What a good engineer would point out before anyone trusts the result.

Each with the number behind it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from results.report.facts import Facts
from results.report.figures.scales import place
from results.states import COMPLETE, FAILED, FINISHED, STOPPED
from results.study.description import noted_changes
from results.text import metric_text, value_text
from search_spaces import Parameter

EDGE = 0.03  # of the range
FEWEST_COMPLETE = 3
LEAST_FAILED, LEAST_SHARE = 2, 0.1
LEAST_EQUAL, EQUAL_SHARE = 3, 0.1
LAST_EPOCHS = 5
NEIGHBOURS = 2  # epochs on each side of the best one


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """A warning.

    Attributes:
        title: What is the matter.
        detail: The number behind it, and what to do.
    """

    title: str
    detail: str


def advice(facts: Facts) -> list[Advice]:
    """All that there is to point out, the gravest first."""
    return [finding for find in _FINDERS for finding in find(facts)]


def _failures(facts: Facts) -> Iterator[Advice]:
    failed = [trial for trial in facts.trials if trial.state == FAILED]
    over = sum(trial.state in FINISHED for trial in facts.trials)
    if len(failed) >= LEAST_FAILED and len(failed) >= LEAST_SHARE * over:
        reason, times = Counter(str(trial.reason) for trial in failed).most_common(1)[0]
        yield Advice(
            title=f"{len(failed)} of {over} finished trials failed ({len(failed) / over:.0%})",
            detail=f"The most frequent reason, {times} times: {reason}",
        )


def _changed(facts: Facts) -> Iterator[Advice]:
    if found := noted_changes(facts.record.description.origin):
        yield Advice(
            title="What trains is not the same any more since the study began",
            detail=f"Trials before and after may not be comparable: {'; '.join(found)}.",
        )


def _not_finite(facts: Facts) -> Iterator[Advice]:
    ended = [trial for trial in facts.trials if not all(map(math.isfinite, trial.values.values()))]
    if len(ended) >= LEAST_FAILED and len(ended) >= LEAST_SHARE * len(facts.trials):
        yield Advice(
            title=f"{len(ended)} of {len(facts.trials)} trials ended with a number that is not "
            "finite",
            detail="Training diverged or divided by zero there. Narrow the range that causes it "
            "(often the learning "
            f"rate), or clip gradients. Trials {_listed([trial.number for trial in ended])}.",
        )


def _few_complete(facts: Facts) -> Iterator[Advice]:
    complete, trials = facts.counts[COMPLETE], facts.space.budget.trials
    if facts.best and complete < min(FEWEST_COMPLETE, trials):
        yield Advice(
            title=f"Only {complete} trial{'' if complete == 1 else 's'} ran to the end",
            detail=f"{complete} of {len(facts.trials)} were neither stopped early nor failed; "
            "whether stopping the others was right can hardly be judged from so few. More trials, "
            "or a lower reduction, would tell.",
        )


def _best_was_stopped(facts: Facts) -> Iterator[Advice]:
    if facts.best and facts.trials[facts.best.number].state == STOPPED:
        trial = facts.trials[facts.best.number]
        yield Advice(
            title=f"The best trial was stopped early, after epoch {trial.epochs}",
            detail=f"Its best value is of epoch {facts.best.epoch} of "
            f"{facts.space.budget.max_epochs}; when it was compared at its last rung others were "
            "ahead. Train it to the end before relying on it.",
        )


def _start_point_wins(facts: Facts) -> Iterator[Advice]:
    if facts.best and (start := facts.trials[facts.best.number].start) is not None:
        others = [best for best in facts.ranked if facts.trials[best.number].start is None]
        lead = (
            f", {metric_text(abs(facts.best.value - others[0].value))} ahead of the best "
            "suggested one"
            if others
            else ""
        )
        yield Advice(
            title=f"Start point {start}, made by hand, is the best",
            detail=f"{metric_text(facts.best.value)}{lead}. {len(others)} suggested trials found "
            "nothing better: the ranges may leave out what is good, or the trials are too few.",
        )


def _edges(facts: Facts) -> Iterator[Advice]:
    if facts.best is None:
        return
    params = facts.trials[facts.best.number].params
    for parameter in facts.space.parameters:
        if parameter.kind != "choice" and parameter.name in params:
            yield from _edge(parameter, params[parameter.name])


def _edge(parameter: Parameter, value: float) -> Iterator[Advice]:
    at = place(parameter, value)
    side, end = ("lower", parameter.low) if at < 0.5 else ("upper", parameter.high)
    if min(at, 1 - at) <= EDGE and not _has_two_values(parameter):
        scale = " on the logarithmic scale" if parameter.log else ""
        distance = (
            "exactly at"
            if min(at, 1 - at) < 1e-9
            else f"within {max(0.01, min(at, 1 - at)):.0%}{scale} of"
        )
        yield Advice(
            title=f"{parameter.name} of the best is at the {side} edge of its range",
            detail=f"{value_text(value)} lies {distance} {value_text(end)}. "
            f"{_edge_help(side, end)}",
        )


def _edge_help(side: str, end: float | None) -> str:
    if end == 0:
        return (
            "It may be best left off altogether: fix it at 0, or widen the range if values "
            "below 0 make sense."
        )
    where = "upwards" if side == "upper" else "downwards"
    return f"Better values may lie beyond it: widen the range {where} if the parameter allows it."


def _has_two_values(parameter: Parameter) -> bool:
    """Whether two values are all that there is, so that each is at an edge."""
    return parameter.kind == "int" and parameter.high == (parameter.low or 0) + (
        parameter.step or 1
    )


def _single_peak(facts: Facts) -> Iterator[Advice]:
    """The best epoch is further from its neighbours than from the second best trial."""
    if facts.best is None or len(facts.ranked) < 2:
        return
    best, second = facts.ranked[:2]
    values = facts.trials[best.number].values
    around = range(best.epoch - NEIGHBOURS, best.epoch + NEIGHBOURS + 1)
    neighbours = [values[epoch] for epoch in around if epoch in values and epoch != best.epoch]
    neighbours = [value for value in neighbours if math.isfinite(value)]
    goes_on = best.epoch + 1 in values  # else it may just be rising
    above = abs(best.value - median(neighbours or [best.value]))
    lead = abs(best.value - second.value)
    if facts.objective.second is None and goes_on and len(neighbours) > 1 and above > lead > 0:
        yield Advice(
            title="The lead of the best is smaller than its noise",
            detail=f"At epoch {best.epoch} trial {best.number} was {metric_text(above)} better "
            f"than the median of the {len(neighbours)} epochs around it; its lead over trial "
            f"{second.number} is {metric_text(lead)}. The best of many noisy values is too good: "
            "confirm it with fresh seeds.",
        )


def _noisy_end(facts: Facts) -> Iterator[Advice]:
    """The last epochs of the best jump by more than its lead over the fifth best trial."""
    ranked = facts.ranked
    if len(ranked) < 5 or facts.objective.second:
        return
    last = [value for _, value in facts.trials[ranked[0].number].finite()][-LAST_EPOCHS:]
    jumps = [abs(after - before) for before, after in pairwise(last)]
    spread = abs(ranked[0].value - ranked[4].value)
    if len(jumps) >= LAST_EPOCHS - 1 and median(jumps) > spread > 0:
        yield Advice(
            title="The last epochs of the best are noisy",
            detail=f"From epoch to epoch its last {len(last)} values move by "
            f"{metric_text(median(jumps))} (median), "
            f"while the five best trials lie within {metric_text(spread)}: their order is chance.",
        )


def _ceiling(facts: Facts) -> Iterator[Advice]:
    bests = [best.value for best in facts.ranked]
    if facts.best is None or facts.objective.second:
        return
    equal = sum(
        math.isclose(value, facts.best.value, rel_tol=1e-9, abs_tol=1e-12) for value in bests
    )
    if equal >= LEAST_EQUAL and equal >= EQUAL_SHARE * len(bests):
        yield Advice(
            title=f"{equal} of {len(bests)} trials share the best value",
            detail=f"All reached exactly {metric_text(facts.best.value)}: {facts.objective.name} "
            "may be saturated and "
            "no longer tells them apart. A harder validation set or a finer metric would.",
        )


def _still_rising(facts: Facts) -> Iterator[Advice]:
    complete = [trial for trial in facts.trials if trial.state == COMPLETE and trial.best]
    late = [
        trial
        for trial in complete
        if trial.best and trial.best.epoch == facts.space.budget.max_epochs
    ]
    if (
        facts.best
        and facts.best.number in [t.number for t in late]
        and 2 * len(late) >= len(complete)
    ):
        yield Advice(
            title="The best was still improving when its budget ended",
            detail=f"{len(late)} of {len(complete)} trials that ran to the end were best in epoch "
            f"{facts.space.budget.max_epochs}. A larger max_epochs would probably give more.",
        )


def _listed(numbers: list[int], most: int = 12) -> str:
    text = ", ".join(map(str, numbers[:most]))
    return f"{text} and {len(numbers) - most} more" if len(numbers) > most else text


_FINDERS: tuple[Callable[[Facts], Iterator[Advice]], ...] = (
    _failures,
    _changed,
    _not_finite,
    _start_point_wins,
    _single_peak,
    _noisy_end,
    _best_was_stopped,
    _edges,
    _ceiling,
    _still_rising,
    _few_complete,
)
