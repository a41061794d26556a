"""Labelled token sequences: JSON lines with their `vocab.json`, and scikit-learn's digits.

A file is read once on a machine. Its rows lie packed in the cache folder, one behind the other, as
they may take far more room when they are right-padded. Each process pads those of its splits.

Shapes: N rows, T tokens.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainables.config import TaskError
from trainables.gpt2_classifier.rows import FACTS, Rows, read_rows
from trainables.gpt2_classifier.vocabulary import (
    SPECIAL_TOKENS,
    Vocabulary,
    read_vocabulary,
    vocabulary_of,
)
from trainables.parts.data import Splits, TensorSplit, balanced_weights, stratified_split
from trainables.parts.packing import packed_file
from trainables.trial_folder import save_state

IGNORED = -100
DIGIT_LEVELS = 17


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
    return weighed(split_of(rows.tensors(), vocabulary, max_tokens=66, seed=seed), weighted)


def digit_vocabulary() -> Vocabulary:
    """Specials, the 17 grey levels as tokens "0" to "16", and one label token for each digit."""
    names = [
        *SPECIAL_TOKENS,
        *map(str, range(DIGIT_LEVELS)),
        *(f"<CLS_{digit}>" for digit in range(10)),
    ]
    return vocabulary_of({name: i for i, name in enumerate(names)}, "the digits' vocabulary")


@lru_cache(maxsize=2)
def jsonl_sequences(
    path: Path, vocabulary_path: Path, max_tokens: int, seed: int, weighted: bool
) -> SequenceSplits:
    """Sequences from a JSON-lines file.

    A line is `{"input_ids": [...], "label": 3}` or `{"tokens": "A B" or [...], "label": 3}`.

    A sequence longer than `max_tokens` keeps its end. Token names that the vocabulary lacks become
    `<UNK>`.

    Raises:
        TaskError: names the file and line of whatever can't be used, such as a label token among
            the inputs (a leak).
    """
    return weighed(_jsonl_splits(path, vocabulary_path, max_tokens, seed), weighted)


@lru_cache(maxsize=2)  # apart from the weights, so that both samplers share one padded copy
def _jsonl_splits(path: Path, vocabulary_path: Path, max_tokens: int, seed: int) -> SequenceSplits:
    vocabulary = read_vocabulary(vocabulary_path)
    if not path.exists():
        raise TaskError(f"{path}: no such file")
    packed = packed_file(
        [path, vocabulary_path],
        lambda target: save_state(read_rows(path, vocabulary, max_tokens).tensors(), target),
        how=f"sequences, the last {max_tokens} tokens",
        ending=".pt",
    )
    rows = torch.load(packed, mmap=True, weights_only=True)
    try:
        return split_of(rows, vocabulary, max_tokens=max_tokens, seed=seed)
    except ValueError as error:
        raise TaskError(f"{path}: {error}") from error


def split_of(
    rows: dict[str, Tensor],
    vocabulary: Vocabulary,
    *,
    max_tokens: int,
    seed: int,
) -> SequenceSplits:
    """Stratified splits of what `Rows.tensors` gave; the test split is padded when it is opened.

    Raises:
        ValueError: when a class has too few rows.
    """
    parts = stratified_split(rows["labels"].tolist(), seed)
    pad = vocabulary["<PAD>"]
    return SequenceSplits(
        train=padded(rows, parts["train"], pad),
        validation=padded(rows, parts["validation"], pad),
        test=lambda: padded(rows, parts["test"], pad),
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
