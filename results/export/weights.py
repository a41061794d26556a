"""A model's weights as safetensors: tensors and a few texts, and no code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from results.export.export import Export
from results.study.folder import StudyError
from trainables.parts.weights import EXPORTED
from trainables.trial_folder import write_atomically

WEIGHTS = EXPORTED
FORMAT = "1"
REST_KEY = "not_tensors"  # what else the state dict holds, as JSON


def weights_notes(export: Export) -> dict[str, str]:
    """What stands beside the tensors: whose they are, and that PyTorch is to read them."""
    job, best = export.job, export.best
    return {
        "format": "pt",
        "rungs_format": FORMAT,
        "task": job.task,
        "study": export.study,
        "trial": str(best.number),
        "epoch": str(best.epoch),
        "objective": job.objective.name,
        "value": repr(best.value),
    }


def write_weights(state: Mapping[str, Any], export: Export, path: Path) -> None:
    """Write a state dict.

    Tensors that share memory (tied weights) are each written whole, so that every name is there to
    be loaded strictly. Plain values among the tensors (a module's extra state) become JSON beside
    them.

    Raises:
        ValueError: when the state holds what neither can hold without change; nothing is written.
    """
    try:
        tensors = {
            name: value.clone(memory_format=torch.contiguous_format)
            for name, value in state.items()
            if isinstance(value, Tensor)
        }
        rest = {name: value for name, value in state.items() if name not in tensors}
        content = in_one_order(save(tensors, weights_notes(export) | _rest_note(rest)))
    except (KeyError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"safetensors can't hold all of its state: {type(error).__name__}: {error}"
        ) from error
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def in_one_order(content: bytes) -> bytes:
    """A safetensors file whose notes are sorted, as the library writes them in any order.

    The format: eight bytes that tell the header's length, the header (JSON, filled up by blanks),
    the tensors.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _rest_note(rest: dict[str, Any]) -> dict[str, str]:
    text = json.dumps(rest)
    if json.loads(text) != rest:
        raise ValueError(f"{', '.join(rest)} would change as JSON")
    return {REST_KEY: text} if rest else {}


def read_weights(export: Export, path: Path) -> dict[str, Any]:
    """The state dict in a file.

    Raises:
        StudyError: when the file is damaged, or another export's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            notes = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        rest = json.loads(notes.pop(REST_KEY, "{}"))
        state |= rest
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise StudyError(f"{path} is damaged: {error}; export again") from error
    if differing := _differing(notes, weights_notes(export)):
        raise StudyError(
            f"{path} is not the model of the configuration beside it: {differing}; export again"
        )
    return state


def are_written(export: Export, path: Path) -> bool:
    """Whether this export's weights lie there already, whole."""
    try:
        return bool(read_weights(export, path))
    except StudyError:
        return False


def _differing(got: Mapping[str, str], expected: Mapping[str, str]) -> str:
    wrong = [
        f"its {key} must be {value}, got {got.get(key)}"
        for key, value in expected.items()
        if got.get(key) != value
    ]
    return ", ".join(wrong)
