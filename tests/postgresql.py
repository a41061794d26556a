"""A PostgreSQL server of the tests' own, from the system's packages, on a socket that nobody else reaches."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
SETTINGS = {"listen_addresses": "", "fsync": "off", "max_connections": "200"}


@contextmanager
def postgresql() -> Iterator[str]:
    """A server's URL; it is ended, and what it kept is removed, on leaving."""
    programs = newest_programs()
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        user = "postgres" if os.geteuid() == 0 else None  # The server refuses to be root.
        if user:
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


def newest_programs() -> Path:
    """The folder of the newest server that is installed."""
    found = sorted(DEBIAN.glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("pg_ctl")
    assert found or on_path, "these tests need a PostgreSQL server: apt-get install postgresql"
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


def run(command: list[str | Path], user: str | None) -> None:
    """Run one of PostgreSQL's programs; fails with what it says."""
    done = subprocess.run(
        list(map(str, command)), user=user, cwd="/", stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
