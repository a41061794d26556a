"""What a comparison keeps: JSON lines, one for each search and one for each training."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from benchmarks.search.rows import mend
from search_spaces import Space


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        space: The space's name.
        way: How it was searched.
        seed: The search's.
        study: A digest of the space as it was searched: another one is searched anew.
        values: The winner's configuration, without what is fixed.
        value: What the search saw of it.
        trials: How many reported.
        epochs: How many all of them reported.
    """

    space: str
    way: str
    seed: int
    study: str
    values: dict[str, Any]
    value: float
    trials: int
    epochs: int


class Key(NamedTuple):
    """A training. What is the same one is run once, whoever suggested it.

    Attributes:
        space: The space's name.
        configuration: A digest of all values and of the number of epochs; or the name of something
            that is not trained.
        split: Seed of the data's splits.
        seed: Number of the fresh seed.
    """

    space: str
    configuration: str
    split: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What a training reached.

    Attributes:
        key: Which training it is.
        epoch: Its best one.
        validation: The metrics after it.
        test: Those of that epoch's model on the test split.
    """

    key: Key
    epoch: int
    validation: Mapping[str, float]
    test: Mapping[str, float]


RowT = TypeVar("RowT", Found, Trained)
FILES = {Found: "searches.jsonl", Trained: "trainings.jsonl"}


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of rows; of two rows of the same thing the later one counts."""

    folder: Path

    def found(self) -> dict[tuple[str, str, int], Found]:
        """By space, way and seed."""
        rows = [Found(**row) for row in self._read(Found)]
        return {(row.space, row.way, row.seed): row for row in rows}

    def trained(self) -> dict[Key, Trained]:
        """By key."""
        rows = [Trained(**{**row, "key": Key(*row["key"])}) for row in self._read(Trained)]
        return {row.key: row for row in rows}

    def add(self, row: Found | Trained) -> None:
        """Add a row; it is in the file afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._file(type(row)).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(row)) + "\n")

    def mend(self) -> None:
        """Take away last lines that were cut off."""
        for kind in FILES:
            mend(self._file(kind))

    def _file(self, kind: type[Found] | type[Trained]) -> Path:
        return self.folder / FILES[kind]

    def _read(self, kind: type[Found] | type[Trained]) -> list[dict[str, Any]]:
        file = self._file(kind)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]


def digest(content: object) -> str:
    """A short text that differs where plain values do."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def configuration_of(space: Space, values: Mapping[str, Any]) -> str:
    """The digest of a configuration of a space, by which its trainings are known."""
    return digest([space.task, {**space.fixed, **values}, space.budget.max_epochs])
