"""Proves that sequence files are read as written or refused with file and line.

pytest tests/trainables
"""

import csv
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
import torch

from trainables.config import TaskError
from trainables.gpt2_classifier import sequences
from trainables.gpt2_classifier.rows import read_rows
from trainables.gpt2_classifier.sequences import (
    SequenceSplits,
    digit_sequences,
    digit_vocabulary,
    read_sequences,
)
from trainables.gpt2_classifier.vocabulary import read_vocabulary
from trainables.parts.data import TensorSplit, stratified_split
from trainables.parts.packing import cache_folder

IDS = {
    "<PAD>": 0,
    "<UNK>": 1,
    "<CLS>": 4,
    "<EOS>": 5,
    "A": 10,
    "B": 11,
    "C": 12,
    "<CLS_0>": 20,
    "<CLS_1>": 21,
}
GOOD = [{"tokens": f"A B{' C' * (i % 3)} <CLS> <EOS>", "label": i % 2} for i in range(40)]

Read = Callable[..., SequenceSplits]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNGS_CACHE", str(tmp_path / "cache 'Ω'"))


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes records (or raw lines) and the vocabulary, and reads them."""

    def write_and_read(
        lines: list[Any], *, max_tokens: int = 16, weighted: bool = False
    ) -> SequenceSplits:
        folder = Path(mkdtemp(dir=tmp_path)) / "data 'Ω'"  # what was read is cached by its path
        folder.mkdir()
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (folder / "s.jsonl").write_text(text, encoding="utf-8")
        (folder / "vocab.json").write_text(json.dumps(IDS), encoding="utf-8")
        return read_sequences(folder / "s.jsonl", folder / "vocab.json", max_tokens, 0, weighted)

    return write_and_read


def rows_of(splits: SequenceSplits) -> list[tuple[list[int], int, int, int]]:
    """Every row's real tokens, label, and positions of <CLS> and last."""
    rows = []
    for split in (splits.train, splits.validation, splits.test()):
        tensors = split.tensors
        for tokens, length, label, cls, last in zip(
            *(tensors[name].tolist() for name in ("tokens", "length", "labels", "cls", "last")),
            strict=True,
        ):
            assert set(tokens[length:]) <= {0}, "padding stands on the right, and is <PAD>"
            rows.append((tokens[:length], label, cls, last))
    return rows


def row_for(read: Read, record: dict[str, Any], **more: Any) -> tuple[list[int], int, int, int]:
    """What becomes of one record among 41, of which no other starts with its first kept token."""
    others = [{"tokens": "A <CLS>", "label": i % 2} for i in range(40)]
    (found,) = [row for row in rows_of(read([*others, record], **more)) if row[0] != [10, 4]]
    return found


# Tables, groups, splits ---------------------------------------------------------------------------


def first_tokens(splits: SequenceSplits) -> list[list[int]]:
    """The first token of each row of each split."""
    parts = (splits.train, splits.validation, splits.test())
    return [part.tensors["tokens"][:, 0].tolist() for part in parts]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files 'Ω'"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(IDS), encoding="utf-8")
    return folder


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


