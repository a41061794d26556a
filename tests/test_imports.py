"""Proves that each folder imports only what it may: pytest tests/test_imports.py."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("search_spaces", "trainables", "cluster", "results")
SOURCES = {folder: sorted((ROOT / folder).rglob("*.py")) for folder in FOLDERS}
EVERY_SOURCE = [ROOT / "launch.py", *(file for files in SOURCES.values() for file in files)]
FORBIDDEN = {
    "search_spaces": {"ray", "cluster", "results", "trainables", "torch"},
    "trainables": {"ray", "cluster", "results", "optuna"},
    "results": {"ray", "cluster"},
    "cluster/search": {"ray"},
}
MAY_IMPORT_OPTUNA = [
    ROOT / "search_spaces" / "suggest.py",
    *SOURCES["cluster"],
    *SOURCES["results"],
]


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imported(file: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    return set(packages(ast.parse(file.read_text(encoding="utf-8"))))


def packages(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module).partition(".")[0]
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (
                str(word.value).partition(".")[0]
                for word in node.args
                if isinstance(word, ast.Constant)
            )


@pytest.mark.parametrize("folder", FOLDERS)
def test_there_are_sources_to_look_at(folder: str) -> None:
    assert len(SOURCES[folder]) >= 5
    assert any(imported(file) for file in SOURCES[folder])


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_a_folder_imports_only_from_below(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert len(files) >= 4
    wrong = {name(file): imported(file) & FORBIDDEN[folder] for file in files}
    assert {file: packages for file, packages in wrong.items() if packages} == {}


def test_the_search_itself_runs_without_ray() -> None:
    modules = [name(file)[:-3].replace("/", ".") for file in (ROOT / "cluster/search").glob("*.py")]
    code = f"import sys, {', '.join(modules)}; print('ray' in sys.modules, 'optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False True\n", done.stderr


@pytest.mark.parametrize("file", EVERY_SOURCE, ids=name)
def test_nobody_imports_the_command_line_or_the_tests(file: Path) -> None:
    assert not imported(file) & {"launch", "tests", "benchmarks"}


@pytest.mark.parametrize(
    "file", [file for file in EVERY_SOURCE if file not in MAY_IMPORT_OPTUNA], ids=name
)
def test_optuna_is_for_those_who_suggest_tell_and_read(file: Path) -> None:
    assert "optuna" not in imported(file)
