"""Labelled token sequences: files with their `vocab.json`, and scikit-learn's digits.

A file is read once on a machine. Its rows lie packed in the cache folder, one behind the other, as
they may take far more room when they are right-padded. Each process pads those of its splits.

Shapes: N rows, T tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from trainables.config import TaskError
from trainables.gpt2_classifier.rows import FACTS, UNGROUPED, Rows, read_rows
from trainables.gpt2_classifier.vocabulary import (
    SPECIAL_TOKENS,
    Vocabulary,
    read_vocabulary,
    vocabulary_of,
)
from trainables.parts.data import SPLIT_NAMES, Splits, TensorSplit, balanced_weights
from trainables.parts.data import Rows as Split
from trainables.parts.grouping import grouped_split, shared_out
from trainables.parts.lists import LIST_ENDINGS, split_paths
from trainables.parts.packing import packed_file
from trainables.trial_folder import save_state

IGNORED = -100
DIGIT_LEVELS = 17
SEQUENCE_ENDINGS = (".jsonl", *LIST_ENDINGS)


@dataclass(frozen=True, kw_only=True, eq=False)
class SequenceSplits(Splits):
    """Splits of sequences, with their vocabulary and the length of the longest.

    Each split's tensors: `tokens` [N, T] (right-padded), `labels` [N] (class), `cls` [N] (position
    of `<CLS>`), `last` [N] (position of `<EOS>`, else of the last token that is not PAD), `length`
    [N].
    """

    vocabulary: Vocabulary
    max_tokens: int


@lru_cache(maxsize=4)
def digit_sequences(seed: int, weighted: bool) -> SequenceSplits:
    """scikit-learn's 1,797 8x8 digits: 64 grey levels 0-16 as tokens, then `<CLS>` and `<EOS>`.

    10 classes.
    """
    from sklearn.datasets import load_digits

    vocabulary, digits = digit_vocabulary(), load_digits()
    first_level = vocabulary["0"]
    rows = Rows(vocabulary)
    for image, label in zip(digits.data, digits.target, strict=True):
        levels = [first_level + int(level) for level in image]
        rows.add([*levels, vocabulary["<CLS>"], vocabulary["<EOS>"]], int(label))
    tensors = rows.tensors()
    splits = split_of(tensors, cut_of(tensors, seed), vocabulary, max_tokens=66)
    return weighed(splits, weighted)


def digit_vocabulary() -> Vocabulary:
    """Specials, the 17 grey levels as tokens "0" to "16", and one label token for each digit."""
    names = [
        *SPECIAL_TOKENS,
        *map(str, range(DIGIT_LEVELS)),
        *(f"<CLS_{digit}>" for digit in range(10)),
    ]
    return vocabulary_of({name: i for i, name in enumerate(names)}, "the digits' vocabulary")


@lru_cache(maxsize=2)
def read_sequences(
    path: Path, vocabulary_path: Path, max_tokens: int, seed: int, weighted: bool
) -> SequenceSplits:
    """Sequences from a JSON-lines, CSV or Parquet file, or from a folder with one for each split.

    A line is `{"input_ids": [...], "label": 3}` or `{"tokens": "A B" or [...], "label": 3}`; a
    table has these as columns. Lines with the same `group` are in one split. Files of splits are
    called `train.jsonl`, `val.jsonl` and `test.jsonl`; what is missing is cut from training.

    A sequence longer than `max_tokens` keeps its end. Token names that the vocabulary lacks become
    `<UNK>`.

    Raises:
        TaskError: names the file and line of whatever can't be used, such as a label token among
            the inputs (a leak).
    """
    return weighed(_read_splits(path, vocabulary_path, max_tokens, seed), weighted)


@lru_cache(maxsize=2)  # apart from the weights, so that both samplers share one padded copy
def _read_splits(path: Path, vocabulary_path: Path, max_tokens: int, seed: int) -> SequenceSplits:
    vocabulary = read_vocabulary(vocabulary_path)

    def rows_of(file: Path) -> dict[str, Tensor]:
        packed = packed_file(
            [file, vocabulary_path],
            lambda target: save_state(read_rows(file, vocabulary, max_tokens).tensors(), target),
            how=f"sequences 2, the last {max_tokens} tokens",
            ending=".pt",
        )
        rows: dict[str, Tensor] = torch.load(packed, mmap=True, weights_only=True)
        return rows

    files = files_of_splits(path)
    own = {split: partial(rows_of, file) for split, file in files.items() if split != "train"}
    rows = rows_of(files["train"])
    try:
        cut = None if len(files) == len(SPLIT_NAMES) else cut_of(rows, seed)
    except ValueError as error:
        raise TaskError(f"{path}: {error}") from error
    return split_of(rows, cut, vocabulary, max_tokens=max_tokens, own=own)


def files_of_splits(path: Path) -> dict[str, Path]:
    """The files of a folder's splits; of a file, that it is for training.

    Raises:
        TaskError: when there is none for training.
    """
    files = split_paths(path, SEQUENCE_ENDINGS) if path.is_dir() else {"train": path}
    if not files:
        raise TaskError(f"{path}: must hold a file train ({', '.join(SEQUENCE_ENDINGS)})")
    if not files["train"].exists():
        raise TaskError(f"{path}: no such file")
    return files


def cut_of(rows: dict[str, Tensor], seed: int) -> Split:
    """Stratified row numbers of the three splits, with no group in two of them.

    Raises:
        ValueError: when a class has too few rows, or groups.
    """
    group_N, alone_N = rows["group"].long(), torch.arange(len(rows["group"]))
    is_grouped_N = group_N != UNGROUPED
    groups = torch.where(is_grouped_N, group_N, len(group_N) + alone_N).tolist()
    return grouped_split(rows["labels"].tolist(), groups if is_grouped_N.any() else None, seed)


def split_of(
    rows: dict[str, Tensor],
    cut: Split | None,
    vocabulary: Vocabulary,
    *,
    max_tokens: int,
    own: Mapping[str, Callable[[], dict[str, Tensor]]] = MappingProxyType({}),
) -> SequenceSplits:
    """Splits of what `Rows.tensors` gave; the test split is read and padded when it is opened.

    Args:
        rows: The training rows, and those of the splits without a file.
        cut: How they are split; None where all have files.
        vocabulary: Of the tokens.
        max_tokens: Of a row.
        own: Reads the rows of each split that has a file of its own.
    """
    pad, taken = vocabulary["<PAD>"], shared_out(len(rows["labels"]), cut, own)

    def part(name: str) -> TensorSplit:
        if name not in own:
            return padded(rows, taken[name], pad)
        theirs = own[name]()
        return padded(theirs, list(range(len(theirs["labels"]))), pad)

    return SequenceSplits(
        train=part("train"),
        validation=part("validation"),
        test=lambda: part("test"),
        vocabulary=vocabulary,
        max_tokens=max_tokens,
    )


def weighed(splits: SequenceSplits, weighted: bool) -> SequenceSplits:
    """The splits, with classes drawn equally in training if that is wanted."""
    if not weighted:
        return splits
    weights_N = balanced_weights(splits.train.tensors["labels"])
    return replace(splits, train=replace(splits.train, weights_N=weights_N))


def padded(rows: dict[str, Tensor], selected: list[int], pad: int) -> TensorSplit:
    """The selected ones of what `Rows.tensors` gave, their tokens right-padded to the longest."""
    selected_N = torch.tensor(selected)
    facts = {name: rows[name][selected_N].long() for name in FACTS}
    tokens, lengths = rows["tokens"].numpy(), facts["length"].tolist()
    ends = rows["length"].cumsum(0)[selected_N].tolist()
    tokens_NT = np.full((len(selected), max(lengths)), pad, dtype=np.int64)
    for row_T, end, length in zip(tokens_NT, ends, lengths, strict=True):
        row_T[:length] = tokens[end - length : end]
    tensors = {"tokens": torch.from_numpy(tokens_NT), **facts}
    return TensorSplit(tensors=tensors, lengths_N=facts["length"])
