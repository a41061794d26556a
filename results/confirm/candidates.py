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

from optuna.trial import FrozenTrial
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
from trainables.job import Job
from trainables.task import Task, load_task
from trainables.training import evaluate
from trainables.user_code.importing import import_from, task_folder

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A configuration to be confirmed."""

    name: str
    """What to call it: `trial 7`, `start point 0`."""
    best: BestEpoch
    """What the search reached with it, and in which trial."""
    values: Mapping[str, Any]
    """What was searched, without what is fixed."""


def select_candidates(record: StudyRecord, top: int) -> list[Candidate]:
    """The best few trials, and those start points that have a value and are not among them.

    Raises:
        StudyError: when no trial has a value yet.
    """
    bests = record.ranked()[:top]
    if not bests:
        raise StudyError(
            f"{record.folder.path} has nothing to confirm: no trial has reported a value yet"
        )
    others = [best for best in record.start_points() if best not in bests]
    return [_candidate(record.trials[best.number], best) for best in [*bests, *others]]


def _candidate(trial: FrozenTrial, best: BestEpoch) -> Candidate:
    start = Notes.of(trial).start_point
    name = f"trial {trial.number}" if start is None else f"start point {start}"
    return Candidate(name=name, best=best, values=trial.params)


def confirmation_of(
    trainings: StudyRecord,
    candidates: Sequence[Candidate],
    seeds: int,
    earlier: Confirmation | None,
) -> Confirmation:
    """What the trainings of a confirming study gave; reads the test split.

    Args:
        trainings: The study whose start point `i` is candidate `i // seeds`.
        candidates: The configurations that were trained.
        seeds: How often each was trained.
        earlier: What was confirmed before.
    """
    import_from(trainings.description.import_paths)
    objective = trainings.description.objective
    by_start_point = sorted(trainings.counted(), key=lambda trial: Notes.of(trial).start_point or 0)
    groups = [by_start_point[i : i + seeds] for i in range(0, len(by_start_point), seeds)]
    confirmed = []
    for candidate, trials in zip(candidates, groups, strict=True):
        bests = [best for trial in trials if (best := best_epoch(trial, objective))]
        tests = [test for best in bests if (test := test_metrics(trainings, best))]
        confirmed.append(
            confirmed_candidate(candidate, [best.value for best in bests], tests, objective)
        )
    return compared(trainings, confirmed, seeds, earlier)


def confirmed_candidate(
    candidate: Candidate,
    values: Sequence[float],
    tests: Sequence[Mapping[str, float]],
    objective: Objective,
) -> ConfirmedCandidate:
    """A candidate with the values of its trainings, and its models' average on the test split."""
    low, high = interval(values) or (None, None)
    metrics = {name: fmean(test[name] for test in tests) for name in tests[0]} if tests else {}
    return ConfirmedCandidate(
        name=candidate.name,
        trial=candidate.best.number,
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
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values))
    return fmean(values) - half, fmean(values) + half


def test_metrics(record: StudyRecord, best: BestEpoch) -> dict[str, float]:
    """The metrics of a trial's model on the test split; none if its task has no such split."""
    return metrics_on_test(trial_export(record, best).job)


def metrics_on_test(job: Job) -> dict[str, float]:
    """The same of a job that was trained."""
    if not isinstance(load_task(job.task), Task):
        return {}
    task, config, splits, model = trained_model(job)
    with contextlib.chdir(task_folder()):
        metrics, _ = evaluate(task, config, model, splits, splits.test())
    return {name: value for name, value in metrics.items() if name != "validation_loss"}


def compared(
    trainings: StudyRecord,
    confirmed: Sequence[ConfirmedCandidate],
    seeds: int,
    earlier: Confirmation | None,
) -> Confirmation:
    """The candidates, the best mean first, and what they tell together."""
    objective = trainings.description.objective
    sign, now = objective.sign, datetime.now(UTC).isoformat(timespec="seconds")
    ranked = sorted(
        confirmed,
        key=lambda candidate: -math.inf if candidate.mean is None else sign * candidate.mean,
        reverse=True,
    )
    optimisms = [
        Optimism(searched=candidate.searched_value, fresh_mean=candidate.mean)
        for candidate in ranked
        if candidate.mean is not None
    ]
    reads = earlier.test_split_read if earlier else ()
    by = f", by {objective.name} alone" if objective.second else ""
    return Confirmation(
        trainings=trainings.folder.path.name,
        objective=objective.name,
        direction=objective.direction,
        seeds=seeds,
        confidence=CONFIDENCE,
        verdict=verdict(ranked) + by,
        test_split_read=(*reads, now) if any(each.test_metrics for each in ranked) else reads,
        candidates=tuple(ranked),
        optimism=max(optimisms, key=lambda each: sign * each.searched, default=None),
    )


def verdict(ranked: Sequence[ConfirmedCandidate]) -> str:
    """Which candidate is the best, or which others may be just as good.

    The one with the best mean, which stands first, is compared with each other one by Welch's
    two-sided t-test, with Holm's correction.
    """
    best, *others = ranked
    if len(best.values) < 2:
        return "one seed tells nothing of the spread: confirm with more seeds"
    comparable = [other for other in others if len(other.values) >= 2]
    p_values = sorted((welch_p(best.values, other.values), other.name) for other in comparable)
    worse: set[str] = set()
    for i, (p_value, name) in enumerate(p_values):
        if p_value > (1 - CONFIDENCE) / (len(p_values) - i):
            break
        worse.add(name)
    equal = [other.name for other in comparable if other.name not in worse]
    if not comparable:
        return f"{best.name} is the only one with values"
    if equal:
        rivals, seeds = ", ".join(equal), len(best.values)
        return (
            f"{best.name} has the best mean, but can't be told from {rivals} by {seeds} seeds each"
        )
    return f"{best.name} is better than all others, at {CONFIDENCE:.0%} confidence"


def welch_p(left: Sequence[float], right: Sequence[float]) -> float:
    """Welch's: how likely the means differ at least so much by chance. Exact if nothing varies."""
    if max(variance(left), variance(right)) < 1e-18:
        return float(math.isclose(left[0], right[0]))
    # Given the figures, scipy doesn't warn of values that are nearly equal.
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
    for candidate in confirmation.candidates:
        numbers = (candidate.searched_value, candidate.mean, candidate.test_value)
        searched, mean, test = ("" if number is None else metric_text(number) for number in numbers)
        table.add_row(candidate.name, searched, mean, candidate.interval, test)
    return table


def print_confirmation(confirmation: Confirmation, console: Console) -> None:
    """Print the table, the verdict, and by how much the search's best value was too good."""
    console.print(confirmation_table(confirmation))
    for text in filter(None, (confirmation.verdict, confirmation.optimism_text)):
        console.say(text)
    reads = len(confirmation.test_split_read)
    if reads > 1:
        text = f"the test split has been read {reads} times now; what was chosen by it is no longer"
        console.say(f"{text} unseen", style="yellow")
