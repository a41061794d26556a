"""What the best configurations reach on fresh seeds, and which of them is really the best.

A search's value is the best of many noisy ones, so it is too good. Here each candidate is trained
several times on seeds that nothing was chosen by, and is judged by the mean; its model of the best
epoch is then measured on the test split, which nothing else reads.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean, stdev, variance
from typing import Any

from rich.table import Table
from scipy import stats

from results.confirm.confirmation import Confirmation, ConfirmedCandidate, Optimism
from results.console import Console
from results.export.export import trial_export
from results.export.models import trained_model
from results.study.best import BestEpoch, best_epoch
from results.study.folder import StudyError
from results.study.notes import Notes
from results.study.record import StudyRecord
from results.text import metric_text
from search_spaces.space import Objective
from trainables.task import Task, load_task
from trainables.training import evaluate
from trainables.user_code.importing import import_from, task_folder

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A configuration to be confirmed.

    Attributes:
        trial: The search's, in which it was tried.
        name: What to call it: `trial 7`, `start point 0`.
        best: What the search found of it.
        values: What was searched, without what is fixed.
    """

    trial: int
    name: str
    best: BestEpoch
    values: dict[str, Any]


def candidates(record: StudyRecord, top: int) -> list[Candidate]:
    """The best few trials, and the start points with a value that are not among them.

    Raises:
        StudyError: when no trial has a value yet.
    """
    objective = record.description.objective
    bests = record.ranked()[:top]
    if not bests:
        raise StudyError(
            f"{record.folder.path} has nothing to confirm: no trial has reported a value yet"
        )
    starts = [
        best
        for trial in record.trials
        if Notes.of(trial).start_point is not None and (best := best_epoch(trial, objective))
    ]
    found = []
    for best in [*bests, *(best for best in starts if best not in bests)]:
        trial = record.trials[best.number]
        start = Notes.of(trial).start_point
        name = f"trial {best.number}" if start is None else f"start point {start}"
        found.append(Candidate(trial=best.number, name=name, best=best, values=trial.params))
    return found


def confirmed(
    trainings: StudyRecord, chosen: Sequence[Candidate], seeds: int, earlier: Confirmation | None
) -> Confirmation:
    """What the trainings of a confirming study gave; reads the test split.

    Args:
        trainings: The study whose trial `i` is candidate `i // seeds`.
        chosen: The candidates.
        seeds: How often each was trained.
        earlier: What was confirmed before.
    """
    import_from(trainings.description.import_paths)
    objective = trainings.description.objective
    groups = [trainings.trials[i : i + seeds] for i in range(0, len(trainings.trials), seeds)]
    found = []
    for candidate, trials in zip(chosen, groups, strict=True):
        bests = [best for trial in trials if (best := best_epoch(trial, objective))]
        tests = [test for best in bests if (test := test_metrics(trainings, best))]
        found.append(
            confirmed_candidate(candidate, [best.value for best in bests], tests, objective)
        )
    return judged(trainings, found, seeds, earlier)


def confirmed_candidate(
    candidate: Candidate,
    values: Sequence[float],
    tests: Sequence[Mapping[str, float]],
    objective: Objective,
) -> ConfirmedCandidate:
    """A candidate with the values of its trainings, and what its models reach on the test split on average."""
    low, high = interval(values) or (None, None)
    metrics = {name: fmean(test[name] for test in tests) for name in tests[0]} if tests else {}
    return ConfirmedCandidate(
        name=candidate.name,
        trial=candidate.trial,
        searched_value=candidate.best.value,
        values=tuple(values),
        mean=fmean(values) if values else None,
        low=low,
        high=high,
        test_value=metrics.get(objective.name),
        test_metrics=metrics,
    )


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's confidence interval for the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean, count = fmean(values), len(values)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * stdev(values) / math.sqrt(count)
    return mean - half, mean + half


