"""Labelled token sequences: the JSON-lines format with its `vocab.json`, and scikit-learn's digits as sequences."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.config import TaskError
from trainables.data import Splits, TensorSplit, balanced_weights, stratified_split

IGNORED = -100
SPECIAL_TOKENS = ("<PAD>", "<UNK>", "<CLS>", "<EOS>")
DIGIT_LEVELS = 17


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Token ids that have a meaning of their own.

    Attributes:
        ids: Token name to id.
        label_ids: The ids of `<CLS_0>`, `<CLS_1>`, ...; one for each class.
    """

    ids: dict[str, int]
    label_ids: tuple[int, ...]

    @property
    def size(self) -> int:
        """One more than the largest id."""
        return max(self.ids.values()) + 1

    def __getitem__(self, token: str) -> int:
        return self.ids[token]


@dataclass(frozen=True, kw_only=True, eq=False)
class SequenceSplits(Splits):
    """Splits of sequences, with their vocabulary and the length of the longest.

    Each split's tensors: `tokens` [N, T] (right-padded), `labels` [N] (class), `cls` [N] (position of `<CLS>`),
    `last` [N] (position of `<EOS>`, else of the last token that is not PAD), `length` [N].
    """

    vocabulary: Vocabulary
    max_tokens: int


@lru_cache(maxsize=4)
def digit_sequences(seed: int, weighted: bool) -> SequenceSplits:
    """scikit-learn's 1,797 8x8 digits: 64 grey levels 0-16 as tokens, then `<CLS>` and `<EOS>`; 10 classes."""
    from sklearn.datasets import load_digits

    vocabulary = digit_vocabulary()
    digits = load_digits()
    first_level = vocabulary["0"]
    ending = [vocabulary["<CLS>"], vocabulary["<EOS>"]]
    rows = [[first_level + int(level) for level in image] + ending for image in digits.data]
    return _split(rows, digits.target.tolist(), vocabulary, max_tokens=66, seed=seed, weighted=weighted)


def digit_vocabulary() -> Vocabulary:
    """Specials, the 17 grey levels as tokens "0" to "16", and one label token for each digit."""
    names = [*SPECIAL_TOKENS, *map(str, range(DIGIT_LEVELS)), *(f"<CLS_{digit}>" for digit in range(10))]
    return _vocabulary({name: i for i, name in enumerate(names)}, "the digits' vocabulary")


