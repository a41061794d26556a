"""Proves that a watched report is this machine's alone, and renewed when the study changes.

pytest tests/results/report/test_watch.py
"""

import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from cluster.search.study import Study
from results.report.watch import LEAST_AGE_S, Pages, make_server
from results.study.folder import StudyError, StudyFolder, StudyLock
from tests.results.report.studies import drive, open_study, space


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return drive(open_study(tmp_path / "s", space()), 2)


class Clock:
    """Time that is moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = drive(open_study(tmp_path_factory.mktemp("s"), space()), 2).folder
    with make_server(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def ask(
    port: int, path: str, *, host: str | None = None, method: str = "GET"
) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_the_page_knows_its_version_and_may_ask_for_a_newer_one(port: int) -> None:
    answer, page = ask(port, "/")
    version = ask(port, "/version")[1]
    assert answer.status == 200 and answer.getheader("Cache-Control") == "no-store"
    assert f'data-version="{version}"' in page and "connect-src 'self'" in page


@pytest.mark.parametrize(
    "path", ["/report.html", "/journal.log", "/../journal.log", "/version/", "//evil", "/%2e%2e/"]
)
def test_nothing_else_is_served(port: int, path: str) -> None:
    assert ask(port, path)[0].status == 404


@pytest.mark.parametrize(
    "host", ["evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "", "["]
)
def test_another_hosts_name_is_refused(port: int, host: str) -> None:
    for path in ("/", "/version"):
        answer, text = ask(port, path, host=host)
        assert answer.status == 421 and "studied" not in text


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:8265", "LOCALHOST"])
def test_this_machines_names_are_served(port: int, host: str) -> None:
    assert ask(port, "/version", host=host)[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_only_get_is_answered(port: int, method: str) -> None:
    assert ask(port, "/", method=method)[0].status == 501


def test_the_server_listens_on_loopback_alone(study: Study) -> None:
    with make_server(study.folder, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_taken_port_is_refused(study: Study, port: int) -> None:
    with pytest.raises(
        StudyError, match=rf"port {port} can't be listened on: .*choose another --port"
    ):
        make_server(study.folder, port)


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is no study"):
        make_server(StudyFolder(tmp_path / "none"), 0)


def test_the_version_changes_with_the_study_once_the_page_is_old_enough(study: Study) -> None:
    clock = Clock()
    pages = Pages(study.folder, clock)
    _, first = pages.page()
    _, version = pages.version()
    assert pages.version()[1] == version, "nothing has changed"
    drive(study, 1)
    assert pages.version()[1] == version, "the page is too young to be drawn anew"
    assert pages.page()[1] is first
    clock.now += LEAST_AGE_S
    newer = pages.version()[1]
    assert newer != version
    assert f'data-version="{newer}"' in pages.page()[1]


def test_the_version_tells_that_the_search_has_ended(study: Study) -> None:
    pages = Pages(study.folder, Clock())
    idle = pages.version()[1]
    with StudyLock(study.folder):
        assert pages.version()[1] != idle
    assert pages.version()[1] == idle
