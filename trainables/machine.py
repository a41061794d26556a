"""What this process may use of its machine, which may be less than there is: CPUs, GPU, home."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def usable_cpus() -> int:
    """How many CPUs this process may use: by its affinity, its container's limit and its Slurm job.

    Slurm sets no affinity where it isn't configured to; then its variables alone tell.
    """
    from joblib import cpu_count  # Not before: few commands need it.

    slurm = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE") or ""
    return min(cpu_count(), int(slurm)) if slurm.isdecimal() and int(slurm) else cpu_count()


def default_device() -> "torch.device":
    """The first GPU that this process may use, else the CPU."""
    import torch  # Not before: few commands need it.

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def home() -> Path:
    """The user's home; `/`, as Docker has it, for a user of whom no home is known."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def settle_home() -> None:
    """Have a home in the environment: Ray, as it is imported, doesn't bear that there is none."""
    os.environ.setdefault("HOME", str(home()))


def is_writable(folder: Path) -> bool:
    """Whether a file can be made in a folder, which is made if it isn't there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
    except OSError:
        return False
    return True
