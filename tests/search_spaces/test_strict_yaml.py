"""Proves that strict YAML never guesses: it agrees with PyYAML or refuses.

pytest tests/search_spaces
"""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Mapping, SpaceError, dump_yaml, read_value, read_yaml


def problems_of(folder: Path, content: str | bytes) -> list[str]:
    file = folder / "f.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SpaceError) as caught:
        read_yaml(file)
    return caught.value.problems


REFUSED = {
    "1e-5": "write 1.0e-05",
    "1e5": "write 100000.0",
    "1.5e3": "write 1500.0",
    "-.5": "write -0.5",
    "1_000": "write 1000",
    "1_0.5": "write 10.5",
    "012": "leading zero",
    "08": "leading zero",
    "0x1F": "write it in decimal",
    "0b11": "write it in decimal",
    "0o17": "write it in decimal",
    "1:30": "base 60",
    "01:30": "base 60",
    "1:30.5": "base 60",
    "yes": "true or false",
    "NO": "true or false",
    "On": "true or false",
    "oFF": "true or false",
    "tRUE": "is a text to YAML",
    "None": "is a text to YAML",
    "nan": "not a finite number",
    ".NaN": "not a finite number",
    "-inf": "not a finite number",
    "+.inf": "not a finite number",
    "Infinity": "not a finite number",
    "1.0e+999": "too large",
    "9223372036854775808": "too large",
    "9" * 5000: "too large",
    "2024-01-31": "is a date",
    "2024-1-31 10:00:00": "is a date",
    "١٢": "looks like a number",
    "&x 1": "anchors and aliases",
    "!!python/object:os.system x": "tags are refused",
    "!!int '3'": "tags are refused",
    "!mine {a: 1}": "tags are refused",
    r'"\ud800"': "surrogate",
    "{yes: 1}": "true or false",
    "{1: 2}": "a key must be a text, got a number",
    "{null: 2}": "a key must be a text, got nothing",
    "{true: 2}": "a key must be a text, got true or false",
    "{[a]: 2}": "a key must be a text, got a list",
    "{{a: 1}: 2}": "a key must be a text, got a mapping",
    "{b: 1, b: 2}": "the key b is already given at f.yaml:2",
    "{<<: {b: 1}}": "is a merge key",
}


@pytest.mark.parametrize("value", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    problems = problems_of(tmp_path, f"# first\na: {value}\nlast: 1\n")
    assert len(problems) == 1
    assert problems[0].startswith("f.yaml:2: ")
    assert REFUSED[value] in problems[0]


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "f.yaml:1: the file must hold a YAML mapping, got nothing"),
    "comment": ("# nothing\n", "f.yaml:1: the file must hold a YAML mapping, got nothing"),
    "list": ("- a\n", "f.yaml:1: the file must hold a YAML mapping, got a list"),
    "text": ("a\n", "f.yaml:1: the file must hold a YAML mapping, got a text"),
    "two documents": ("a: 1\n---\nb: 1\n", "f.yaml:2: one file must hold one document"),
    "tab": ("a:\n\tb: 1\n", "f.yaml:2: not valid YAML: "),
    "unclosed": (
        "a: 1\nb: [1,\nc: 2\n",
        "f.yaml:4: not valid YAML: while parsing a flow sequence from line 2, ",
    ),
    "control character": ("a: 1\nb: \x07\n", "f.yaml:2: not valid YAML: "),
    "not utf-8": (b"a: 1\nb: \xff\n", "f.yaml:2: the file must be UTF-8, got the byte 0xff"),
    "utf-16": ("a: 1".encode("utf-16"), "f.yaml:1: the file must be UTF-8"),
    "escape out of range": ('a: 1\nb: "\\UFFFFFFFF"\n', "f.yaml:"),
    "deep": ("a: " + "[" * 30 + "]" * 30, "f.yaml:1: not valid YAML: nested more than 20 deep"),
    "very deep": ("a: " + "[" * 100_000, "f.yaml:1: not valid YAML: nested more than 20 deep"),
    "alias": ("a: 1\nb: *x\n", "f.yaml:2: anchors and aliases"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_readable_mapping_is_refused(tmp_path: Path, name: str) -> None:
    content, told = BROKEN[name]
    problems = problems_of(tmp_path, content)
    assert len(problems) == 1
    assert problems[0].startswith(told)


def test_a_missing_file_a_folder_and_an_impossible_name_are_refused(tmp_path: Path) -> None:
    for path, told in (
        (tmp_path / "no", "no such file"),
        (tmp_path, "got a folder"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(SpaceError, match=told):
            read_yaml(path)


def test_every_mistake_is_told_also_those_before_a_syntax_error(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "a: yes\nb: 012\nc: ]\n")
    assert [problem.split(" ")[0] for problem in problems] == [
        "f.yaml:1:",
        "f.yaml:2:",
        "f.yaml:3:",
    ]


def test_each_key_knows_where_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "ein „Raum“ 'x'.yaml"
    file.write_text("# first\na: 1\nb:\n  c: [{d: 2}]\n", encoding="utf-8-sig")
    read = read_yaml(file)
    assert read == {"a": 1, "b": {"c": [{"d": 2}]}}
    assert read.where == {"a": f"{file.name}:2", "b": f"{file.name}:3"}
    assert isinstance(read["b"]["c"][0], Mapping)
    assert read["b"].where == {"c": f"{file.name}:4"}


def test_quoted_scalars_are_plain_texts() -> None:
    for text in ("1e-5", "yes", "012", "null", "2024-01-31", "<<", ""):
        assert read_value(f"'{text}'", "x") == text
        assert read_value(f'"{text}"', "x") == text


def test_a_value_names_its_place_and_must_not_be_empty() -> None:
    assert read_value("[1, 2.5e-3, true, null, attn]", "x") == [1, 0.0025, True, None, "attn"]
    assert read_value("null", "x") is None
    for text in ("", "  ", "1e-5", "[", "# note"):
        with pytest.raises(SpaceError, match=r"^--set lr: "):
            read_value(text, "--set lr")


@given(st.one_of(st.text("0123456789.eE+-_:xXoObBnaifNtTruyYs~ ", max_size=8), st.text(max_size=6)))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_a_scalar_is_what_pyyaml_reads_or_is_refused(text: str) -> None:
    try:
        value = read_value(text, "x")
    except SpaceError:
        return
    loaded = yaml.safe_load(text)
    assert value == loaded
    assert type(value) is type(loaded) or isinstance(value, dict)


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.text("0123456789.eE+-_:nofys'\"#~ ", max_size=6),
)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=6),
        PLAIN | st.lists(PLAIN, max_size=3),
        max_size=4,
    )
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_what_is_dumped_is_read_back(values: dict[str, object]) -> None:
    assert read_value(dump_yaml(values), "x") == values
