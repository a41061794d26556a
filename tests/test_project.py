"""Proves that CI, the README, pre-commit and the installed package agree.

pytest tests/test_project.py
"""

import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest
from pre_commit.clientlib import load_config

from search_spaces import builtin_spaces

ROOT = Path(__file__).resolve().parent.parent
CI = (ROOT / ".ci" / "run").read_text().splitlines()
RUNGS = Path(sys.executable).with_name("rungs")


def test_ci_runs_the_readmes_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = (line for line in readme.splitlines() if "[dev]" in line)
    assert "pytest" in command and command in CI


def test_ci_allows_no_skip() -> None:
    exported = [line for line in CI if line.startswith("export")]
    assert any("RUNGS_NO_SKIPS=1" in line.split() for line in exported)


@pytest.mark.parametrize("forbidden", [True, False])
def test_a_skip_fails_where_it_is_forbidden(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    forbidden: bool,
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / f"test_skip_forbidden_{forbidden}.py").write_text(
        "import pytest\ndef test_it(): pytest.skip('no such thing')\n"
    )
    monkeypatch.setenv("RUNGS_NO_SKIPS", "1" if forbidden else "")
    code = pytest.main(["-rs", "-p", "no:cacheprovider", "-p", "tests.conftest", str(tmp_path)])
    assert "no such thing" in capsys.readouterr().out
    assert code == (pytest.ExitCode.TESTS_FAILED if forbidden else pytest.ExitCode.OK)


def test_pre_commit_runs_what_ci_runs_before_the_tests() -> None:
    (repository,) = load_config(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    checks = [line for line in CI if re.match(r"\.venv/bin/(?!pip|pytest)", line)]
    assert [hook["entry"] for hook in repository["hooks"]] == checks
    assert len(checks) == 3
    assert not any(hook["pass_filenames"] for hook in repository["hooks"])


def test_the_places_that_contributors_are_sent_to_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    places = {word for word in re.findall(r"`([\w./-]+)`", text) if "/" in word}
    assert len(places) > 10
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_command_works_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "results.py").write_text("raise RuntimeError('not this one')")
    done = subprocess.run([RUNGS, "spaces"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in builtin_spaces()} <= set(
        re.findall(r"^\w+", done.stdout, re.MULTILINE)
    )
    done = subprocess.run([RUNGS], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("usage: rungs ")


def test_the_package_has_a_licence_and_types() -> None:
    assert metadata("rungs")["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    packages = [path.parent for path in ROOT.glob("*/__init__.py")]
    typed = {path.name for path in packages if (path / "py.typed").exists()}
    assert typed == {"search_spaces", "trainables", "cluster", "results"}
