"""What several folders of tests use."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pyarrow.fs import FileSystem
from xdist.scheduler import LoadScopeScheduling

from tests.postgresql import postgresql


class SlowOneByOne(LoadScopeScheduling):
    """With `pytest -n` one process has all of tests/slow, each of which takes the whole machine.

    The rest is shared.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "slow" if nodeid.startswith("tests/slow/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SlowOneByOne:
    return SlowOneByOne(config, log)


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """Of a PostgreSQL server that lives as long as the tests."""
    with postgresql() as url:
        yield url


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a bucket in a store on this machine that speaks S3."""
    credentials = {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = f"endpoint_override=http://{host}:{port}&scheme=http&region=us-east-1&allow_bucket_creation=true"
    store, name = FileSystem.from_uri(f"s3://studies-{uuid.uuid4().hex}?{options}")
    store.create_dir(name)
    yield f"s3://{name}/of-us?{options}"
    server.stop()
