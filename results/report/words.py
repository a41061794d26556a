"""What a report says in words: headline, banners, first numbers, where the study comes from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from results.report.facts import Facts, TrialFacts
from results.states import COMPLETE, FINISHED
from results.text import budget_text, duration, metric_text, of_budget, value_text
from trainables.config import TaskError
from trainables.task import load_task
from trainables.user_code.importing import import_from


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A number of the first screen.

    Attributes:
        label: What it is.
        value: The number, with its unit.
        note: What belongs to it.
    """

    label: str
    value: str
    note: str = ""


def headline(facts: Facts) -> str:
    """What came out, in a sentence or two."""
    best, objective = facts.best, facts.objective
    if best is None:
        return f"No trial has reported a finite {objective.name} yet."
    trial = facts.trials[best.number]
    budget = facts.space.budget.max_epochs
    how = (
        "with the full budget"
        if trial.epochs >= budget
        else f"{_end_text(trial)} after epoch {trial.epochs}"
    )
    text = (
        f"Best {objective.name} {metric_text(best.value)}: trial {best.number} at epoch "
        f"{best.epoch} of {budget}"
    )
    text = f"{text}, {how}."
    if objective.second:
        front = f"{len(facts.front)} of {len(facts.trials)} trials form the Pareto front"
        return f"{front}, beaten in both objectives by none. {text}"
    return text + _against_start(facts)


def _end_text(trial: TrialFacts) -> str:
    return "ended by itself" if trial.state == COMPLETE else trial.state


def _against_start(facts: Facts) -> str:
    best, start = facts.best, facts.best_start
    if best is None or start is None:
        return ""
    trial = facts.trials[start.number]
    if start.number == best.number:
        return f" It is start point {trial.start}, which was made by hand."
    gap = abs(best.value - start.value)
    verb = "above" if best.value >= start.value else "below"
    early = "" if trial.state == COMPLETE else f", {trial.state} after epoch {trial.epochs}"
    value = metric_text(start.value)
    return f" That is {metric_text(gap)} {verb} the best start point ({value}{early})."


def cards(facts: Facts) -> list[Card]:
    """The first screen's numbers."""
    best, budget = facts.best, facts.space.budget
    counts = ", ".join(f"{count} {state}" for state, count in facts.counts.most_common())
    counted = len(facts.record.counted())
    full = budget.max_epochs * len(facts.trials)
    share = f"{facts.epochs / full:.0%} of {full} without early stopping" if full else ""
    return [
        Card(
            label=f"best {facts.objective.name}",
            value=metric_text(best.value) if best else "none",
            note=f"trial {best.number}, epoch {best.epoch}" if best else "",
        ),
        Card(label="trials", value=f"{counted} of {budget.trials}", note=counts),
        Card(label="epochs trained", value=of_budget(facts.epochs, facts.space.epochs), note=share),
        Card(
            label="trial-hours",
            value=_hours(facts.trial_seconds),
            note=f"{duration(facts.trial_seconds)} of all trials",
        ),
        Card(label="wall clock", value=duration(facts.wall_seconds), note=_span(facts)),
    ]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.3g} h"


def _span(facts: Facts) -> str:
    if facts.began is None or facts.ended is None:
        return ""
    same_day = facts.began.date() == facts.ended.date()
    return (
        f"{stamp(facts.began)} to {facts.ended:%H:%M} UTC"
        if same_day
        else f"from {stamp(facts.began)} UTC"
    )


def stamp(time: datetime) -> str:
    """A date and time, to the minute."""
    return f"{time:%Y-%m-%d %H:%M}"


