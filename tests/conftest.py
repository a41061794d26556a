"""What several folders of tests use."""

from collections.abc import Iterator

import pytest

from tests.postgresql import postgresql


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """Of a PostgreSQL server that lives as long as the tests."""
    with postgresql() as url:
        yield url
