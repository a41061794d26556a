"""Proves that the module beside the space is the one that is trained, or that it is told why not.

pytest tests/trainables/user_code/test_importing.py

Each import is tried in a process of its own, as names once imported stay.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from trainables.user_code.importing import describe
from trainables.user_code.reserved import ROOT, needed_names

pytestmark = pytest.mark.slow  # Each import is tried in a process of its own.

LOAD = """
import sys
import yaml
from trainables.config import TaskError
from trainables.user_code.importing import import_attribute, import_from
import_from(sys.argv[2:])
try:
    print(next(import_attribute(sys.argv[1], "train", "its task")({}))["loss"])
except TaskError as error:
    print(error)
"""


def module(folder: Path, name: str, *lines: str, loss: str = "1") -> None:
    folder.mkdir(exist_ok=True)
    train = f"def train(config):\n    yield {{'loss': {loss}}}\n"
    (folder / f"{name}.py").write_text("\n".join([*lines, train]), encoding="utf-8")


def loaded(name: str, *folders: Path) -> str:
    """What the task's function reports, or why it can't be had."""
    command = [sys.executable, "-c", LOAD, name, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_first_folder_comes_first(tmp_path: Path) -> None:
    module(tmp_path / "one", "mine", loss="111")
    module(tmp_path / "two", "mine", loss="222")
    assert loaded("mine", tmp_path / "two", tmp_path / "one") == "222"


def test_the_users_module_comes_before_an_installed_one(tmp_path: Path) -> None:
    module(tmp_path, "moto")  # It is installed for the tests, and nobody has imported it.
    module(tmp_path, "mine", "import moto", loss="next(moto.train(config))['loss'] + 1")
    assert loaded("mine", tmp_path) == "2"


@pytest.mark.parametrize(
    ("name", "holder"),
    [
        ("results", "Rungs itself"),
        ("launch", "Rungs itself"),
        ("random", "Python's own library"),
        ("yaml", "an installed package that Rungs uses"),
        (
            "click",
            "an installed package that Rungs needs",
        ),  # Ray's, which nobody has imported here.
    ],
)
def test_a_name_that_is_taken_is_refused_also_where_it_is_only_imported(
    tmp_path: Path, name: str, holder: str
) -> None:
    module(tmp_path, name)
    told = f"the name {name!r} is taken by {holder}"
    assert told in loaded(name, tmp_path)
    module(tmp_path, "mine", f"import {name}")
    module(tmp_path, "far", "from mine import train as other")
    message = loaded("far", tmp_path)
    assert told in message
    assert message.endswith(f"rename {tmp_path / name}.py")


def test_files_that_nobody_imports_do_no_harm(tmp_path: Path) -> None:
    for stray in ("random", "token", "results", "cluster", "yaml"):
        module(tmp_path, stray, "raise RuntimeError('imported')")
    (tmp_path / "trainables").mkdir()  # A folder of that name is no module.
    module(tmp_path, "mine", "import trainables.config")
    assert loaded("mine", tmp_path) == "1"


def test_what_rungs_needs_is_found_though_a_file_has_its_name(tmp_path: Path) -> None:
    for stray in ("click", "cluster", "optuna"):
        module(tmp_path, stray, "raise RuntimeError('imported')")
    code = (
        "import sys\nfrom trainables.user_code.importing import import_from\n"
        f"import_from([{str(tmp_path)!r}])\nimport click, cluster, "
        "optuna\nprint(click.__version__, cluster.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert str(ROOT / "cluster") in done.stdout, done.stderr


def test_all_that_rungs_asks_for_is_needed() -> None:
    assert {
        "ray",
        "torch",
        "optuna",
        "yaml",
        "click",
        "aiohttp",
        "PIL",
        "sklearn",
    } <= needed_names()
    assert not {"moto", "pytest", "mlflow"} & needed_names(), (
        "what the tests and the options need is not"
    )


def test_packages_and_relative_imports_are_followed(tmp_path: Path) -> None:
    package = tmp_path / "package"
    module(package, "__init__")
    module(package, "part", "import cluster")
    module(package, "code", "from . import part")
    assert loaded("package.code", tmp_path) == "1"
    module(tmp_path, "cluster")
    assert "the name 'cluster' is taken by Rungs itself" in loaded("package.code", tmp_path)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ("import sys", "sys.exit(0)"),
            "importing mine called sys.exit(0) (mine.py:2); does it read sys.argv?",
        ),
        (
            ("import argparse", "argparse.ArgumentParser().parse_args()"),
            "importing mine called sys.exit(2) (mine.py:2); does it read sys.argv?",
        ),
        (
            (
                "import sys",
                "try:",
                "    import not_there_at_all",
                "except ImportError:",
                "    sys.exit(1)",
            ),
            "importing mine called sys.exit(1) (mine.py:5)",
        ),
        (("raise KeyboardInterrupt",), "importing mine failed: KeyboardInterrupt (mine.py:1)"),
        (("import json", "json.loads(1)"), "(mine.py:2)"),
        (("x = 1", "def f(:"), "(mine.py:2)"),
    ],
)
def test_what_importing_did_is_named_with_the_users_line(
    tmp_path: Path, lines: tuple[str, ...], told: str
) -> None:
    module(tmp_path, "mine", *lines)
    assert told in loaded("mine", tmp_path)


def test_another_studys_module_of_the_same_name_is_forgotten(tmp_path: Path) -> None:
    module(tmp_path / "one", "mine", "import part", loss="part.LOSS")
    module(tmp_path / "two", "mine", "import part", loss="part.LOSS")
    (tmp_path / "one" / "part.py").write_text("LOSS = 1")
    (tmp_path / "two" / "part.py").write_text("LOSS = 2")
    both = "\n".join(
        f"import_from([{str(tmp_path / name)!r}])\nprint(next(import_attribute('mine', 'train', "
        f"'')({{}}))['loss'])"
        for name in ("one", "two")
    )
    code = f"from trainables.user_code.importing import import_attribute, import_from\n{both}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.split() == ["1", "2"], done.stderr


def test_an_exception_whose_text_fails_is_described_by_its_kind() -> None:
    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    try:
        raise Speechless
    except Speechless as error:
        assert describe(error).startswith("Speechless (test_importing.py:")
