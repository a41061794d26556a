"""What the best configurations reach on fresh seeds, and which of them is really the best.

A search's value is the best of many noisy ones, so it is too good. Here each candidate is trained several times on
seeds that nothing was chosen by, and is judged by the mean; its model of the best epoch is then measured on the test
split, which nothing else reads.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean, stdev, variance
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy import stats

from results.best import Best, trial_best
from results.export import trial_export
from results.models import trained_model
from results.read import StudyRecord
from results.study_folder import StudyError, StudyFolder
from results.text import metric_text
from search_spaces.space import Objective
from trainables.accept import import_from
from trainables.task import Task, load_task
from trainables.training import evaluate
from trainables.trial_folder import write_atomically

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
    best: Best
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmed:
    """A candidate's values on fresh seeds.

    Attributes:
        candidate: Whose.
        values: The best epoch's value of each training that had one.
        tests: All metrics of its models on the test split, one mapping a training; none if there is no such split.
    """

    candidate: Candidate
    values: tuple[float, ...]
    tests: tuple[dict[str, float], ...]

    @property
    def mean(self) -> float:
        """The mean of the values; NaN without any."""
        return fmean(self.values) if self.values else math.nan

    def interval(self) -> tuple[float, float] | None:
        """Student's confidence interval for the mean; None for fewer than two values."""
        if len(self.values) < 2:
            return None
        count = len(self.values)
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * stdev(self.values) / math.sqrt(count)
        return self.mean - half, self.mean + half

    def test_means(self) -> dict[str, float]:
        """Each of the test split's metrics, averaged over the trainings."""
        return {name: fmean(test[name] for test in self.tests) for name in self.tests[0]} if self.tests else {}


def candidates(record: StudyRecord, top: int) -> list[Candidate]:
    """The best few trials, and the start points with a value that are not among them.

    Raises:
        StudyError: when no trial has a value yet.
    """
    objective = record.description.objective
    bests = record.ranked()[:top]
    if not bests:
        raise StudyError(f"{record.folder.path} has nothing to confirm: no trial has reported a value yet")
    starts = [best for trial in record.trials if "start" in trial.user_attrs and (best := trial_best(trial, objective))]
    found = []
    for best in [*bests, *(best for best in starts if best not in bests)]:
        trial = record.trials[best.number]
        start = trial.user_attrs.get("start")
        name = f"trial {best.number}" if start is None else f"start point {start}"
        found.append(Candidate(trial=best.number, name=name, best=best, values=trial.params))
    return found


def confirmed(record: StudyRecord, chosen: Sequence[Candidate], seeds: int) -> list[Confirmed]:
    """What the trainings of a confirming study gave, the best candidate first; reads the test split.

    Args:
        record: The study whose trial `i` is candidate `i // seeds`.
        chosen: The candidates.
        seeds: How often each was trained.
    """
    import_from(record.description.import_paths)
    objective = record.description.objective
    groups = [record.trials[i : i + seeds] for i in range(0, len(record.trials), seeds)]
    found = []
    for candidate, trials in zip(chosen, groups, strict=True):
        bests = [best for trial in trials if (best := trial_best(trial, objective))]
        tests = tuple(test for best in bests if (test := test_metrics(record, best)))
        found.append(Confirmed(candidate=candidate, values=tuple(best.value for best in bests), tests=tests))
    return sorted(found, key=lambda one: objective.sign * one.mean if one.values else -math.inf, reverse=True)


def test_metrics(record: StudyRecord, best: Best) -> dict[str, float]:
    """The metrics of a trial's model on the test split; none if its task has no such split."""
    job = trial_export(record, best).job
    if not isinstance(load_task(job.task), Task):
        return {}
    task, config, splits, model = trained_model(job)
    metrics, _ = evaluate(task, config, model, splits, splits.test())
    return {name: value for name, value in metrics.items() if name != "validation_loss"}


def verdict(found: Sequence[Confirmed], objective: Objective) -> str:
    """Which candidate is the best, or which can't be told from it.

    Welch's t-tests of the one with the best mean against each other one, two-sided, Holm's correction.
    """
    best, *others = found
    if len(best.values) < 2:
        return "one seed tells nothing of the spread: confirm with more seeds"
    sound = [other for other in others if len(other.values) >= 2]
    chances = sorted((_chance(best.values, other.values), other.candidate.name) for other in sound)
    worse: set[str] = set()
    for i, (chance, name) in enumerate(chances):
        if chance > (1 - CONFIDENCE) / (len(chances) - i):
            break
        worse.add(name)
    equal = [other.candidate.name for other in sound if other.candidate.name not in worse]
    if not sound:
        return f"{best.candidate.name} is the only one with values"
    if equal:
        return (
            f"{best.candidate.name} has the best mean, but can't be told from {', '.join(equal)} "
            f"by {len(best.values)} seeds each"
        )
    return f"{best.candidate.name} is better than all others, at {CONFIDENCE:.0%} confidence"


