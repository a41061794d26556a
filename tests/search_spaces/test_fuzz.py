"""Proves that any text, however mangled, is a space or is refused with places.

pytest tests/search_spaces
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_spaces import SpaceError, dump_yaml, load_space, read_yaml, space_from_mapping
from search_spaces.suggest import corners, distribution

TEXT = """\
task: digits
objective: {maximize: acc}
parameters:
  lr: {float: [1.0e-5, 0.01], log: true}
  mix: {float: [0, 1], step: 0.25}
  head: {choice: [a, b]}
  dim: {int: [2, 8], step: 2, when: {head: [b]}}
fixed: {size: 64}
start:
- {head: b, dim: 4}
search: {grace_epochs: 1}
budget: {trials: 8, max_epochs: 9, time: 1h}
seed: 0
"""
SCALARS = [
    *(
        "0",
        "-1",
        "1",
        "2",
        "1.0",
        "1e-5",
        "012",
        "yes",
        "null",
        "true",
        ".inf",
        "nan",
        "1e999",
        "9" * 20,
        "1:30",
        "2024-01-01",
    ),
    *(
        "a",
        "b",
        "lr",
        "dim",
        "''",
        "'1'",
        "1h",
        "0s",
        "1.0e+308",
        "-1.0e+308",
        "5.0e-324",
        "💥",
        "\ufeff",
        "\ud7ff",
    ),
    *(
        "[]",
        "{}",
        "[1]",
        "{a: 1}",
        "[[1]]",
        "*x",
        "&x",
        "~",
        "<<",
        "=",
        "|",
        ">",
        "!!str",
        "!!python/object:x",
        "---",
        "...",
    ),
    *("?", ":", ",", "#", "%", "@", "`", "-", "\\", '"', "'", "\t", "\0", ""),
]
TOKENS = [
    token
    for line in TEXT.splitlines()
    for token in line.replace("[", " ").replace("{", " ").split()
]
NUMBER = st.integers(0, 10_000)
MUTATION = st.tuples(st.integers(0, 6), NUMBER, NUMBER, st.sampled_from([*SCALARS, *TOKENS]))


def mutate(text: str, kind: int, at: int, to: int, scalar: str) -> str:
    """Delete, double or replace a line; delete, insert or replace a character.

    Or replace a word.
    """
    lines = text.splitlines(keepends=True) or ["\n"]
    row, column = at % len(lines), at % (len(text) + 1)
    if kind < 3:
        lines[row : row + 1] = ([], [lines[row]] * 2, [lines[to % len(lines)]])[kind]
        return "".join(lines)
    if kind < 6:
        return text[:column] + ("", scalar, scalar)[kind - 3] + text[column + (kind != 4) :]
    return text.replace(TOKENS[at % len(TOKENS)].rstrip(",:]}"), scalar, 1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "s.yaml"


@pytest.mark.slow
@given(st.lists(MUTATION, min_size=1, max_size=3))
@settings(
    max_examples=1500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
def test_a_mangled_space_loads_or_names_the_places_of_its_mistakes(
    file: Path, mutations: list[tuple[int, int, int, str]]
) -> None:
    text = TEXT
    for mutation in mutations:
        text = mutate(text, *mutation)
    file.write_text(text, encoding="utf-8")
    try:
        space = load_space(file)
    except SpaceError as error:
        assert error.problems
        assert all(problem.startswith("s.yaml:") for problem in error.problems)
        return
    file.write_text(dump_yaml(space.to_dict()), encoding="utf-8")
    assert space_from_mapping(read_yaml(file), name=space.name, file=file) == space
    assert list(corners(space))
    assert all(distribution(parameter) for parameter in space.parameters)
