"""Proves that each folder imports only what it may: pytest tests/test_imports.py."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.results.report.studies import drive, open_study, space

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


def test_a_study_whose_task_needs_no_pytorch_is_reported_without_it(tmp_path: Path) -> None:
    drive(open_study(tmp_path, space()), 3)
    code = "import sys, launch; launch.main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "report", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith("report.html\nFalse\n"), done.stderr


@pytest.mark.parametrize("file", EVERY_SOURCE, ids=name)
def test_nobody_imports_the_command_line_or_the_tests(file: Path) -> None:
    assert not imported(file) & {"launch", "tests", "benchmarks"}


@pytest.mark.parametrize(
    "file", [file for file in EVERY_SOURCE if file not in MAY_IMPORT_OPTUNA], ids=name
)
def test_optuna_is_for_those_who_suggest_tell_and_read(file: Path) -> None:
    assert "optuna" not in imported(file)


PRIVATE_NAMES_OF = {
    "ray": ROOT / "cluster" / "ray_private.py",
    "optuna": ROOT / "results" / "study" / "optuna_private.py",
}
UNDOCUMENTED = ("ray.autoscaler.v2", "ray.experimental.internal_kv")  # Private but for the name.


def private_names(file: Path) -> set[str]:
    """Names of Ray or Optuna that a file uses though they are not for others."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {*imported_names(tree), *attributes_of_others(tree)}


def imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for whole in names:
            package, *parts = whole.split(".")
            if package in PRIVATE_NAMES_OF and (
                any(part.startswith("_") for part in parts) or whole.startswith(UNDOCUMENTED)
            ):
                yield whole


def attributes_of_others(tree: ast.AST) -> Iterator[str]:
    """Attributes such as `controller._trials`: of anything but the object itself."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not re.match("_[^_]", node.attr):
            continue
        if ast.unparse(node.value) not in ("self", "cls", "os"):
            yield ast.unparse(node)


@pytest.mark.parametrize(
    "file", [file for file in EVERY_SOURCE if file not in SOURCES["trainables"]], ids=name
)
def test_private_names_of_ray_and_optuna_stand_in_one_file_each(file: Path) -> None:
    found = private_names(file)
    assert bool(found) == (file in PRIVATE_NAMES_OF.values()), found


def test_there_are_private_names_to_find() -> None:
    assert private_names(PRIVATE_NAMES_OF["ray"]) >= {
        "ray._raylet.setproctitle",
        "ray.air.execution._internal.actor_manager",
        "ray.autoscaler.v2.sdk.get_cluster_status",
        "ray.experimental.internal_kv._internal_kv_get",
        "controller._trials",
    }
    assert private_names(PRIVATE_NAMES_OF["optuna"]) == {
        "optuna.storages.journal._storage.JournalOperation",
        "distribution._contains",
    }
