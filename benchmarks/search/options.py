"""What the commands of this folder have in common."""

import argparse
import os
from pathlib import Path


def parser(description: str | None) -> argparse.ArgumentParser:
    """One that knows where the public curves are."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    place = os.environ.get("RUNGS_CURVES")
    made.add_argument(
        "--curves", type=_folder, default=place, required=place is None, metavar="FOLDER",
        help="the public learning curves; default: $RUNGS_CURVES",
    )  # fmt: skip
    return made


def _folder(text: str) -> Path:
    folder = Path(text)
    if not (folder / "taskset").is_dir() and not (folder / "lcbench").is_dir():
        raise argparse.ArgumentTypeError(f"it must hold taskset/ or lcbench/, got {text}")
    return folder
