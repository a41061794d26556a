"""Proves what text becomes on its way to a model: pytest tests/trainables/parts/test_text.py."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from trainables.config import TaskError
from trainables.parts.text import (
    END_ID,
    PAD_ID,
    SPECIALS,
    START_ID,
    TEXT_PACKAGES,
    UNKNOWN,
    UNKNOWN_ID,
    Vocabulary,
    embedded_paragraphs,
    embedded_text,
    load_text,
    load_tokenizer,
    padded_pairs,
    split_text,
    windows,
    words,
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNGS_CACHE", str(tmp_path_factory.mktemp("cache 'Ω'")))
        yield


def test_the_embedded_text_is_a_megabyte_of_english() -> None:
    text = embedded_text()
    assert len(text) >= 1_000_000
    commonest = [word for word, _ in Counter(words(text)).most_common(12) if word.isalpha()]
    assert {"the", "of", "is", "a", "to", "and", "in"} <= set(commonest)
    letters = Counter(text.lower())
    order = sorted("etaoinshrdlu", key=lambda letter: -letters[letter])
    assert order[0] == "e" and order[-1] in "dluh", "as in any English text"


def test_its_paragraphs_are_lines_that_do_not_repeat_and_say_where_they_come_from() -> None:
    paragraphs = embedded_paragraphs()
    texts = [text for _, text in paragraphs]
    assert len(set(texts)) == len(texts) == len(embedded_text().split("\n"))
    assert not any("\n" in text or "\t" in text for text in texts)
    assert {package for package, _ in paragraphs} == set(TEXT_PACKAGES)


def test_it_is_the_same_when_it_is_gathered_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = embedded_paragraphs()
    monkeypatch.setenv("RUNGS_CACHE", str(tmp_path))
    embedded_paragraphs.cache_clear()
    assert embedded_paragraphs() == before


def test_each_split_of_it_has_paragraphs_of_each_package() -> None:
    package_of = {text: package for package, text in embedded_paragraphs()}
    for part in split_text(embedded_text()).values():
        counts = Counter(package_of[line] for line in part.split("\n")[1:-1])
        assert len(counts) == len(TEXT_PACKAGES)


def test_a_file_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "Jane 'Eyre' Ω.txt"
    path.write_text("\ufeffThere was no possibility …\n", encoding="utf-8")
    assert load_text(path) == "There was no possibility …\n"
    assert load_text(None) == embedded_text()


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), (b"\xff\xfe\x00", "UTF-8"), (b" \n", "holds no text")],
)
def test_a_file_that_is_no_text_is_named(
    content: bytes | None, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TaskError, match=rf"text\.txt: .*{problem}"):
        load_text(path)


def test_splits_are_disjoint_whole_and_in_the_texts_order() -> None:
    text = "".join(chr(0x4E00 + i) for i in range(1003))
    parts = split_text(text)
    assert list(parts) == ["train", "validation", "test"]
    assert "".join(parts.values()) == text
    assert [len(part) for part in parts.values()] == [802, 100, 101]


def test_words_and_marks() -> None:
    assert words("Don't stop: it's 3 o'clock, Ångström_x!") == [
        "don't", "stop", ":", "it's", "3", "o'clock", ",", "ångström", "_", "x", "!",
    ]  # fmt: skip


def test_a_vocabulary_holds_the_most_frequent_tokens_and_knows_no_others() -> None:
    vocabulary = Vocabulary.of("abracadabra", most=len(SPECIALS) + 3)
    assert vocabulary.tokens == (*SPECIALS, "a", "b", "r"), "5 a, 2 b, 2 r, then 1 c"
    assert len(vocabulary) == 7
    assert vocabulary.encode("bad").tolist() == [5, 4, UNKNOWN_ID]
    assert vocabulary.decode(vocabulary.encode("bad")) == ["b", "a", UNKNOWN]


def test_what_is_encoded_is_decoded_again() -> None:
    text = split_text(embedded_text())["train"][:5000]
    vocabulary = Vocabulary.of(text)
    assert "".join(vocabulary.decode(vocabulary.encode(text))) == text
    assert Vocabulary.of(reversed(text)) == vocabulary, "the order of the text doesn't matter"


def test_special_tokens_in_a_text_get_no_second_number() -> None:
    vocabulary = Vocabulary.of(["<end>", "<end>", "word"])
    assert vocabulary.tokens == (*SPECIALS, "word")


def test_windows_are_every_stretch_and_share_the_texts_memory() -> None:
    ids_T = torch.arange(1000)
    view = windows(ids_T, 41, stride=3)
    assert view.tolist() == [list(range(i, i + 41)) for i in range(0, 1000 - 40, 3)]
    assert view.untyped_storage().data_ptr() == ids_T.untyped_storage().data_ptr()
    with pytest.raises(ValueError, match="a window has 5 tokens, more than the 4"):
        windows(torch.arange(4), 5)


def test_pairs_are_padded_and_targets_begin_and_end() -> None:
    vocabulary = Vocabulary.of("0123456789+")
    pairs = padded_pairs(["1+1", "10+10"], ["2", "20"], vocabulary)
    assert pairs["source"].shape == (2, 5) and pairs["source_lengths"].tolist() == [3, 5]
    assert pairs["source"][0, 3:].tolist() == [PAD_ID, PAD_ID]
    two, zero = vocabulary.encode("20").tolist()
    assert pairs["target"].tolist() == [
        [START_ID, two, END_ID, PAD_ID],
        [START_ID, two, zero, END_ID],
    ]
    assert vocabulary.decode(pairs["target"][0]) == ["2"]
    assert vocabulary.decode([zero, END_ID, two]) == ["0"], "what follows the end says nothing"


def test_a_tokenizer_is_read_from_its_folder(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"<unk>": 0, "to": 1, "be": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "a 'tokenizer' Ω"
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>").save_pretrained(folder)
    assert load_tokenizer(folder)("to be or")["input_ids"] == [1, 2, 0]


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_a_tokenizer_is_told(made: bool, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    if made:
        folder.mkdir()
        (folder / "notes.txt").write_text("none")
    with pytest.raises(TaskError, match=r"got notes\.txt" if made else "there is no such folder"):
        load_tokenizer(folder)
