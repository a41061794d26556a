"""What `confirm.json` of a study says of one trial, in words."""

import json
import math
from collections.abc import Mapping
from typing import Any

from results.read import StudyRecord
from results.study_folder import StudyError
from results.text import metric_text

NUMBERS = ("mean", "low", "high", "test_value")


def confirmed_text(record: StudyRecord, number: int) -> str:
    """What a trial reached with fresh seeds; empty if it wasn't confirmed.

    Raises:
        StudyError: when the file is damaged.
    """
    path = record.folder.confirmed
    if not path.exists():
        return ""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [one for one in content["candidates"] if one.get("trial") == number]
        return _text(content, found[0], record.description.objective.name) if found else ""
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise StudyError(f"{path} is damaged: {type(error).__name__}: {error}; confirm again, or remove it") from error


def _text(content: Mapping[str, Any], candidate: Mapping[str, Any], objective: str) -> str:
    mean, low, high, test = (_number(candidate, name) for name in NUMBERS)
    seeds, confidence = _number(content, "seeds"), _number(content, "confidence")
    texts = []
    if mean is not None:
        share = "" if confidence is None else f"{confidence:.0%} "
        interval = "" if low is None or high is None else f", {share}interval {metric_text(low)} to {metric_text(high)}"
        count = "fresh seeds" if seeds is None else f"{seeds:g} fresh seed{'' if seeds == 1 else 's'}"
        texts.append(f"Trained again with {count}: mean {objective} {metric_text(mean)}{interval}")
    if test is not None:
        texts.append(f"On the test split: {objective} {metric_text(test)}")
    if verdict := " ".join(str(content.get("verdict") or "").split()):
        texts.append(f"Verdict on the candidates: {verdict.rstrip('.')}")
    return "".join(f"{text}. " for text in texts).rstrip()


def _number(told: Mapping[str, Any], name: str) -> float | None:
    value = told.get(name)
    if value is not None and (isinstance(value, bool) or not math.isfinite(value)):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return value
