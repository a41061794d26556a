"""`confirm.json`: what the best configurations reached when trained again on fresh seeds."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from results.study.folder import StudyError, StudyFolder
from results.study.journal_fields import (
    NUMBER,
    TEXT,
    VALUE,
    WHOLE,
    Kind,
    list_of,
    or_null,
    wrong_fields,
)
from results.text import metric_text
from search_spaces.problems import show
from search_spaces.space import DIRECTIONS
from trainables.trial_folder import write_text_atomically


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfirmedCandidate:
    """A configuration that was trained again.

    Attributes:
        name: What to call it: `trial 7`, `start point 0`.
        trial: The search's, in which it was tried.
        searched_value: What the search found of it.
        values: The best epoch's value of each training that had one.
        mean: Their mean; None without any.
        low: The lower end of the mean's confidence interval; None for fewer than two values.
        high: The upper end.
        test_value: The objective on the test split; None if there is no such split.
        test_metrics: All metrics there; NaN where the split lacks a class that one of them is
            about.
    """

    name: str
    trial: int
    searched_value: float
    values: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None
    test_value: float | None
    test_metrics: Mapping[str, float]

    @property
    def interval(self) -> str:
        """Both ends of the confidence interval; empty if there is none."""
        return (
            ""
            if self.low is None or self.high is None
            else f"{metric_text(self.low)} to {metric_text(self.high)}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimism:
    """What the search said of its best, and what fresh seeds say of the same one."""

    searched: float
    fresh_mean: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """What `confirm.json` says.

    Attributes:
        trainings: The name of the small study that it comes from.
        objective: The metric's name.
        direction: Which way is better: maximize or minimize.
        seeds: How often each candidate was trained.
        confidence: Of the intervals and the verdict, 0 to 1.
        verdict: Which candidate is the best, or which can't be told from it.
        test_split_read: When the test split was read, each time.
        candidates: The configurations, the best mean first.
        optimism: How good the search's best looked, and is; None without any value.
    """

    trainings: str
    objective: str
    direction: str
    seeds: int
    confidence: float
    verdict: str
    test_split_read: tuple[str, ...]
    candidates: tuple[ConfirmedCandidate, ...]
    optimism: Optimism | None

    @property
    def winner(self) -> ConfirmedCandidate | None:
        """The candidate with the best mean; None if no training had a value."""
        return self.candidates[0] if self.candidates[0].mean is not None else None

    @property
    def optimism_text(self) -> str:
        """How much too good the search's best value was; empty if that isn't known."""
        if self.optimism is None:
            return ""
        searched, fresh = self.optimism.searched, self.optimism.fresh_mean
        gain = searched - fresh if self.direction == "maximize" else fresh - searched
        return (
            f"the search's best value was {metric_text(searched)}, on fresh seeds it is "
            f"{metric_text(fresh)}: "
            f"the search was {metric_text(abs(gain))} too {'good' if gain >= 0 else 'modest'}"
        )

    def write(self, folder: StudyFolder) -> None:
        """Write the file, or renew it."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        write_text_atomically(folder.confirmed, text)


def read_confirmation(folder: StudyFolder) -> Confirmation | None:
    """What a study's `confirm.json` says; None if there is none.

    Raises:
        StudyError: when the file is damaged.
    """
    path = folder.confirmed
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # A lone surrogate can't be shown or written.
        json.dumps(content, ensure_ascii=False).encode("utf-8")
        return _confirmation(content)
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"{path} is damaged: {error}; remove it, and confirm again") from error


def _confirmation(content: Any) -> Confirmation:
    fields = _checked(content, _CONFIRMATION)
    optimism = fields["optimism"]
    fields["test_split_read"] = tuple(fields["test_split_read"])
    fields["candidates"] = tuple(map(_candidate, fields["candidates"]))
    fields["optimism"] = None if optimism is None else Optimism(**_checked(optimism, _OPTIMISM))
    return Confirmation(**fields)


def _candidate(content: Any) -> ConfirmedCandidate:
    fields = _checked(content, _CANDIDATE)
    fields["values"] = tuple(fields["values"])
    return ConfirmedCandidate(**fields)


def _checked(content: Any, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The fields of an object, each of its kind."""
    if not isinstance(content, dict):
        raise ValueError(f"it and its candidates must be objects, got {show(content)}")
    if lost := [key for key in kinds if key not in content]:
        raise ValueError(f"it lacks {', '.join(lost)}")
    if wrong := wrong_fields(content, kinds):
        raise ValueError(wrong[0])
    return {key: content[key] for key in kinds}


_CONFIRMATION = {
    "trainings": TEXT,
    "objective": TEXT,
    "direction": Kind(lambda value: value in DIRECTIONS, " or ".join(DIRECTIONS)),
    "seeds": WHOLE,
    "confidence": NUMBER,
    "verdict": TEXT,
    "test_split_read": list_of(TEXT, "a list of texts"),
    "candidates": Kind(
        lambda value: isinstance(value, list) and bool(value), "a list that is not empty"
    ),
    "optimism": Kind(lambda value: value is None or isinstance(value, dict), "null or an object"),
}
_CANDIDATE = {
    "name": TEXT,
    "trial": WHOLE,
    "searched_value": NUMBER,
    "values": list_of(NUMBER, "a list of finite numbers"),
    "mean": or_null(NUMBER),
    "low": or_null(NUMBER),
    "high": or_null(NUMBER),
    "test_value": or_null(VALUE),
    "test_metrics": Kind(
        lambda value: isinstance(value, dict) and all(map(VALUE.holds, value.values())),
        "an object of numbers",
    ),
}
_OPTIMISM = {"searched": NUMBER, "fresh_mean": NUMBER}
