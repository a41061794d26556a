"""How fast the training loop is: ours, as the sources write it, Hugging Face's, Lightning's.

    python -m benchmarks.training_loop [--environment FOLDER] [--seconds 20] [--full]
                                       [--systems v6 low_rank ...] [--loops ours source ...]

Each loop trains the same model on the same data, in a process of its own, one after the other:
GPT-2, low-rank factors, DeepLabV3, Mask2Former and ConvNeXt, as the spaces' first start points
have them; with --full at full size, for a GPU. Evaluation and checkpoints are no part of it. For
the last two loops an environment with their libraries is made in FOLDER, unless it is there;
without a folder they are left out.
"""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.side_by_side import ROOT
from benchmarks.training_loop.loops import LOOPS, NEED_ENVIRONMENT
from benchmarks.training_loop.watch import Speed, Watch
from benchmarks.training_loop.workloads import workload
from trainables.machine import default_device, usable_cpus

SYSTEMS = ("v6", "low_rank", "deeplabv3", "mask2former", "nailong")
REQUIREMENTS = Path(__file__).parent / "requirements.txt"


def environment(folder: Path) -> Path:
    """The Python of an environment that has our packages and the other loops'."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        theirs = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
        ours = Path(theirs.stdout.strip()) / "ours.pth"
        ours.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
    return python


def measured(system: str, loop: str, *, full: bool, seconds: float) -> Speed:
    """Measure a loop in this process."""
    device = default_device()
    torch.set_num_threads(1)  # as many as a trial of these spaces has
    watch = Watch(device, seconds)
    LOOPS[loop](workload(system, full=full), device, watch)
    assert watch.speed is not None
    return watch.speed


def in_own_process(python: Path, system: str, loop: str, *, full: bool, seconds: float) -> Speed:
    """Measure a loop in a new process.

    Raises:
        SystemExit: with its output, when it fails.
    """
    command = [str(python), "-m", "benchmarks.training_loop", "--measure", system, loop]
    command += ["--seconds", str(seconds), *(["--full"] if full else [])]
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=paths, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{system}, {loop} failed:\n{done.stdout}\n{done.stderr}")
    return Speed(**json.loads(done.stdout.splitlines()[-1]))


def print_table(loops: list[str], python: Path, args: argparse.Namespace) -> None:
    """Measure and print, line by line."""
    print(f"{'':14}{'loop':14}{'samples/s':>12}{'of source':>12}{'idle':>8}")
    for system in args.systems:
        speeds: dict[str, Speed] = {}
        for loop in loops:
            chosen = python if loop in NEED_ENVIRONMENT else Path(sys.executable)
            found = in_own_process(chosen, system, loop, full=args.full, seconds=args.seconds)
            speeds[loop] = found
        base = speeds["source"].samples_per_second if "source" in speeds else float("nan")
        for loop, speed in speeds.items():
            print(
                f"{system:14}{loop:14}{speed.samples_per_second:12.1f}"
                f"{speed.samples_per_second / base:12.2f}{speed.idle_share:8.0%}",
                flush=True,
            )


def hardware() -> str:
    """What this was measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{usable_cpus()} cores, {gpu}, torch {torch.__version__}"


def main() -> None:
    """Measure every loop on every system and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environment", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--loops", nargs="+", choices=LOOPS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        speed = measured(*args.measure, full=args.full, seconds=args.seconds)
        print(json.dumps(asdict(speed)))
        return
    there = [loop for loop in LOOPS if args.environment or loop not in NEED_ENVIRONMENT]
    python = environment(args.environment.absolute()) if args.environment else Path(sys.executable)
    print(hardware())
    print_table(args.loops or there, python, args)


if __name__ == "__main__":
    main()