def test_metrics(record: StudyRecord, best: BestEpoch) -> dict[str, float]:
    """The metrics of a trial's model on the test split; none if its task has no such split."""
    job = trial_export(record, best).job
    if not isinstance(load_task(job.task), Task):
        return {}
    task, config, splits, model = trained_model(job)
    with contextlib.chdir(task_folder()):
        metrics, _ = evaluate(task, config, model, splits, splits.test())
    return {name: value for name, value in metrics.items() if name != "validation_loss"}


def judged(
    trainings: StudyRecord,
    found: Sequence[ConfirmedCandidate],
    seeds: int,
    earlier: Confirmation | None,
) -> Confirmation:
    """The candidates, the best mean first, and what they tell together."""
    objective = trainings.description.objective
    sign, now = objective.sign, datetime.now(UTC).isoformat(timespec="seconds")
    found = sorted(
        found, key=lambda one: -math.inf if one.mean is None else sign * one.mean, reverse=True
    )
    known = [
        Optimism(searched=one.searched_value, fresh_mean=one.mean)
        for one in found
        if one.mean is not None
    ]
    reads = earlier.test_split_read if earlier else ()
    by = f", by {objective.name} alone" if objective.second else ""
    return Confirmation(
        trainings=trainings.folder.path.name,
        objective=objective.name,
        direction=objective.direction,
        seeds=seeds,
        confidence=CONFIDENCE,
        verdict=verdict(found) + by,
        test_split_read=(*reads, now) if any(one.test_metrics for one in found) else reads,
        candidates=tuple(found),
        optimism=max(known, key=lambda one: sign * one.searched, default=None),
    )


def verdict(found: Sequence[ConfirmedCandidate]) -> str:
    """Which candidate is the best, or which can't be told from it.

    Welch's t-tests of the one with the best mean against each other one, two-sided, Holm's
    correction.
    """
    best, *others = found
    if len(best.values) < 2:
        return "one seed tells nothing of the spread: confirm with more seeds"
    sound = [other for other in others if len(other.values) >= 2]
    chances = sorted((_chance(best.values, other.values), other.name) for other in sound)
    worse: set[str] = set()
    for i, (chance, name) in enumerate(chances):
        if chance > (1 - CONFIDENCE) / (len(chances) - i):
            break
        worse.add(name)
    equal = [other.name for other in sound if other.name not in worse]
    if not sound:
        return f"{best.name} is the only one with values"
    if equal:
        rivals, seeds = ", ".join(equal), len(best.values)
        return (
            f"{best.name} has the best mean, but can't be told from {rivals} by {seeds} seeds each"
        )
    return f"{best.name} is better than all others, at {CONFIDENCE:.0%} confidence"


def _chance(left: Sequence[float], right: Sequence[float]) -> float:
    """How likely means would differ so much if they were the same: Welch's p.

    Exact where nothing varies.
    """
    if max(variance(left), variance(right)) < 1e-18:
        return float(math.isclose(left[0], right[0]))
    figures = [
        figure for values in (left, right) for figure in (fmean(values), stdev(values), len(values))
    ]
    return float(stats.ttest_ind_from_stats(*figures, equal_var=False).pvalue)


def confirmation_table(confirmation: Confirmation) -> Table:
    """The candidates with their intervals, the best first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("candidate")
    name, share = confirmation.objective, f"{confirmation.confidence:.0%}"
    for column in ("searched", f"fresh {name}", f"{share} interval", f"test {name}"):
        table.add_column(column, justify="right")
    for one in confirmation.candidates:
        numbers = (one.searched_value, one.mean, one.test_value)
        searched, mean, test = ("" if number is None else metric_text(number) for number in numbers)
        table.add_row(one.name, searched, mean, one.interval, test)
    return table


def tell(confirmation: Confirmation, console: Console) -> None:
    """The table, the verdict, and how much too good the search's value was."""
    console.print(confirmation_table(confirmation))
    for text in filter(None, (confirmation.verdict, confirmation.optimism_text)):
        console.say(text)
    reads = len(confirmation.test_split_read)
    if reads > 1:
        text = (
            f"the test split has been read {reads} times now; what was chosen by it is no "
            "longer unseen"
        )
        console.say(text, style="yellow")
