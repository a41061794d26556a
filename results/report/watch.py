"""The report while a search runs: served to this machine alone, renewed as the study changes."""

import hashlib
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from results.console import Console
from results.report.findings import Findings, read_what_is_whole
from results.report.page import page_html
from results.study.folder import StudyError, StudyFolder, lock_holder

LOOPBACK = "127.0.0.1"
HOSTS = (LOOPBACK, "localhost")
LEAST_AGE_S = 10.0  # of a page before it is drawn anew, so that looking costs the search little
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def watch(folder: StudyFolder, port: int) -> None:
    """Serve a study's report on this machine's loopback until Ctrl-C.

    Raises:
        StudyError: when there is no study in the folder, or the port is taken.
    """
    with make_server(folder, port) as server:
        url = f"http://{LOOPBACK}:{server.server_address[1]}"
        Console().say(f"{folder.path}: watch it at {url}; Ctrl-C ends this")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def make_server(
    folder: StudyFolder, port: int, clock: Callable[[], float] = time.monotonic
) -> ThreadingHTTPServer:
    """The server, listening already; port 0 takes a free one.

    Raises:
        StudyError: when there is no study in the folder, or the port is taken.
    """
    if not folder.exists():
        raise StudyError(f"{folder.path} is no study: it has no {folder.description.name}")
    pages = Pages(folder, clock)

    class Handler(_Handler):
        """Answers for this study."""

        answers = {"/": pages.page, "/version": pages.version}  # noqa: RUF012

    try:
        server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    except OSError as error:
        raise StudyError(
            f"port {port} can't be listened on: {error.strerror}; choose another --port"
        ) from error
    server.daemon_threads = True
    return server


class Pages:
    """A study's page, drawn anew when the study has changed and the last one is not too young."""

    def __init__(self, folder: StudyFolder, clock: Callable[[], float] = time.monotonic):
        self._folder, self._clock = folder, clock
        self._lock = threading.Lock()
        self._page: tuple[str, str, float] | None = None

    def version(self) -> tuple[str, str]:
        """What changes with the study; while the page is young, the page's own."""
        page = self._page
        young = page is not None and self._clock() - page[2] < LEAST_AGE_S
        return "text/plain", page[0] if page and young else self._current()

    def page(self) -> tuple[str, str]:
        """The report."""
        with self._lock:
            version = self.version()[1]
            if self._page is None or self._page[0] != version:
                self._page = (version, self._drawn(version), self._clock())
            return "text/html", self._page[1]

    def _drawn(self, version: str) -> str:
        record, problem = read_what_is_whole(self._folder)
        findings = Findings.of(record) if record else None
        return page_html(self._folder, findings, problem, version)

    def _current(self) -> str:
        """The sizes and times of the files that a report shows, and whether the search runs."""
        folder = self._folder
        files = [folder.journal, folder.description, folder.confirmed]
        if not folder.journal.exists():
            # The trials are in a database; that there is something new shows in their files.
            files += sorted((folder.path / "trials").glob("*/metrics.jsonl"))
        marks = " ".join(map(_mark, files)) + ("idle" if lock_holder(folder) is None else "running")
        return hashlib.sha256(marks.encode()).hexdigest()[:16]


def _mark(path: Path) -> str:
    """What changes when a file does."""
    try:
        found = path.stat()
    except OSError:
        return "none"
    return f"{found.st_size}.{found.st_mtime_ns}"


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for the known paths, to those who asked for this machine by its own name."""

    answers: dict[str, Callable[[], tuple[str, str]]]
    timeout = 30

    def do_GET(self) -> None:
        """Answer."""
        answer = self.answers.get(urlsplit(self.path).path)
        if not _is_ours(self.headers.get("Host", "")):
            self._send(
                HTTPStatus.MISDIRECTED_REQUEST,
                "text/plain",
                "this server is for this machine alone\n",
            )
        elif answer is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "there is / and /version\n")
        else:
            self._answer(answer)

    def _answer(self, answer: Callable[[], tuple[str, str]]) -> None:
        try:
            kind, text = answer()
        except (StudyError, OSError) as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n")
        else:
            self._send(HTTPStatus.OK, kind, text)

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode("utf-8")
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


def _is_ours(host: str) -> bool:
    """Whether a Host header names this machine's loopback.

    A name that an attacker made point here doesn't.
    """
    try:
        return urlsplit(f"//{host}").hostname in HOSTS
    except ValueError:
        return False
