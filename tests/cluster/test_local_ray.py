"""Proves that Ray gets a folder, a token and CPUs here, or one message.

pytest tests/cluster/test_local_ray.py
"""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray
from ray._private.authentication.authentication_token_setup import AuthenticationTokenLoader
from ray._private.utils import validate_socket_filepath

from cluster import connect as connecting
from cluster import local_ray, ray_private
from cluster.connect import connect
from results.study.folder import StudyError

LONG = "a-scratch-folder/of-a-cluster/with-a-long-name"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, short: Path) -> Iterator[None]:
    """Nothing of Ray in it, and a home that nobody can write."""
    for name in ("TMPDIR", "AUTH_MODE", "AUTH_TOKEN", "AUTH_TOKEN_PATH", "ADDRESS"):
        monkeypatch.delenv(f"RAY_{name}", raising=False)
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setenv("HOME", "/proc/none")
    monkeypatch.setattr(local_ray, "SPARE_FOLDERS", ("/proc/none/ray", str(short / "spare")))
    AuthenticationTokenLoader.instance().reset_cache()
    yield
    os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
    monkeypatch.undo()
    AuthenticationTokenLoader.instance().reset_cache()


def test_ray_stays_in_a_folder_that_will_do(short: Path) -> None:
    assert local_ray.ray_folder() == str(short / "ray")
    assert os.environ["TMPDIR"] == str(short)


@pytest.mark.parametrize("folder", [f"/tmp/{LONG}", "/proc/none"])
def test_else_it_takes_a_spare_one_with_its_processes(
    folder: str, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", folder)
    assert local_ray.ray_folder() == str(short / "spare")
    assert os.environ["TMPDIR"] == str(short)


def test_without_any_the_message_names_tmpdir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/proc/none")
    monkeypatch.setattr(local_ray, "SPARE_FOLDERS", ("/proc/a", "/proc/b"))
    with pytest.raises(
        StudyError, match=r"got /proc/none/ray, and .* /proc/a nor /proc/b do; set TMPDIR"
    ):
        local_ray.ray_folder()


def test_the_longest_folder_still_holds_the_longest_socket() -> None:
    validate_socket_filepath("x" * local_ray.MOST_BYTES + local_ray.LONGEST_SOCKET)
    with pytest.raises(OSError, match="AF_UNIX"):
        validate_socket_filepath("x" * (local_ray.MOST_BYTES + 1) + local_ray.LONGEST_SOCKET)


def test_a_token_that_no_home_can_keep_is_told_by_the_command_that_is_named() -> None:
    local_ray.ensure_token()
    token = AuthenticationTokenLoader.instance().get_raw_token(ignore_auth_mode=True)
    command = local_ray.token_text().split("`")[1]
    assert len(token) == 64
    assert subprocess.run(shlex.split(command), capture_output=True, text=True).stdout == token
    path = Path(shlex.split(command)[-1])
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_token_that_is_there_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    local_ray.ensure_token()
    kept = (tmp_path / ".ray" / "auth_token").read_text()
    local_ray.ensure_token()
    assert (tmp_path / ".ray" / "auth_token").read_text() == kept
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ
    assert local_ray.token_text().startswith("`ray get-auth-token` prints")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "one of the user's own, which Ray takes")
    assert local_ray.token_text() == "it asks for the token in RAY_AUTH_TOKEN"


def test_launches_that_begin_at_once_have_one_token(tmp_path: Path) -> None:
    path = tmp_path / ".ray" / "auth_token"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(local_ray._save_token, [path] * 8))
        kept = path.read_text()
        list(pool.map(local_ray._save_token, [path] * 8))
    assert len(kept) == 64 and path.read_text() == kept
    assert path.stat().st_mode & 0o077 == 0
    assert [other.name for other in path.parent.iterdir()] == ["auth_token"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto"])
def test_an_address_where_nobody_listens_is_told_at_once(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(StudyError, match=f"no Ray cluster can be joined at {address}: .*refused"):
        connect(address)


def test_whatever_keeps_ray_from_starting_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**settings: object) -> None:
        raise Exception("The current node timed out during startup.\n" + "a line of a log\n" * 100)

    monkeypatch.setattr(connecting, "local_settings", lambda: {"_temp_dir": "/tmp/ray"})
    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(
        StudyError, match=r"Ray can't start on this machine: The current node timed out.*TMPDIR"
    ) as caught:
        connect(None)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800


def test_ray_is_told_how_many_cpus_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_ray, "usable_cpus", lambda: 3)
    monkeypatch.setattr(ray_private, "listen_on_loopback", lambda: None)
    assert local_ray.local_settings()["num_cpus"] == 3