@lru_cache(maxsize=4)
def jsonl_sequences(path: Path, vocabulary_path: Path, max_tokens: int, seed: int, weighted: bool) -> SequenceSplits:
    """Sequences from a JSON-lines file: `{"input_ids": [...], "label": 3}` or `{"tokens": "A B" or [...], "label": 3}`.

    A sequence longer than `max_tokens` keeps its end. Token names that the vocabulary lacks become `<UNK>`.

    Raises:
        TaskError: names the file and line of whatever can't be used, such as a label token among the inputs (a leak).
    """
    vocabulary = read_vocabulary(vocabulary_path)
    rows, labels = [], []
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row, label = _read_line(line, vocabulary)
            rows.append(_checked(row[-max_tokens:], vocabulary))
            labels.append(label)
        except ValueError as error:
            raise TaskError(f"{path}:{number}: {error}") from error
    try:
        return _split(rows, labels, vocabulary, max_tokens=max_tokens, seed=seed, weighted=weighted)
    except ValueError as error:
        raise TaskError(f"{path}: {error}") from error


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a `vocab.json`, a map from token name to id.

    Raises:
        TaskError: when it is no such map, ids repeat, or a special or label token is missing.
    """
    try:
        ids = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    if not isinstance(ids, dict) or not all(type(value) is int and value >= 0 for value in ids.values()):
        raise TaskError(f"{path}: must map token names to whole numbers from 0")
    if len(set(ids.values())) < len(ids):
        raise TaskError(f"{path}: two tokens have the same id")
    return _vocabulary(ids, str(path))


def _vocabulary(ids: dict[str, int], source: str) -> Vocabulary:
    classes = 0
    while f"<CLS_{classes}>" in ids:
        classes += 1
    missing = [name for name in (*SPECIAL_TOKENS, "<CLS_0>", "<CLS_1>") if name not in ids]
    if missing:
        raise TaskError(f"{source}: lacks {', '.join(missing)}")
    return Vocabulary(ids=ids, label_ids=tuple(ids[f"<CLS_{i}>"] for i in range(classes)))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise TaskError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: can't be read: {error}") from error


def _read_line(line: str, vocabulary: Vocabulary) -> tuple[list[int], int]:
    record = json.loads(line)
    if not isinstance(record, dict) or ("input_ids" in record) == ("tokens" in record):
        raise ValueError('each line is an object with either "input_ids" or "tokens"')
    row = _token_ids(record.get("input_ids", record.get("tokens")), vocabulary)
    while row and row[-1] == vocabulary["<PAD>"]:
        row.pop()
    label, classes = record.get("label"), len(vocabulary.label_ids)
    if type(label) is not int or not 0 <= label < classes:
        raise ValueError(f'"label" must be a whole number from 0 to {classes - 1}, got {label!r}')
    return row, label


def _token_ids(tokens: Any, vocabulary: Vocabulary) -> list[int]:
    if isinstance(tokens, str):
        return [vocabulary.ids.get(name, vocabulary["<UNK>"]) for name in tokens.split()]
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
        raise ValueError("tokens must be text or a list of whole numbers")
    outside = [token for token in tokens if not 0 <= token < vocabulary.size]
    if outside:
        raise ValueError(f"token ids must be from 0 to {vocabulary.size - 1}, got {outside[0]}")
    return list(tokens)


def _checked(row: list[int], vocabulary: Vocabulary) -> list[int]:
    """The row, if a model can learn from it without being told its label."""
    leaks = sorted(set(row) & set(vocabulary.label_ids))
    if leaks:
        raise ValueError(f"the label token <CLS_{vocabulary.label_ids.index(leaks[0])}> stands in the input: a leak")
    if vocabulary["<PAD>"] in row:
        raise ValueError("<PAD> stands inside the sequence; it may only fill the end")
    if row.count(vocabulary["<CLS>"]) != 1:
        raise ValueError(
            f"exactly one <CLS> must be among the tokens that are kept, got {row.count(vocabulary['<CLS>'])}"
        )
    return row


def _split(
    rows: list[list[int]], labels: list[int], vocabulary: Vocabulary, *, max_tokens: int, seed: int, weighted: bool
) -> SequenceSplits:
    train, validation, test = stratified_split(labels, seed)

    def split(chosen: list[int], weighted: bool = False) -> TensorSplit:
        return _as_tensors([rows[i] for i in chosen], [labels[i] for i in chosen], vocabulary, weighted)

    return SequenceSplits(
        train=split(train, weighted),
        validation=split(validation),
        test=lambda: split(test),
        vocabulary=vocabulary,
        max_tokens=max_tokens,
    )


def _as_tensors(rows: list[list[int]], labels: list[int], vocabulary: Vocabulary, weighted: bool) -> TensorSplit:
    tokens = [torch.tensor(row) for row in rows]
    lengths_N = torch.tensor([len(row) for row in rows])
    labels_N = torch.tensor(labels)
    tensors: dict[str, Tensor] = {
        "tokens": torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=vocabulary["<PAD>"]),
        "labels": labels_N,
        "cls": torch.tensor([row.index(vocabulary["<CLS>"]) for row in rows]),
        "last": torch.tensor([_last_position(row, vocabulary["<EOS>"]) for row in rows]),
        "length": lengths_N,
    }
    weights_N = balanced_weights(labels_N) if weighted else None
    return TensorSplit(tensors=tensors, lengths_N=lengths_N, weights_N=weights_N)


def _last_position(row: list[int], eos: int) -> int:
    """Where `<EOS>` stands (the last, if several), else the last position."""
    return max((i for i, token in enumerate(row) if token == eos), default=len(row) - 1)