def _chance(left: Sequence[float], right: Sequence[float]) -> float:
    """How likely means would differ so much if they were the same: Welch's p; exact where nothing varies."""
    if max(variance(left), variance(right)) < 1e-18:
        return float(math.isclose(left[0], right[0]))
    figures = [figure for values in (left, right) for figure in (fmean(values), stdev(values), len(values))]
    return float(stats.ttest_ind_from_stats(*figures, equal_var=False).pvalue)


def write_confirmation(
    folder: StudyFolder, trainings: StudyRecord, found: Sequence[Confirmed], objective: Objective, seeds: int
) -> dict[str, Any]:
    """Write `confirm.json`; gives its content."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    earlier = (_read(folder) or {"test_split_read": []})["test_split_read"]
    content = {
        "trainings": trainings.folder.path.name,
        "objective": objective.name,
        "direction": objective.direction,
        "seeds": seeds,
        "confidence": CONFIDENCE,
        "verdict": verdict(found, objective),
        "test_split_read": [*earlier, now] if any(one.tests for one in found) else earlier,
        "candidates": [_as_json(one, objective) for one in found],
        "optimism": _optimism(found, objective),
    }
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(folder.confirmed, lambda path: path.write_text(text, encoding="utf-8"))
    return content


def _as_json(one: Confirmed, objective: Objective) -> dict[str, Any]:
    low, high = one.interval() or (None, None)
    tests = one.test_means()
    return {
        "name": one.candidate.name,
        "trial": one.candidate.trial,
        "searched_value": one.candidate.best.value,
        "values": list(one.values),
        "mean": one.mean if one.values else None,
        "low": low,
        "high": high,
        "test_value": tests.get(objective.name),
        "test_metrics": tests,
    }


def _optimism(found: Sequence[Confirmed], objective: Objective) -> dict[str, float] | None:
    """What the search said of its best, and what fresh seeds say of the same one."""
    known = [(one.candidate.best.value, one.mean) for one in found if one.values]
    if not known:
        return None
    searched, fresh = max(known, key=lambda pair: objective.sign * pair[0])
    return {"searched": searched, "fresh_mean": fresh}


def known_confirmation(folder: StudyFolder, trainings: StudyRecord) -> dict[str, Any] | None:
    """What came of these trainings, if that was written: the test split needn't be read again."""
    content = _read(folder)
    return content if content and content["trainings"] == trainings.folder.path.name else None


def _read(folder: StudyFolder) -> dict[str, Any] | None:
    if not folder.confirmed.exists():
        return None
    try:
        content = json.loads(folder.confirmed.read_text(encoding="utf-8"))
        if not isinstance(content["test_split_read"], list) or not isinstance(content["trainings"], str):
            raise TypeError("test_split_read must be a list and trainings a text")
    except (KeyError, TypeError, ValueError) as error:
        raise StudyError(f"{folder.confirmed} is damaged: {error}; remove it, and confirm again") from error
    return dict(content)


def confirmation_table(content: dict[str, Any]) -> Table:
    """The candidates with their intervals, the best first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("candidate")
    name, share = content["objective"], f"{content['confidence']:.0%}"
    for column in ("searched", f"fresh {name}", f"{share} interval", f"test {name}"):
        table.add_column(column, justify="right")
    for one in content["candidates"]:
        interval = f"{metric_text(one['low'])} to {metric_text(one['high'])}" if one["low"] is not None else ""
        numbers = [one["searched_value"], one["mean"], one["test_value"]]
        searched, mean, test = ("" if number is None else metric_text(number) for number in numbers)
        table.add_row(one["name"], searched, mean, interval, test)
    return table


def tell(content: dict[str, Any], console: Console) -> None:
    """The table, the verdict, and how much too good the search's value was."""
    console.print(confirmation_table(content))
    console.print(content["verdict"], highlight=False, markup=False, soft_wrap=True)
    optimism = content["optimism"]
    if optimism:
        searched, fresh = optimism["searched"], optimism["fresh_mean"]
        gain = searched - fresh if content["direction"] == "maximize" else fresh - searched
        console.print(
            f"the search's best value was {metric_text(searched)}, on fresh seeds it is {metric_text(fresh)}: the "
            f"search was {metric_text(abs(gain))} too {'good' if gain >= 0 else 'modest'}",
            highlight=False,
            soft_wrap=True,
        )
    reads = len(content["test_split_read"])
    if reads > 1:
        text = f"the test split has been read {reads} times now; what was chosen by it is no longer unseen"
        console.print(text, style="yellow", highlight=False, soft_wrap=True)
