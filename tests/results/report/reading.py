"""What stands in a report's page, read as a browser would, and what the terminal shows."""

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from results.console import Console
from results.report import compare, report
from results.report.page import plotly_js
from results.study.folder import StudyFolder

VOID = {"meta", "link", "input", "img", "br", "wbr", "hr"}


class Page(HTMLParser):
    """A page's embedded data, its visible text and its ids; fails on a tag that is not closed."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.scripts: dict[str, str] = {}
        self.executed = 0
        self.images: list[str] = []
        self.addresses: list[str] = []
        self._open: list[str] = []
        self._script: str | None = None
        self._words: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"tags are left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if identity := given.get("id"):
            assert identity not in self.ids, f"the id {identity} is given twice"
            self.ids.add(identity)
        self.addresses += [address for name in ("src", "href") if (address := given.get(name))]
        if tag == "img":
            self.images.append(given.get("src") or "")
        if tag == "script":
            self._script = given.get("id")
            self.executed += given.get("type") != "application/json"
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            if self._script:
                self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif "style" not in self._open:
            self._words.append(data)

    @property
    def words(self) -> str:
        """The visible text, on one line."""
        return " ".join(" ".join(self._words).split())

    @property
    def data(self) -> dict[str, Any]:
        """The study's numbers."""
        return json.loads(self.scripts["study-data"], parse_constant=_refuse)

    @property
    def figures(self) -> dict[str, Any]:
        """The figures' specifications."""
        return json.loads(self.scripts["figure-data"], parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def read_page(path: Path) -> Page:
    """The page in a file; Plotly's own script is passed over."""
    return Page(path.read_text(encoding="utf-8").replace(plotly_js(), ""))


def report_page(folder: StudyFolder) -> Page:
    """The page that `report` writes of a study."""
    return read_page(report(folder, Console(file=io.StringIO())))


def report_text(folder: StudyFolder) -> str:
    """What `report` shows of a study on the terminal."""
    text = io.StringIO()
    report(folder, Console(file=text, width=200))
    return text.getvalue()


def comparison_page(folders: list[StudyFolder], to: Path) -> Page:
    """The page that `compare` writes of studies."""
    return read_page(compare(folders, to, Console(file=io.StringIO())))
