"""Proves that what the documents point to is there, and that their commands would be accepted.

pytest tests/test_docs.py
"""

import re
import shlex
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

import launch
from search_spaces import builtin_spaces, find_space, load_space
from trainables.accepting import accept
from trainables.job import Job, run
from trainables.parts.optim import OptimizerName, SchedulerName
from trainables.task import Task

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = sorted(
    file for folder in ("", "docs", "examples") for file in (ROOT / folder).glob("*.md")
)
MOST_LINES, MOST_CHARACTERS = 200, 100
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]*)\)")
COMMAND = re.compile(r"python (?:rungs/)?launch\.py\b(.*)")
MODULE = re.compile(r"python -m ((?:benchmarks|trainables|results|cluster)[\w.]*)")
FOLDERS = "benchmarks|cluster|docs|examples|results|search_spaces|tests|trainables"
CODE = re.compile(r"`([^`]+)`")
PATH = re.compile(rf"(?<![\w./-])((?:{FOLDERS})/[\w./-]*(?:\.\w+|/))")
CLASS = re.compile(r"`([A-Z]\w+)` \(`([\w/]+\.py)`\)")
PLACEHOLDERS = {"N": "3", "key=value": "optim.lr=0.1", "auto|HOST:PORT": "auto"}
USERS_OWN = {"mine.yaml"}  # Spaces that the documents tell the reader to write.
each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(document: Path) -> Iterator[str]:
    """What stands between fences, long shell lines put together."""
    for match in BLOCK.finditer(text_of(document)):
        yield re.sub(r"\\\n\s*", "", match[2])


def commands(document: Path) -> Iterator[list[str]]:
    """The arguments of each command: those in code blocks, and those between backticks."""
    for block in blocks(document):
        text = re.sub(r"\n +(?=\[--)", " ", block)  # A command line that goes on below.
        for line in text.splitlines():
            for found in COMMAND.finditer(line):
                yield arguments(found[1])
    prose = BLOCK.sub("", text_of(document))
    for quoted in CODE.findall(prose):
        if command := COMMAND.fullmatch(" ".join(quoted.split())):
            yield arguments(command[1])


def arguments(text: str) -> list[str]:
    """Up to what the document says about it; optional parts count as given."""
    text = re.split(r"  +|'|&&|#|;", text.strip())[0].replace("[", " ").replace("]", " ")
    words = [word for word in shlex.split(text) if word != "..."]
    return [PLACEHOLDERS.get(word, word) for word in words]


