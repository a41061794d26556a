"""Proves that what is measured on a GPU runs, as far as a CPU can stand in for it.

pytest -m slow tests/benchmarks/test_on_gpu.py
"""

import subprocess
import sys

import pytest

from benchmarks.side_by_side import ROOT


@pytest.mark.slow
def test_the_half_for_a_cpu_passes() -> None:
    command = [sys.executable, "-m", "benchmarks.on_gpu", "--cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "speed of v6" in done.stdout