@pytest.mark.parametrize("column", ["tokens", "input_ids"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_are_read_like_json_lines(
    read: Read, folder: Path, column: str, ending: str
) -> None:
    lines = [{**row, "group": f"g{i // 4}"} for i, row in enumerate(GOOD)]
    if column == "input_ids":
        lines = [
            {**{k: v for k, v in row.items() if k != "tokens"}, "input_ids": [10, i % 7 + 6, 4, 5]}
            for i, row in enumerate(lines)
        ]
    if ending == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(lines), folder / "s.parquet")
    else:
        with (folder / "s.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
    table = read_sequences(folder / f"s.{ending}", folder / "vocab.json", 16, 0, False)
    assert rows_of(table) == rows_of(read(lines))


def test_a_group_is_in_one_split(read: Read) -> None:
    """The first token tells the group."""
    lines = [
        {"input_ids": [6 + i % 12, 4, 5], "label": i % 2, "group": i % 12} for i in range(48)
    ] + [{"tokens": "<CLS>", "label": i % 2} for i in range(8)]
    train, validation, test = (Counter(tokens) for tokens in first_tokens(read(lines)))
    for token in range(6, 18):
        counts = [part[token] for part in (train, validation, test)]
        assert sorted(counts) == [0, 0, 4]
    assert train[4] + validation[4] + test[4] == 8


@pytest.mark.parametrize("has_test", [True, False])
def test_each_split_may_have_a_file_and_that_of_the_test_is_read_when_it_is_opened(
    folder: Path, has_test: bool
) -> None:
    row = {"label": 0, "tokens": "A <CLS>"}
    write_lines(folder / "train.jsonl", [{**row, "label": i % 2} for i in range(20)])
    write_lines(folder / "val.jsonl", [{**row, "tokens": "B <CLS>"}])
    if has_test:
        (folder / "test.jsonl").write_text("no sequence")
    splits = read_sequences(folder, folder / "vocab.json", 16, 0, False)
    assert splits.validation.tensors["tokens"].tolist() == [[11, 4]]
    if has_test:
        assert len(splits.train) == 20
        with pytest.raises(TaskError, match=r"test\.jsonl:1: "):
            splits.test()
    else:
        assert (len(splits.train), len(splits.test())) == (18, 2)


def test_a_folder_without_a_training_file_is_told(folder: Path) -> None:
    with pytest.raises(TaskError, match=r"must hold a file train \(\.jsonl, \.csv, \.parquet\)"):
        read_sequences(folder, folder / "vocab.json", 16, 0, False)


# What is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tokens",
    [
        {"tokens": "B C <CLS> <EOS>"},
        {"tokens": [11, 12, 4, 5]},
        {"input_ids": [11, 12, 4, 5]},
        {"input_ids": [11, 12, 4, 5, 0, 0, 0]},
        {"tokens": " B  C\t<CLS> <EOS> <PAD>"},
    ],
)
def test_all_forms_read_the_same(read: Read, tokens: dict[str, Any]) -> None:
    assert row_for(read, {**tokens, "label": 1}) == ([11, 12, 4, 5], 1, 2, 3)


def test_an_unknown_name_becomes_unk(read: Read) -> None:
    assert row_for(read, {"tokens": "B Ω <CLS>", "label": 0})[0] == [11, 1, 4]


def test_a_long_sequence_keeps_its_end(read: Read) -> None:
    tokens = "B " * 30 + "C <CLS> A <EOS>"
    assert row_for(read, {"tokens": tokens, "label": 0}, max_tokens=5) == (
        [11, 12, 4, 10, 5],
        0,
        2,
        4,
    )


def test_padding_is_stripped_before_the_end_is_kept(read: Read) -> None:
    assert row_for(read, {"input_ids": [11, 12, 4, 0, 0], "label": 0}, max_tokens=3)[0] == [
        11,
        12,
        4,
    ]


def test_last_is_the_last_eos_or_else_the_last_token(read: Read) -> None:
    assert row_for(read, {"tokens": "B <EOS> <CLS> <EOS> C", "label": 0})[3] == 3
    assert row_for(read, {"tokens": "B <CLS> C", "label": 0})[3] == 2


def test_a_label_token_that_is_cut_off_leaks_nothing(read: Read) -> None:
    assert row_for(read, {"tokens": "<CLS_0> B <CLS>", "label": 0}, max_tokens=2)[0] == [11, 4]


def test_blank_lines_are_skipped_and_line_separators_are_text(read: Read) -> None:
    raw = '{"tokens": "B \u2028 <CLS>", "note": "a\u0085b", "label": 0}'
    rows = rows_of(read([*GOOD, "", "  ", raw]))
    assert len(rows) == 41
    assert sum(row[0] == [11, 4] for row in rows) == 1


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, GOOD)), encoding="utf-8-sig")
    (tmp_path / "vocab.json").write_text(json.dumps(IDS), encoding="utf-8-sig")
    assert (
        len(rows_of(read_sequences(tmp_path / "s.jsonl", tmp_path / "vocab.json", 16, 0, False)))
        == 40
    )


def test_no_row_is_lost(read: Read) -> None:
    lengths = Counter(len(row[0]) for row in rows_of(read(GOOD)))
    assert lengths == Counter(4 + i % 3 for i in range(40))


# What is refused ----------------------------------------------------------------------------------

