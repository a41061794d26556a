"""Text: real English that is on every machine, vocabularies, windows, padded sequences, tokenizers.

Shapes: N rows, T tokens, S source tokens.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainables.config import TaskError
from trainables.parts.data import SPLIT_NAMES, Splits, TensorSplit
from trainables.parts.packing import packed_file

PAD, UNKNOWN, START, END = SPECIALS = ("<pad>", "<unk>", "<start>", "<end>")
PAD_ID, UNKNOWN_ID, START_ID, END_ID = range(len(SPECIALS))

TEXT_PACKAGES = ("numpy", "scipy", "sklearn")
NOT_PROSE_FOLDERS = {"tests", "externals", "_lib", "_vendor"}  # tests, and copies of other projects
SHORTEST_PARAGRAPH = 60
LETTERS_SHARE = 0.92


@lru_cache(maxsize=1)
def embedded_text() -> str:
    """More than a million characters of English: prose of NumPy's, SciPy's and scikit-learn's docs.

    A paragraph is a line, and none occurs twice. All three packages are under the BSD 3-Clause
    licence. The text is the same wherever their versions are; modules stand in a random but fixed
    order, so that the beginning and the end of the text are about the same things, and each
    module's text is in one piece.
    """
    return "\n".join(paragraph for _, paragraph in embedded_paragraphs())


@lru_cache(maxsize=1)
def embedded_paragraphs() -> tuple[tuple[str, str], ...]:
    """The paragraphs of `embedded_text`, each with the package that it comes from."""
    modules = sorted(map(_module, _module_files()), key=lambda module: _scattered(module[0]))
    packed = packed_file(
        [path for _, path in modules],
        lambda target: target.write_text("\n".join(_unique_paragraphs(modules)), encoding="utf-8"),
        how="prose 1",
        ending=".txt",
    )
    lines = packed.read_text(encoding="utf-8").split("\n")
    return tuple((package, text) for package, _, text in (line.partition("\t") for line in lines))


def _scattered(name: str) -> bytes:
    """What names are sorted by, so that they stand in an order that looks random."""
    return sha256(name.encode()).digest()


def _module_files() -> Iterator[tuple[Path, Path]]:
    """Each package's folder with each of its modules."""
    for package in TEXT_PACKAGES:
        spec = find_spec(package)
        assert spec is not None and spec.origin is not None, f"{package} is one of our requirements"
        folder = Path(spec.origin).parent
        for path in folder.rglob("*.py"):
            if NOT_PROSE_FOLDERS.isdisjoint(path.relative_to(folder).parts):
                yield folder, path


def _module(found: tuple[Path, Path]) -> tuple[str, Path]:
    """A module's name, `numpy/ma/core.py`, and its file."""
    folder, path = found
    return path.relative_to(folder.parent).as_posix(), path


def _unique_paragraphs(modules: Iterable[tuple[str, Path]]) -> dict[str, None]:
    """Lines `package<tab>paragraph`."""
    found: dict[str, str] = {}
    for name, path in modules:
        for paragraph in _prose(path.read_text(encoding="utf-8")):
            found.setdefault(paragraph, name.partition("/")[0])
    return {f"{package}\t{paragraph}": None for paragraph, package in found.items()}


def _prose(source: str) -> Iterator[str]:
    """The sentences of a module's docstrings, by paragraph: no code, tables, formulas, headings."""
    # Parsing the modules would take five times as long, and miss what isn't in a docstring's place.
    for docstring in re.findall(r'"""(.*?)"""', source, flags=re.DOTALL):
        for block in re.split(r"\n\s*\n", docstring):
            paragraph = " ".join(block.split())
            letters = sum(map(str.isalpha, paragraph)) + paragraph.count(" ")
            if (
                len(paragraph) >= SHORTEST_PARAGRAPH
                and paragraph[0].isupper()
                and paragraph[-1] in ".!?:"
                and letters >= LETTERS_SHARE * len(paragraph)
                and "---" not in paragraph
            ):
                yield paragraph


def load_text(path: Path | None) -> str:
    """The text in a UTF-8 file; without a path, `embedded_text`.

    Raises:
        TaskError: when there is no such file, or it isn't text, or empty.
    """
    if path is None:
        return embedded_text()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: must be a text file in UTF-8: {error}") from error
    if not text.strip():
        raise TaskError(f"{path}: holds no text")
    return text


def split_text(text: str) -> dict[str, str]:
    """A text's first 80 % to train on, the next 10 % for validation, the last 10 % for the test."""
    first, second = len(text) * 8 // 10, len(text) * 9 // 10
    return dict(zip(SPLIT_NAMES, (text[:first], text[first:second], text[second:]), strict=True))


