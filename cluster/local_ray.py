"""What a Ray that is started here needs: the CPUs it may use, room for its sockets, a token."""

import atexit
import contextlib
import os
import secrets
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from cluster import ray_private
from results.study.folder import StudyError
from trainables.machine import is_writable, usable_cpus

LOOPBACK = "127.0.0.1"
LONGEST_SOCKET = "/session_2026-01-02_03-04-05_678901_2345678/sockets/dash_MetricsHead"
SPARE_FOLDERS = ("/tmp/ray", f"/tmp/ray-{os.getuid()}")  # The former may be someone else's.
MOST_BYTES = 107 - len(LONGEST_SOCKET)  # A socket's path has at most 107 bytes.


def local_settings() -> dict[str, Any]:
    """What `ray.init` is told of this machine.

    Raises:
        StudyError: when there is no folder for Ray's files.
    """
    folder = ray_folder()
    ray_private.listen_on_loopback()
    ensure_token()
    return {
        "include_dashboard": True,
        "dashboard_host": LOOPBACK,
        "num_cpus": usable_cpus(),
        "_temp_dir": folder,
    }


def ray_folder() -> str:
    """Where Ray keeps its sockets and logs: in `$TMPDIR`, or in /tmp where that won't do.

    Its processes make sockets in `$TMPDIR` too, which then becomes /tmp.

    Raises:
        StudyError: when neither will.
    """
    usual = ray_private.default_ray_folder()
    if _is_good(usual):
        return usual
    for folder in SPARE_FOLDERS:
        if _is_good(folder):
            os.environ["TMPDIR"] = str(Path(folder).parent)
            return folder
    raise StudyError(
        "Ray can't start: it needs a folder that can be written, with a path of at most "
        f"{MOST_BYTES} bytes, got {usual}, and neither will {' nor '.join(SPARE_FOLDERS)} do; "
        "set TMPDIR to a short path"
    )


def _is_good(folder: str) -> bool:
    return len(os.fsencode(folder)) <= MOST_BYTES and is_writable(Path(folder))


def ensure_token() -> None:
    """Have a token for Ray; where its own file can't be written, one for this launch alone."""
    mode = os.environ.get("RAY_AUTH_MODE", "token").lower()
    if mode != "token" or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    if ray_private.has_token():
        return
    try:
        _save_token(Path.home() / ".ray" / "auth_token")
    except OSError:
        folder = tempfile.mkdtemp(prefix="rungs-token-")  # Of this user alone.
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / "token"
        path.write_text(secrets.token_hex(32), encoding="utf-8")
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    ray_private.forget_token()


def _save_token(path: Path) -> None:
    """Keep a new token for this user's launches, unless one that began at the same time just has.

    A file appears with its content: a launch that read none yet, or another one than its Ray does
    a moment later, could not join it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".token-") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(file.name)


def token_text() -> str:
    """How to come by the token that the dashboard asks for."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "it asks for the token in RAY_AUTH_TOKEN"
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    command = f"cat {shlex.quote(path)}" if path else "ray get-auth-token"
    return f"`{command}` prints the token that it asks for"
