"""Proves that a search runs for a user without a home, with any TMPDIR, on the CPUs it may use.

pytest -m slow tests/slow/test_any_user.py
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.conftest import ROOT, Launch, finish, record

ANOTHER = "54321"
LIMITS = ("--reuid", ANOTHER, "--regid", ANOTHER, "--clear-groups")
MAY_READ = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
SPACE = """\
task: toy:train
objective: {maximize: score}
parameters: {x: {float: [0.1, 1.0]}}
fixed: {kind: good}
budget: {trials: 3, max_epochs: 9}
"""


@pytest.fixture
def one_cpu() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can keep a process to one CPU")
def test_a_long_tmpdir_no_home_and_one_cpu(workplace: Path, launch: Launch, one_cpu: None) -> None:
    (workplace / "mine.yaml").write_text(SPACE)
    scratch = workplace / "a-scratch-folder-of-a-cluster" / "with-a-long-name"
    scratch.mkdir(parents=True)
    process = launch("--space", "mine.yaml", env={"TMPDIR": str(scratch), "HOME": "/proc/none"})
    code, output = finish(process)
    assert code == 0, output
    assert "1 CPUs, 0 GPUs: 1 trials at once" in output
    assert "`cat " in output and "prints the token that it asks for" in output
    assert len(record(workplace, "mine").trials) == 3


def test_a_user_of_a_container(workplace: Path) -> None:
    become_another = ["setpriv", *LIMITS, *MAY_READ]
    if (
        os.geteuid() != 0
        or shutil.which("setpriv") is None
        or subprocess.run([*become_another, "true"]).returncode
    ):
        pytest.skip(
            "only root may become another user, by setpriv, in a container with CAP_DAC_READ_SEARCH"
        )
    (workplace / "mine.yaml").write_text(SPACE)
    os.chown(workplace, int(ANOTHER), int(ANOTHER))
    env = {name: value for name, value in os.environ.items() if name not in ("HOME", "TMPDIR")}
    command = [sys.executable, str(ROOT / "launch.py"), "--space", "mine.yaml"]
    done = subprocess.run(
        [*become_another, *command],  # The interpreter may lie where only root can read.
        cwd=workplace,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "`cat " in done.stdout
    assert (workplace / "runs" / "mine" / "best.yaml").stat().st_uid == int(ANOTHER)
