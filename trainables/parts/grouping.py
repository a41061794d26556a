"""Splits that tear no group apart: the images of one scene, near-duplicates, pages of one book.

Where a group is in training and in validation, a model is judged by what it has seen.

Shapes: N samples.
"""

import re
import warnings
from collections.abc import Collection, Mapping, Sequence, Set
from itertools import combinations, pairwise

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trainables.config import TaskError
from trainables.parts.data import SPLIT_NAMES, Rows, stratified_split

FOLDS = (10, 5, 3)
NEAR_BITS = 5  # Photographs that are saved again, resized or brightened differ in no more.
HASH_SIDE = 8
ROWS_AT_ONCE = 1024

Pairs = list[tuple[int, int]]
"""Rows that belong together."""


def grouped_split(
    labels: Sequence[int],
    groups: Sequence[int] | None,
    seed: int,
    names: Sequence[str] | None = None,
) -> Rows:
    """Row numbers of train, validation and test, with no group in two of them.

    They are about 80 / 10 / 10, with the share of each class in all three, as far as the groups
    let. (One of scikit-learn's `StratifiedGroupKFold` validates, one tests; where ten folds would
    leave a class out of a split, there are five or three.)

    Args:
        labels: Each row's class.
        groups: Each row's group; None: every row is one, see `stratified_split`.
        seed: Decides which groups go where.
        names: Of the classes by number, for the message; default: the numbers.

    Raises:
        ValueError: when a class has too few groups; names those with the fewest.
    """
    if groups is None:
        return stratified_split(labels, seed, names)
    labels_N, groups_N = np.array(labels), np.array(groups)
    for folds in FOLDS:
        for validation, test in combinations(_folds(labels_N, groups_N, folds, seed), 2):
            train = np.setdiff1d(np.arange(len(labels_N)), np.concatenate([validation, test]))
            if all(_has_all(labels_N, rows) for rows in (train, validation, test)):
                parts = (train, validation, test)
                return {n: rows.tolist() for n, rows in zip(SPLIT_NAMES, parts, strict=True)}
    raise ValueError(
        "every class needs samples in at least 3 groups, one for each of train, validation and "
        f"test, got {_group_counts(labels_N, groups_N, names)}"
    )


def _folds(labels_N: np.ndarray, groups_N: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """The rows of each fold; none where there are too few."""
    from sklearn.model_selection import StratifiedGroupKFold  # It takes a second to import.

    if len(np.unique(groups_N)) < folds:
        return []
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That a class has fewer rows than there are folds.
        try:
            return [rows for _, rows in splitter.split(labels_N, labels_N, groups_N)]
        except ValueError:
            return []


def _has_all(labels_N: np.ndarray, rows: np.ndarray) -> bool:
    return len(np.unique(labels_N[rows])) == len(np.unique(labels_N))


def _group_counts(labels_N: np.ndarray, groups_N: np.ndarray, names: Sequence[str] | None) -> str:
    counts = {label: len(np.unique(groups_N[labels_N == label])) for label in np.unique(labels_N)}
    fewest = sorted(counts, key=lambda label: counts[label])[:3]
    texts = [
        f"{counts[label]} of {names[label] if names else f'class {label}'}" for label in fewest
    ]
    return ", ".join(texts) or "no sample at all"


def joined(count: int, *relations: Pairs) -> list[int]:
    """The number of each row's group: rows that a chain of pairs connects are in one."""
    pairs = np.array([pair for relation in relations for pair in relation], dtype=int)
    first_P, second_P = pairs.reshape(-1, 2).T
    graph = coo_array((np.ones(len(first_P)), (first_P, second_P)), shape=(count, count))
    groups: list[int] = connected_components(graph, directed=False)[1].tolist()
    return groups


def same(keys: Sequence[object | None]) -> Pairs:
    """Pairs that connect the rows of each key; rows without one stay by themselves."""
    rows: dict[object, list[int]] = {}
    for row, key in enumerate(keys):
        if key is not None:
            rows.setdefault(key, []).append(row)
    return [pair for own in rows.values() for pair in pairwise(own)]


def named_groups(names: Sequence[str], pattern: str) -> list[str | None]:
    """What a regular expression finds in each name: its first group, else all that it matches.

    Raises:
        TaskError: when it is found in no name.
    """
    found = [re.search(pattern, name) for name in names]
    if not any(found):
        raise TaskError(
            f"data.group_pattern {pattern!r} is in none of the names, such as {names[0]!r}"
        )
    return [match and (match[1] if match.re.groups else match[0]) for match in found]


def difference_hash(image: Image.Image) -> np.ndarray:
    """Sixty-four bits, as bytes [8], that nearly the same images share most of.

    Each says whether a pixel of a tiny grey version is darker than its right neighbour (Krawetz
    2013, https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html).
    """
    grey = image.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.LANCZOS)
    values_HW = np.asarray(grey)
    return np.packbits(values_HW[:, :-1] < values_HW[:, 1:])


def near_duplicates(hashes_N8: np.ndarray) -> Pairs:
    """Pairs of rows whose hashes differ in `NEAR_BITS` of 64 bits at most.

    Of rows with the very same hash only neighbours are paired. The time grows with the square of
    the number of different hashes: twenty thousand take some seconds.
    """
    hashes_N = np.ascontiguousarray(hashes_N8).view(np.uint64).ravel()
    unique_U, first_U = np.unique(hashes_N, return_index=True)
    pairs = same(hashes_N.tolist())
    for start in range(0, len(unique_U), ROWS_AT_ONCE):
        block_B = unique_U[start : start + ROWS_AT_ONCE]
        near_BU = np.bitwise_count(block_B[:, None] ^ unique_U) <= NEAR_BITS
        pairs += [
            (int(first_U[start + row]), int(first_U[other]))
            for row, other in np.argwhere(near_BU).tolist()
            if start + row < other
        ]
    return pairs


def shared_out(count: int, cut: Rows | None, given: Collection[str]) -> Rows:
    """Which of the training samples go to which split, where some splits have samples of their own.

    Args:
        count: How many samples there are to share out.
        cut: How they would be split if there were no others; None where all splits are given.
        given: The splits that have samples of their own; what would be theirs stays in training.
    """
    if cut is None:
        return {"train": list(range(count))}
    held_out = [name for name in SPLIT_NAMES if name != "train"]
    stays = [row for name in held_out if name in given for row in cut[name]]
    own = {name: cut[name] for name in held_out if name not in given}
    return {"train": cut["train"] + stays, **own}


def torn_apart(groups: Mapping[str, Set[object]]) -> str | None:
    """A warning of groups that are in two of the splits that somebody has made; None if none is."""
    torn = {
        f"{first} and {second}": len(groups[first] & groups[second])
        for first, second in combinations(groups, 2)
        if groups[first] & groups[second]
    }
    if not torn:
        return None
    counts = ", ".join(f"{count} in {where}" for where, count in torn.items())
    return f"data: groups are in two splits, which makes scores too good: {counts}"