def anchors(document: Path) -> set[str]:
    """The headings of a document, as GitHub links to them."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text_of(document)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_is_something_to_look_at() -> None:
    assert len(DOCUMENTS) >= 8
    assert sum(len(list(commands(document))) for document in DOCUMENTS) > 40
    assert sum(len(LINK.findall(text_of(document))) for document in DOCUMENTS) > 30


@each_document
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", text_of(document))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_commands_are_accepted(document: Path) -> None:
    for words in commands(document):
        if not words:  # It shows all commands.
            continue
        args = launch.parse(words)
        space = getattr(args, "space", None)
        if space is not None and space not in USERS_OWN:
            find_space(space, folder=ROOT)


@each_document
def test_spaces_that_are_shown_are_accepted(document: Path, tmp_path: Path) -> None:
    for match in BLOCK.finditer(text_of(document)):
        if match[1] == "yaml" and match[2].startswith("task: "):
            (tmp_path / "shown.yaml").write_text(match[2], encoding="utf-8")
            space = load_space(tmp_path / "shown.yaml")
            assert ":" in space.task or accept(space)


@pytest.mark.parametrize(
    ("document", "least"),
    [(README, -1e-6), (ROOT / "docs" / "tasks.md", 0.8)],
    ids=["loss", "accuracy"],
)
def test_the_first_code_that_is_shown_learns(
    document: Path, least: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [(match[1], match[2]) for match in BLOCK.finditer(text_of(document))]
    code = next(i for i, (language, _) in enumerate(shown) if language == "python")
    (tmp_path / "mine.py").write_text(shown[code][1], encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(shown[code + 1][1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert launch.main(["check", "mine.yaml"]) == 0
    space = load_space("mine.yaml")
    job = Job(
        task=space.task,
        objective=accept(space),
        values={**space.fixed, **(space.start[0] if space.start else {"lr": 0.3})},
        seed=0,
        split_seed=0,
        max_epochs=space.budget.max_epochs,
        folder=tmp_path / "trial",
    )
    *_, last = run(job)
    assert job.objective.sign * last.metrics[job.objective.name] > least


def test_the_guide_to_tasks_names_every_method_and_part() -> None:
    text = text_of(ROOT / "docs" / "tasks.md")
    names = [name for name in vars(Task) if not name.startswith("_")]
    assert {"data", "measure", "train"} <= set(names)
    assert [name for name in names if not re.search(rf"^\| `{name}\b", text, re.MULTILINE)] == []
    parts = {path.name for path in (ROOT / "trainables" / "parts").glob("[a-z]*.py")}
    assert parts == set(re.findall(r"trainables/parts/(\w+\.py)\) *[|,]", text))
    for name in (*get_args(OptimizerName), *get_args(SchedulerName)):
        assert f"`{name}`" in text


def test_a_command_that_is_no_longer_there_would_be_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for text in ("comfirm runs/v6", "--space v6.yaml --trails 3", "train"):
        with pytest.raises(SystemExit):
            launch.parse(arguments(text))


def test_the_readme_names_every_space() -> None:
    table = {
        name
        for line in text_of(README).splitlines()
        if line[:1] == "|"
        for name in CODE.findall(line)
    }
    assert {file.stem for file in builtin_spaces()} <= table


def test_the_readme_names_every_command_and_every_option_of_a_search() -> None:
    words = [word for given in commands(README) for word in given]
    options = {
        option for action in launch.search_parser()._actions for option in action.option_strings
    }
    assert options - {"-h", "--help"} <= {*words}
    assert {*launch.COMMANDS} <= {*words}


@each_document
def test_modules_and_files_that_are_named_are_there(document: Path) -> None:
    text = text_of(document)
    assert [name for name in MODULE.findall(text) if find_spec(name) is None] == []
    assert [path for path in PATH.findall(text) if not (ROOT / path).exists()] == []


@each_document
def test_classes_are_in_the_files_that_are_named_for_them(document: Path) -> None:
    for name, path in CLASS.findall(text_of(document)):
        assert f"\nclass {name}" in text_of(ROOT / path), name


@each_document
def test_lines_are_short(document: Path) -> None:
    """But for tables, and code that can't be broken."""
    prose = BLOCK.sub("", text_of(document)).splitlines()
    assert [line for line in prose if len(line) > MOST_CHARACTERS and line[0] != "|"] == []
    assert document != README or len(text_of(document).splitlines()) <= MOST_LINES


# The rooms ----------------------------------------------------------------------


class Room(NamedTuple):
    """A file or folder of a picture, and whether others stand below it."""

    path: Path
    has_rooms: bool


def rooms(document: Path) -> list[Room]:
    """What the picture under `## The rooms` names; two spaces of indentation are a folder."""
    picture = BLOCK.search(text_of(document), text_of(document).index("\n## The rooms\n"))
    assert picture
    lines = picture[2].splitlines()
    depths = [(len(line) - len(line.lstrip())) // 2 for line in lines] + [0]
    folders, found = [ROOT], list[Room]()
    for i, line in enumerate(lines):
        names = re.split(r"  +", line.strip())[0].split()
        folders[depths[i] + 1 :] = [folders[depths[i]] / names[0]]
        deeper = depths[i + 1] > depths[i]
        found += [Room(folders[depths[i]] / name, deeper) for name in names]
    return found


@pytest.mark.parametrize(
    "document", [README, ROOT / "docs" / "architecture.md"], ids=["few", "all"]
)
def test_the_pictures_name_what_is_there(document: Path) -> None:
    named = [room.path for room in rooms(document)]
    assert len(named) >= 10
    assert [path for path in named if not path.exists()] == []
    assert len({*named}) == len(named)


def test_the_picture_of_the_architecture_has_every_python_file() -> None:
    """By its own name, or by that of a folder of which no more is said."""
    named = rooms(ROOT / "docs" / "architecture.md")
    leaves = {room.path for room in named if not room.has_rooms}
    top = [room.path for room in named if room.path.parent == ROOT and room.path.is_dir()]
    assert {"search_spaces", "trainables", "cluster", "results", "tests"} <= {
        path.name for path in top
    }
    files = [file for folder in top for file in folder.rglob("*.py") if file.name != "__init__.py"]
    assert len(files) > 150
    missing = [str(file.relative_to(ROOT)) for file in files if not leaves & {file, *file.parents}]
    assert missing == []
