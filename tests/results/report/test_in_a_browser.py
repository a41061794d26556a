"""Proves that a browser shows a report, answers hover, filter, sort and click, with no complaint.

pytest -m slow tests/results/report/test_in_a_browser.py
"""

import io
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from results.console import Console
from results.report import compare
from results.report.watch import make_server
from results.study.folder import StudyFolder
from tests.results.report.reading import report_page
from tests.results.report.studies import drive, open_study, space

pytestmark = pytest.mark.slow
SECTIONS = {
    "best": "Best configuration",
    "warnings": "Warnings",
    "search": "How the search went",
    "learning": "Learning curves",
    "coordinates": "All parameters at once",
    "matters": "What mattered",
    "time": "Timeline",
    "trials": "Trials",
    "about": "What was searched, and on what",
}
FIGURES = (
    "history",
    "progress_epochs",
    "progress_time",
    "curves",
    "parallel",
    "importance",
    "contour",
    "timeline",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    with sync_playwright() as playwright:
        program = chromium or playwright.chromium.executable_path
        if not Path(program).exists():
            pytest.skip(
                "no browser is installed: apt-get install chromium, or: playwright install chromium"
            )
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of 24 trials: stopped, complete, failed; with a user's hostile texts in it."""
    study = drive(open_study(tmp_path_factory.mktemp("it's a <study>") / "s ✓", space()))
    report_page(study.folder)
    return study.folder


@pytest.fixture
def opened(browser: Browser, folder: StudyFolder) -> Iterator[Page]:
    yield from shown(browser, (folder.path / "report.html").as_uri(), width=1400)


@pytest.fixture
def on_a_phone(browser: Browser, folder: StudyFolder) -> Iterator[Page]:
    yield from shown(browser, (folder.path / "report.html").as_uri(), width=390)


def shown(
    browser: Browser, address: str, *, width: int, scheme: Literal["light", "dark"] = "light"
) -> Iterator[Page]:
    """A page; in the end nothing may have gone wrong in it, and no user's text may have run."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    yield page
    assert page.evaluate("window.attacked") is None
    page.close()
    assert complaints == []


def until(page: Page, expression: str, *, timeout_s: float = 20) -> None:
    """Wait until an expression holds; the page's policy forbids that Playwright itself waits."""
    deadline = time.monotonic() + timeout_s
    while not _holds(page, expression):
        assert time.monotonic() < deadline, f"it did not happen in time: {expression}"
        page.wait_for_timeout(50)


def _holds(page: Page, expression: str) -> bool:
    try:
        return bool(page.evaluate(expression))
    except Error:  # The page was just being loaded anew.
        return False


def drawn(page: Page, name: str) -> None:
    """Scroll to a figure and wait until it is there."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{name} [data-drawn] .main-svg")


def points(page: Page, name: str) -> int:
    """How many markers of trials a figure shows."""
    return page.locator(f"#{name} .scatterlayer .trace path.point:visible").count()


def test_every_section_and_figure_is_there(opened: Page) -> None:
    for identity, title in SECTIONS.items():
        expect(opened.locator(f"#{identity} h2")).to_have_text(title)
    for name in FIGURES:
        drawn(opened, name)
    expect(opened.locator("#matters .slices .figure")).to_have_count(4)
    expect(opened.locator("#model .slices .figure")).to_have_count(3)  # Of what the best has.


def test_a_point_tells_its_trial(opened: Page) -> None:
    drawn(opened, "history")
    opened.evaluate(
        "Plotly.Fx.hover(document.querySelector('#history .plot'), [{curveNumber: 0, pointNumber: "
        "1}])"
    )
    expect(opened.locator("#history .hoverlayer .hovertext")).to_contain_text("trial ")
    opened.evaluate("Plotly.Fx.unhover(document.querySelector('#history .plot'))")
    point = opened.locator("#history .scatterlayer .trace path.point").nth(1)
    box = point.bounding_box()
    assert box
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(opened.locator("#history .hoverlayer .hovertext")).to_contain_text("dropout")


def test_the_filter_acts_on_table_and_figures(opened: Page) -> None:
    drawn(opened, "history")
    drawn(opened, "curves")
    before = {name: points(opened, name) for name in ("history", "curves")}
    rows = opened.locator("#table tbody tr:visible")
    expect(opened.locator("#shown")).to_have_text("24 of 24 trials")
    stopped = opened.locator("#table tbody tr[data-state='stopped early']").count()
    opened.locator(".filter input[data-state='stopped early']").uncheck()
    expect(opened.locator("#shown")).to_have_text(f"{24 - stopped} of 24 trials")
    expect(rows).to_have_count(24 - stopped)
    for name, count in before.items():
        until(
            opened,
            f"document.querySelectorAll('#{name} .scatterlayer path.point').length < {count}",
        )
        assert 0 < points(opened, name) < count
    opened.locator(".filter input[data-state='stopped early']").check()
    expect(opened.locator("#shown")).to_have_text("24 of 24 trials")


def test_the_table_is_sorted_and_searched(opened: Page) -> None:
    numbers = opened.locator("#table tbody td:first-child")
    opened.locator("#table th button", has_text="trial").first.click()
    assert numbers.all_inner_texts() == [str(number) for number in range(24)]
    opened.locator("#table th button", has_text="trial").first.click()
    assert numbers.all_inner_texts() == [str(number) for number in reversed(range(24))]
    opened.locator("#find").fill("trial 5")
    expect(opened.locator("#shown")).to_have_text("1 of 24 trials")


def test_a_chosen_trial_is_marked_everywhere(opened: Page) -> None:
    drawn(opened, "curves")
    opened.locator("#table tr[data-trial='0'] button").click()
    expect(opened.locator("#chosen")).to_contain_text("trial 0 is marked")
    marked = (
        "document.querySelector('#curves .plot').data.find((one) => one.meta?.role === "
        "'selected').x.length"
    )
    until(opened, f"{marked} > 0")
    opened.locator("#chosen button").click()
    until(opened, f"{marked} === 0")


def test_a_phone_needs_no_sideways_scrolling(on_a_phone: Page) -> None:
    for name in FIGURES:
        drawn(on_a_phone, name)
    assert on_a_phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_dark_is_dark(browser: Browser, folder: StudyFolder) -> None:
    address = (folder.path / "report.html").as_uri()
    for page in shown(browser, address, width=1400, scheme="dark"):
        drawn(page, "history")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) < 60


def test_a_comparison_opens(browser: Browser, folder: StudyFolder, tmp_path: Path) -> None:
    address = compare([folder, folder], tmp_path / "c.html", Console(io.StringIO())).as_uri()
    for page in shown(browser, address, width=390):
        drawn(page, "epochs_0")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_watched_report_renews_itself_and_stays_where_it_was(
    browser: Browser, tmp_path: Path
) -> None:
    study = drive(open_study(tmp_path, space()), 2)
    clock = [0.0]
    with make_server(study.folder, 0, lambda: clock[0]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for page in shown(browser, f"http://127.0.0.1:{server.server_address[1]}/", width=1400):
            expect(page.locator("#shown")).to_have_text("2 of 2 trials")
            page.locator("#find").fill("complete")
            page.locator("#about").scroll_into_view_if_needed()
            before = page.evaluate("scrollY")
            assert before > 500
            drive(study, 1)
            clock[0] = 60.0
            until(page, "document.getElementById('shown').textContent.includes('of 3 trials')")
            assert page.locator("#find").input_value() == "complete"
            until(page, f"Math.abs(scrollY - {before}) < 400")
        server.shutdown()