def banners(facts: Facts) -> Iterator[str]:
    """What a reader must know before anything else."""
    condition = facts.record.condition()
    finished = sum(trial.state in FINISHED for trial in facts.trials)
    if condition.startswith("running"):
        yield (
            f"The search is running: {finished} of {facts.space.budget.trials} trials are "
            "finished so far."
        )
    elif condition.startswith("dead"):
        yield "The search was killed: its launcher ended without a word. --resume goes on with it."
    elif condition == "interrupted":
        yield (
            f"The search was interrupted after {finished} of {facts.space.budget.trials} "
            "trials. --resume goes on."
        )
    elif not facts.trials:
        yield "The search never started: there is no trial."
    if facts.trials and not finished:
        yield "No trial is finished yet."
    if facts.trials and facts.best is None:
        yield "No trial has a finite value, so there is no best and little to draw."
    if problem := task_problem(facts):
        yield (
            "The task can't be imported here, which this report doesn't need, but training "
            f"again does: {problem}"
        )
    gone = [
        trial.number
        for trial in facts.trials
        if trial.values and not _has_metrics(facts, trial.number)
    ]
    if gone:
        yield (
            f"The metrics files of {len(gone)} of {len(facts.trials)} trials are gone. The values "
            "below come from the journal; how long single epochs took is not known for these."
        )


def _has_metrics(facts: Facts, number: int) -> bool:
    return facts.record.folder.trial(number).metrics.exists()


def task_problem(facts: Facts) -> str | None:
    """Why the task can't be imported, if it can't."""
    import_from(facts.record.description.import_paths)
    try:
        load_task(facts.space.task)
    except TaskError as error:
        return str(error)
    return None


def about(facts: Facts) -> list[tuple[str, str]]:
    """What was searched, by what code and on what, as far as the study notes it."""
    space, origin = facts.space, dict(facts.record.description.origin)
    search = space.search
    versions = origin.pop("versions", {})
    rows = [
        ("task", space.task),
        ("objective", facts.objective.text),
        ("sampler", search.sampler),
        ("early stopping", _stopping_text(facts)),
        ("budget", _budget_text(facts)),
        ("resources of a trial", _resources_text(facts)),
        ("seed", str(space.seed)),
        ("begun", str(origin.pop("begun", "not noted"))),
        ("first trial began", f"{facts.began:%Y-%m-%d %H:%M:%S} UTC" if facts.began else "never"),
        ("last trial ended", f"{facts.ended:%Y-%m-%d %H:%M:%S} UTC" if facts.ended else "never"),
        ("command", str(origin.pop("command", "not noted"))),
        ("commit", str(origin.pop("commit", None) or "not noted")),
        ("versions", versions_text(versions)),
        ("hardware", versions_text(origin.pop("hardware", "not noted by this study"))),
        ("state", facts.record.condition()),
    ]
    return [*rows, *((str(name), versions_text(value)) for name, value in origin.items())]


def versions_text(versions: object) -> str:
    """Names and versions on one line."""
    return (
        ", ".join(f"{k} {v}" for k, v in versions.items())
        if isinstance(versions, dict)
        else str(versions)
    )


def _stopping_text(facts: Facts) -> str:
    search = facts.space.search
    if search.scheduler == "none":
        return "none: every trial has the full budget"
    if search.scheduler == "median":
        return f"the median of the others, from epoch {search.grace_epochs}"
    rungs = ", ".join(map(str, facts.space.rungs)) or "none"
    if search.scheduler == "freeze_thaw":
        return f"freeze and thaw: a model of the curves says who goes on, at epochs {rungs}"
    name = {"asha": "ASHA"}.get(search.scheduler, search.scheduler)
    return f"{name}, about 1 in {search.reduction} goes on from each rung (epochs {rungs})"


def _budget_text(facts: Facts) -> str:
    budget = facts.space.budget
    limit = f", {duration(budget.time_s)} of each launch" if budget.time_s else ""
    return budget_text(facts.space) + limit


def _resources_text(facts: Facts) -> str:
    resources = facts.space.resources
    text = f"{value_text(resources.cpus)} CPUs, {value_text(resources.gpus)} GPUs"
    return text + (f", by {resources.workers} workers" if resources.workers > 1 else "")
