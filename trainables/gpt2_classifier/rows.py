"""Token sequences read from files, and laid one behind the other, four bytes a token.

Millions of tokens pass through here one line at a time, so a row is a plain list for a moment and
all that is asked of it is asked of Python's own fast list methods.
"""

import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.config import TaskError
from trainables.gpt2_classifier.vocabulary import Vocabulary
from trainables.parts.lists import is_list, read_table

FACTS = ("labels", "cls", "last", "length")
UNGROUPED = -1


class Rows:
    """Sequences one behind the other, and facts of each.

    Args:
        vocabulary: Whose ids the tokens are.
    """

    def __init__(self, vocabulary: Vocabulary):
        self._cls, self._eos = vocabulary["<CLS>"], vocabulary["<EOS>"]
        self._values = {name: array("i") for name in ("tokens", "group", *FACTS)}
        self._groups: dict[str, int] = {}

    def add(self, row: list[int], label: int, group: str | None = None) -> None:
        """Take a row that has a `<CLS>`, its class, and what it belongs to."""
        last = len(row) - 1
        if self._eos in row:
            last -= row[::-1].index(self._eos)
        self._values["tokens"].fromlist(row)
        facts = (label, row.index(self._cls), last, len(row))
        for name, fact in zip(FACTS, facts, strict=True):
            self._values[name].append(fact)
        number = UNGROUPED if group is None else self._groups.setdefault(group, len(self._groups))
        self._values["group"].append(number)

    def tensors(self) -> dict[str, Tensor]:
        """As 32-bit numbers: `tokens` of all rows in one, and for each row what `FACTS` names.

        These are its class, where `<CLS>` stands, where `<EOS>` stands (the last of several; else
        the last position), and its length. `group` has the number of what each belongs to, or
        `UNGROUPED`.
        """
        arrays = {name: np.asarray(values) for name, values in self._values.items()}
        return {name: torch.from_numpy(values) for name, values in arrays.items()}


def read_rows(path: Path, vocabulary: Vocabulary, max_tokens: int) -> Rows:
    """The rows of a JSON-lines, CSV or Parquet file; of longer ones the last `max_tokens` tokens.

    Raises:
        TaskError: names the file and the line, or row, of the first that can't be used.
    """
    rows, reader = Rows(vocabulary), LineReader(vocabulary, max_tokens)
    lines: Iterable[str | dict[str, Any]] = read_table(path) if is_list(path) else _lines(path)
    for number, line in enumerate(lines, start=1):
        if isinstance(line, str) and line.isspace():
            continue
        try:
            rows.add(*reader.read(line))
        except ValueError as error:
            raise TaskError(f"{path}:{number}: {error}") from error
    return rows


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            yield from lines
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: can't be read: {error}") from error


def _with_numbers(row: dict[str, Any]) -> dict[str, Any]:
    """A table's row with the numbers that a CSV file has as texts."""
    texts = {key: row[key] for key in ("input_ids", "label") if isinstance(row.get(key), str)}
    return row | {key: json.loads(text) for key, text in texts.items()}


class LineReader:
    """Makes token ids, a class and a group of a line, or of a table's row, and checks them.

    Args:
        vocabulary: Whose tokens they are.
        max_tokens: How many of the last tokens are kept.
    """

    def __init__(self, vocabulary: Vocabulary, max_tokens: int):
        self._vocabulary, self._max_tokens = vocabulary, max_tokens
        self._pad, self._cls = vocabulary["<PAD>"], vocabulary["<CLS>"]
        self._unknown = vocabulary["<UNK>"]
        self._label_ids = frozenset(vocabulary.label_ids)

    def read(self, line: str | dict[str, Any]) -> tuple[list[int], int, str | None]:
        """The tokens that are kept, the class, and what the line belongs to.

        Raises:
            ValueError: with the rule that the line breaks, and how.
        """
        if isinstance(line, str):
            record = json.loads(line.removesuffix("\n"))
        else:
            record = _with_numbers(line)
        if not isinstance(record, dict) or ("input_ids" in record) == ("tokens" in record):
            raise ValueError('each line is an object with either "input_ids" or "tokens"')
        row = self._ids(record.get("input_ids", record.get("tokens")))
        while row and row[-1] == self._pad:
            row.pop()
        label, classes = record.get("label"), len(self._label_ids)
        if type(label) is not int or not 0 <= label < classes:
            rule = f'"label" must be a whole number from 0 to {classes - 1}'
            raise ValueError(f"{rule}, got {label!r}")
        group = record.get("group")
        return self._checked(row[-self._max_tokens :]), label, None if group is None else str(group)

    def _ids(self, tokens: Any) -> list[int]:
        if isinstance(tokens, str):
            ids, unknown = self._vocabulary.ids, self._unknown
            return [ids.get(name, unknown) for name in tokens.split()]
        if not isinstance(tokens, list) or not set(map(type, tokens)) <= {int}:
            raise ValueError("tokens must be text or a list of whole numbers")
        size = self._vocabulary.size
        if tokens and not (min(tokens) >= 0 and max(tokens) < size):
            outside = next(token for token in tokens if not 0 <= token < size)
            raise ValueError(f"token ids must be from 0 to {size - 1}, got {outside}")
        return tokens

    def _checked(self, row: list[int]) -> list[int]:
        """The row, if a model can learn from it without being told its label."""
        if not self._label_ids.isdisjoint(row):
            leak = self._vocabulary.label_ids.index(min(self._label_ids.intersection(row)))
            raise ValueError(f"the label token <CLS_{leak}> stands in the input: a leak")
        if self._pad in row:
            raise ValueError("<PAD> stands inside the sequence; it may only fill the end")
        count = row.count(self._cls)
        if count != 1:
            raise ValueError(
                f"exactly one <CLS> must be among the tokens that are kept, got {count}"
            )
        return row