BAD_LINES = {
    '{"tokens": "A <CLS>", "label": 0': "Expecting",
    "[1, 2]": 'each line is an object with either "input_ids" or "tokens"',
    '{"label": 0}': 'each line is an object with either "input_ids" or "tokens"',
    '{"tokens": "A <CLS>", "input_ids": [10, 4], "label": 0}': "either",
    '{"tokens": "A <CLS>", "label": 2}': '"label" must be a whole number from 0 to 1, got 2',
    '{"tokens": "A <CLS>", "label": -1}': '"label" must be a whole number from 0 to 1, got -1',
    '{"tokens": "A <CLS>", "label": true}': "got True",
    '{"tokens": "A <CLS>", "label": 1.0}': "got 1.0",
    '{"tokens": "A <CLS>", "label": "1"}': "got '1'",
    '{"tokens": "A <CLS>"}': "got None",
    '{"tokens": "A B", "label": 0}': "exactly one <CLS> must be among the tokens that are kept, "
    "got 0",
    '{"tokens": "A <CLS> B <CLS>", "label": 0}': "exactly one <CLS> must be among the tokens that "
    "are kept, got 2",
    '{"tokens": "", "label": 0}': "got 0",
    '{"input_ids": [], "label": 0}': "got 0",
    '{"input_ids": [0, 0], "label": 0}': "got 0",
    '{"input_ids": [10, 4, 22], "label": 0}': "token ids must be from 0 to 21, got 22",
    '{"input_ids": [10, 4, -1], "label": 0}': "token ids must be from 0 to 21, got -1",
    '{"input_ids": [true, 4], "label": 0}': "tokens must be text or a list of whole numbers",
    '{"input_ids": [1.5, 4], "label": 0}': "tokens must be text or a list of whole numbers",
    '{"input_ids": ["A", 4], "label": 0}': "tokens must be text or a list of whole numbers",
    '{"input_ids": null, "label": 0}': "tokens must be text or a list of whole numbers",
    '{"tokens": "A <CLS> <CLS_1>", "label": 1}': "the label token <CLS_1> stands in the input: a "
    "leak",
    '{"input_ids": [10, 4, 20], "label": 1}': "the label token <CLS_0> stands in the input: a leak",
    '{"tokens": "A <PAD> <CLS>", "label": 1}': "<PAD> stands inside the sequence",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_is_told_with_file_and_line(read: Read, line: str) -> None:
    with pytest.raises(TaskError) as caught:
        read([*GOOD[:3], "", line, *GOOD[3:]])
    assert "data 'Ω'/s.jsonl:5: " in str(caught.value)
    assert BAD_LINES[line] in str(caught.value)


def test_cls_lost_by_truncation_is_refused(read: Read) -> None:
    with pytest.raises(TaskError, match=r"s.jsonl:41: exactly one <CLS>"):
        read([*GOOD, {"tokens": "<CLS> A B C A B", "label": 0}], max_tokens=5)


@pytest.mark.parametrize(
    "lines", [[], GOOD[:4], [{"tokens": "A <CLS>", "label": 0}] * 40 + GOOD[1:2]]
)
def test_too_few_rows_of_a_class_are_refused(read: Read, lines: list[Any]) -> None:
    with pytest.raises(
        TaskError, match=r"s\.jsonl: every class needs at least 3 samples, one for each of .*, got "
    ):
        read(lines)


def test_files_that_cannot_be_read_are_refused(read: Read, tmp_path: Path) -> None:
    vocabulary = tmp_path / "vocab.json"
    vocabulary.write_text(json.dumps(IDS))
    with pytest.raises(TaskError, match=r"absent\.jsonl: no such file"):
        read_sequences(tmp_path / "absent.jsonl", vocabulary, 16, 0, False)
    (tmp_path / "latin.jsonl").write_bytes('{"tokens": "é <CLS>", "label": 0}'.encode("latin-1"))
    with pytest.raises(TaskError, match=r"latin\.jsonl: can't be read"):
        read_sequences(tmp_path / "latin.jsonl", vocabulary, 16, 0, False)


BAD_VOCABULARIES = {
    json.dumps(
        {k: v for k, v in IDS.items() if k not in ("<CLS>", "<CLS_1>")}
    ): "lacks <CLS>, <CLS_1>",
    json.dumps(IDS | {"A": 11}): "two tokens have the same id",
    json.dumps(IDS | {"A": "10"}): "must map token names to whole numbers from 0",
    json.dumps(IDS | {"A": True}): "must map token names to whole numbers from 0",
    json.dumps(IDS | {"A": -1}): "must map token names to whole numbers from 0",
    "[1, 2]": "must map token names to whole numbers from 0",
    "{}": "lacks <PAD>, <UNK>, <CLS>, <EOS>, <CLS_0>, <CLS_1>",
    '{"A":\n': "not JSON",
    "": "not JSON",
}


@pytest.mark.parametrize("text", BAD_VOCABULARIES)
def test_a_bad_vocabulary_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(text)
    with pytest.raises(TaskError, match=r"vocab\.json") as caught:
        read_vocabulary(path)
    assert BAD_VOCABULARIES[text] in str(caught.value)


def test_label_ids_stand_in_the_order_of_the_classes(tmp_path: Path) -> None:
    path = tmp_path / "vocab.json"
    labels = {f"<CLS_{i}>": 515 - i for i in range(10)}
    path.write_text(json.dumps({"<PAD>": 0, "<UNK>": 1, "<CLS>": 4, "<EOS>": 5} | labels))
    vocabulary = read_vocabulary(path)
    assert vocabulary.label_ids == tuple(range(515, 505, -1))
    assert vocabulary.size == 516


# Splits -------------------------------------------------------------------------------------------


def test_the_test_split_is_padded_only_when_opened(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = read(GOOD)
    made: list[int] = []
    monkeypatch.setattr(sequences, "padded", lambda rows, chosen, pad: made.append(len(chosen)))
    assert made == []
    splits.test()
    assert made == [4]


def test_only_training_is_sampled_by_class(read: Read) -> None:
    splits = read(GOOD, weighted=True)
    assert splits.train.weights_N is not None
    assert splits.validation.weights_N is None
    assert splits.test().weights_N is None


def test_both_samplers_share_one_padded_copy(tmp_path: Path) -> None:
    path, vocabulary_path = write_files(tmp_path, GOOD)
    plain, weighted = (
        read_sequences(path, vocabulary_path, 16, 0, wanted) for wanted in (False, True)
    )
    assert weighted.train.tensors["tokens"] is plain.train.tensors["tokens"]


# Packed rows --------------------------------------------------------------------------------------


def write_files(folder: Path, records: list[dict[str, Any]]) -> tuple[Path, Path]:
    path, vocabulary_path = folder / "s.jsonl", folder / "vocab.json"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    vocabulary_path.write_text(json.dumps(IDS), encoding="utf-8")
    return path, vocabulary_path


def random_records(seed: int) -> list[dict[str, Any]]:
    """Both forms, of many lengths; one <CLS> each near the end, some with <EOS> and padding."""
    random = np.random.default_rng(seed)
    records = []
    for i in range(60):
        names = random.choice(["A", "B", "C", "Ω", "<EOS>"], random.integers(0, 30)).tolist()
        names.insert(max(0, len(names) - int(random.integers(0, 3))), "<CLS>")
        names += ["<PAD>"] * int(random.integers(0, 3))
        ids = [IDS.get(name, IDS["<UNK>"]) for name in names]
        records.append(
            {"tokens": " ".join(names), "label": i % 2}
            if i % 3
            else {"input_ids": ids, "label": i % 2}
        )
    return records


def reference(records: list[dict[str, Any]], max_tokens: int) -> list[dict[str, torch.Tensor]]:
    """The three splits by a plain reader that keeps Python lists."""
    rows = []
    for record in records:
        ids = record.get("input_ids") or [
            IDS.get(name, IDS["<UNK>"]) for name in record["tokens"].split()
        ]
        rows.append([token for token in ids if token != IDS["<PAD>"]][-max_tokens:])
    labels = [record["label"] for record in records]
    splits = []
    for chosen in stratified_split(labels, 0).values():
        own = [rows[i] for i in chosen]
        ends = [
            [i for i, token in enumerate(row) if token == IDS["<EOS>"]] or [len(row) - 1]
            for row in own
        ]
        splits.append(
            {
                "tokens": torch.nn.utils.rnn.pad_sequence(
                    [torch.tensor(row) for row in own], batch_first=True
                ),
                "labels": torch.tensor([labels[i] for i in chosen]),
                "cls": torch.tensor([row.index(IDS["<CLS>"]) for row in own]),
                "last": torch.tensor([places[-1] for places in ends]),
                "length": torch.tensor([len(row) for row in own]),
            }
        )
    return splits


@pytest.mark.parametrize("max_tokens", [4, 16, 64])
def test_tensors_are_those_of_a_plain_reader(max_tokens: int, tmp_path: Path) -> None:
    records = random_records(max_tokens)
    splits = read_sequences(*write_files(tmp_path, records), max_tokens, 0, False)
    found = [splits.train, splits.validation, splits.test()]
    for split, expected in zip(found, reference(records, max_tokens), strict=True):
        assert split.tensors.keys() == expected.keys()
        for name, tensor in expected.items():
            assert split.tensors[name].dtype == tensor.dtype
            assert torch.equal(split.tensors[name], tensor), name
        assert split.lengths_N is not None
        assert torch.equal(split.lengths_N, expected["length"])


def forget() -> None:
    """As another process would begin."""
    read_sequences.cache_clear()
    sequences._read_splits.cache_clear()


def test_a_file_is_read_once_on_a_machine_and_again_when_it_or_a_setting_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def counted(path: Path, vocabulary: Any, max_tokens: int) -> Any:
        reads.append(max_tokens)
        return read_rows(path, vocabulary, max_tokens)

    monkeypatch.setattr(sequences, "read_rows", counted)
    path, vocabulary_path = write_files(tmp_path, GOOD)
    for seed, max_tokens in ((0, 16), (1, 16), (0, 8)):
        read_sequences(path, vocabulary_path, max_tokens, seed, False)
        forget()
    assert reads == [16, 8]
    write_files(tmp_path, [*GOOD, *GOOD])
    assert len(rows_of(read_sequences(path, vocabulary_path, 16, 0, False))) == 80
    forget()
    vocabulary_path.write_text(json.dumps(IDS | {"Ω": 13}), encoding="utf-8")
    assert read_sequences(path, vocabulary_path, 16, 0, False).vocabulary.ids["Ω"] == 13
    assert reads == [16, 8, 16, 16]


def test_a_bad_file_is_told_every_time_and_leaves_nothing_packed(tmp_path: Path) -> None:
    path, vocabulary_path = write_files(tmp_path, [*GOOD, {"tokens": "A", "label": 0}])
    for _ in range(2):
        with pytest.raises(TaskError, match=r"s\.jsonl:41: exactly one <CLS>"):
            read_sequences(path, vocabulary_path, 16, 0, False)
    assert not list(cache_folder().glob("*.pt"))
    assert not list(cache_folder().glob(".*"))


def test_packed_rows_take_four_bytes_a_token_and_not_the_room_of_the_longest(
    tmp_path: Path,
) -> None:
    long = {"input_ids": [10] * 9999 + [4], "label": 0}
    read_sequences(*write_files(tmp_path, [*GOOD * 25, long]), 10_000, 0, False)
    (packed,) = cache_folder().glob("*.pt")
    tokens = sum(4 + i % 3 for i in range(40)) * 25 + 10_000
    assert packed.stat().st_size < 4 * (tokens + 5 * 1001) + 5000


def test_the_size_of_the_vocabulary_costs_nothing_for_each_token(tmp_path: Path) -> None:
    records = [{"input_ids": [10] * 300 + [4], "label": i % 2} for i in range(200)]
    path, vocabulary_path = write_files(tmp_path, records)
    vocabulary_path.write_text(json.dumps(IDS | {f"t{i}": 100 + i for i in range(50_000)}))
    begun_s = time.process_time()
    read_sequences(path, vocabulary_path, 1024, 0, False)
    assert time.process_time() - begun_s < 10, (
        "it took two minutes when each token asked for the size"
    )


# Digits -------------------------------------------------------------------------------------------


def test_a_digit_is_64_levels_then_cls_then_eos() -> None:
    splits, vocabulary = digit_sequences(0, False), digit_vocabulary()
    levels = [vocabulary[str(level)] for level in range(17)]
    for split in (splits.train, splits.validation, splits.test()):
        tokens = split.tensors["tokens"]
        assert tokens.shape == (len(split), 66)
        assert torch.isin(tokens[:, :64], torch.tensor(levels)).all()
        assert (tokens[:, 64] == vocabulary["<CLS>"]).all()
        assert (tokens[:, 65] == vocabulary["<EOS>"]).all()
        assert set(split.tensors["cls"].tolist()) == {64}
        assert set(split.tensors["last"].tolist()) == {65}
        assert set(split.tensors["length"].tolist()) == {66}
    assert splits.max_tokens == 66
    assert len(vocabulary.label_ids) == 10


def test_every_digit_is_in_one_split_with_its_own_label() -> None:
    from sklearn.datasets import load_digits

    digits, splits, first = load_digits(), digit_sequences(3, False), digit_vocabulary()["0"]
    found: Counter[tuple[Any, ...]] = Counter()
    for split in (splits.train, splits.validation, splits.test()):
        found.update(
            zip(
                map(tuple, (split.tensors["tokens"][:, :64] - first).tolist()),
                labels(split),
                strict=True,
            )
        )
    assert found == Counter(
        zip(map(tuple, digits.data.astype(int).tolist()), digits.target.tolist(), strict=True)
    )


def labels(split: TensorSplit) -> list[int]:
    return split.tensors["labels"].tolist()
