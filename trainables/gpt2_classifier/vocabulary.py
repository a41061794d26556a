"""Token names and their ids, as `vocab.json` has them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from trainables.config import TaskError

SPECIAL_TOKENS = ("<PAD>", "<UNK>", "<CLS>", "<EOS>")
GREATEST_ID = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Token ids, and those of them that have a meaning of their own.

    Attributes:
        ids: Token name to id.
        label_ids: The ids of `<CLS_0>`, `<CLS_1>`, ...; one for each class.
        size: One more than the largest id.
    """

    ids: dict[str, int]
    label_ids: tuple[int, ...]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", max(self.ids.values()) + 1)

    def __getitem__(self, token: str) -> int:
        return self.ids[token]


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a `vocab.json`, a map from token name to id.

    Raises:
        TaskError: when it is no such map, ids repeat, or a special or label token is missing.
    """
    try:
        ids = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    if not isinstance(ids, dict) or not all(map(_is_id, ids.values())):
        raise TaskError(f"{path}: must map token names to whole numbers from 0 to {GREATEST_ID}")
    if len(set(ids.values())) < len(ids):
        raise TaskError(f"{path}: two tokens have the same id")
    return vocabulary_of(ids, str(path))


def vocabulary_of(ids: dict[str, int], source: str) -> Vocabulary:
    """The vocabulary of these ids.

    Raises:
        TaskError: names the special and label tokens that `source` lacks.
    """
    classes = 0
    while f"<CLS_{classes}>" in ids:
        classes += 1
    missing = [name for name in (*SPECIAL_TOKENS, "<CLS_0>", "<CLS_1>") if name not in ids]
    if missing:
        raise TaskError(f"{source}: lacks {', '.join(missing)}")
    return Vocabulary(ids=ids, label_ids=tuple(ids[f"<CLS_{i}>"] for i in range(classes)))


def _is_id(value: object) -> bool:
    return type(value) is int and 0 <= value <= GREATEST_ID


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise TaskError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: can't be read: {error}") from error