def words(text: str) -> list[str]:
    """The words of a text, in lower case, and its punctuation marks, one by one."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_", text.lower())


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """The tokens that a model knows, by number: `SPECIALS` first, so that padding is 0."""

    tokens: tuple[str, ...]
    """Each token, at its number."""
    ids: dict[str, int] = field(init=False, repr=False, compare=False)
    """Each token's number."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", {token: number for number, token in enumerate(self.tokens)})

    @classmethod
    def of(cls, tokens: Iterable[str], *, most: int | None = None) -> Self:
        """The vocabulary of a training split: of a text's characters, or of `words(text)`.

        Args:
            tokens: As often as they occur: the most frequent have the lowest numbers.
            most: How many tokens it may hold, the special ones included; the rarer ones are unknown
                to it.
        """
        counts = Counter(tokens)
        by_count = sorted(counts.keys() - set(SPECIALS), key=lambda token: (-counts[token], token))
        return cls(tokens=(*SPECIALS, *by_count)[:most])

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> Tensor:
        """The tokens' numbers, [T]; a token that is not in the vocabulary is `UNKNOWN`."""
        ids = self.ids
        return torch.tensor([ids.get(token, UNKNOWN_ID) for token in tokens], dtype=torch.long)

    def decode(self, ids_T: Tensor | Sequence[int]) -> list[str]:
        """The tokens up to the first `END`, without `START` and `PAD`."""
        tokens: list[str] = []
        for number in map(int, ids_T):
            if number == END_ID:
                break
            if number not in (PAD_ID, START_ID):
                tokens.append(self.tokens[number])
        return tokens


def windows(ids_T: Tensor, length: int, *, stride: int = 1) -> Tensor:
    """Every `stride`-th stretch of `length` tokens, [N, length]: a view, which takes no memory.

    Raises:
        ValueError: when there are fewer tokens than that.
    """
    if len(ids_T) < length:
        raise ValueError(f"a window has {length} tokens, more than the {len(ids_T)} that there are")
    return ids_T.unfold(0, length, stride)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextSplits(Splits):
    """Windows of a text, `tokens` [N, window + 1], and the vocabulary of its training stretch."""

    vocabulary: Vocabulary


@lru_cache(maxsize=2)
def character_windows(path: Path | None, characters: int, *, window: int, seed: int) -> TextSplits:
    """Three stretches of a text as windows of characters, each of which is predicted once.

    A window begins with the last character of the one before it, so that its other ones all have
    a character before them.

    Args:
        path: As `load_text` takes it.
        characters: How many of the text's first characters are used at most.
        window: How many of a window's characters are predicted.
        seed: Where the text, taken as a ring, is cut open; from there on it is `split_text`.

    Raises:
        TaskError: when the text is too short for a window in each split.
    """
    text = load_text(path)[:characters]
    start = random.Random(seed).randrange(len(text))
    stretches = split_text(text[start:] + text[:start])
    if min(map(len, stretches.values())) <= window:
        raise TaskError(
            f"a text must have more than ten windows of {window} characters, got {len(text)} "
            "characters"
        )
    vocabulary = Vocabulary.of(stretches["train"])
    splits = {
        name: TensorSplit(
            tensors={"tokens": windows(vocabulary.encode(stretch), window + 1, stride=window)}
        )
        for name, stretch in stretches.items()
    }
    return TextSplits(
        train=splits["train"],
        validation=splits["validation"],
        test=lambda: splits["test"],
        vocabulary=vocabulary,
    )


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of tokens in one tensor, padded on the right, [N, T], and their lengths, [N]."""
    lengths_N = torch.tensor([len(row) for row in rows])
    return pad_sequence(list(rows), batch_first=True, padding_value=PAD_ID), lengths_N


def padded_pairs(
    sources: Iterable[Iterable[str]], targets: Iterable[Iterable[str]], vocabulary: Vocabulary
) -> dict[str, Tensor]:
    """Pairs of sequences as tensors, to learn the second from the first.

    Returns:
        `source` [N, S] and `source_lengths` [N]; `target` [N, T] with `START` before and `END`
        behind each. So `target[:, :-1]` is what a decoder reads, and `target[:, 1:]` what it has to
        answer, token by token.
    """
    source_NS, source_lengths_N = padded([vocabulary.encode(tokens) for tokens in sources])
    target_NT, _ = padded([vocabulary.encode([START, *tokens, END]) for tokens in targets])
    return {"source": source_NS, "source_lengths": source_lengths_N, "target": target_NT}


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer that transformers saved in a folder; nothing is downloaded, no code in it run.

    Raises:
        TaskError: tells what the folder lacks.
    """
    from transformers import AutoTokenizer

    if not folder.is_dir():
        raise TaskError(f"{folder}: must be a folder with a tokenizer: there is no such folder")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever transformers and the file formats happen to meet first
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise TaskError(
            f"{folder}: must hold a tokenizer (tokenizer.json and tokenizer_config.json, as "
            "`save_pretrained` of transformers writes them), "
            f"got {there} ({str(error).splitlines()[0]})"
        ) from error
