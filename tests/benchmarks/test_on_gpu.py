"""Proves that what is measured on a GPU runs, as far as a CPU can stand in for it.

pytest -m slow tests/benchmarks/test_on_gpu.py
"""

import os
import subprocess
import sys

import pytest

from benchmarks.side_by_side import ROOT


@pytest.mark.slow
def test_the_half_for_a_cpu_passes() -> None:
    command = [sys.executable, "-m", "benchmarks.on_gpu", "--cpu"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # Other tests run beside it.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=one_thread)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "speed of v6" in done.stdout
