"""Environments for the peers whose libraries clash with ours; the versions are pinned.

python -m benchmarks.search.peers.environments syne --folder environments
PYTHONPATH=. environments/syne/bin/python -m benchmarks.search.replay --method syne_asha ...

The first line of `requirements/NAME.txt` says which peers an environment is for.
"""

import argparse
import subprocess
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
NAMES = sorted(file.stem for file in REQUIREMENTS.glob("*.txt"))


def make(name: str, folder: Path) -> Path:
    """Its Python."""
    venv.create(folder / name, with_pip=True)
    python = folder / name / "bin" / "python"
    file = REQUIREMENTS / f"{name}.txt"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", file], check=True)
    return python


def main() -> None:
    """Make one, and say how it is used."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--folder", required=True, type=Path)
    chosen = parser.parse_args()
    print(f"PYTHONPATH=. {make(chosen.name, chosen.folder)} -m benchmarks.search.replay --help")


if __name__ == "__main__":
    main()
