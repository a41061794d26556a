"""What several folders of tests use."""

import os
import uuid
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import pytest
import torch
from moto.server import ThreadedMotoServer
from pyarrow.fs import FileSystem
from xdist.scheduler import LoadScopeScheduling

from tests.postgresql import postgresql

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


class SlowInTwoChains(LoadScopeScheduling):
    """With `pytest -n` two processes have all of tests/slow, the others share what is left.

    Each slow test starts a Ray that wants every CPU, but waits much for its start and its end: two
    go well side by side, more would disturb each other. The two files are about half of it all.
    """

    HALF = ("tests/slow/test_survival.py", "tests/slow/test_search.py")

    def _split_scope(self, nodeid: str) -> str:
        if not nodeid.startswith("tests/slow/"):
            return nodeid
        return "slow, one half" if nodeid.startswith(self.HALF) else "slow, the other half"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SlowInTwoChains:
    return SlowInTwoChains(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a GPU, tests of one are left out, rather than skipped: none may be skipped in CI."""
    left_out = [item for item in items if item.get_closest_marker("gpu")]
    if left_out and not torch.cuda.is_available():
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return unless_forbidden((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return unless_forbidden((yield))


def unless_forbidden(report: Report) -> Report:
    """The report; with $RUNGS_NO_SKIPS, which CI sets, a skipped test's is that of a failed one."""
    if report.skipped and isinstance(report.longrepr, tuple) and os.environ.get("RUNGS_NO_SKIPS"):
        *_, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"no test may be skipped here (RUNGS_NO_SKIPS): {reason}"
    return report


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
