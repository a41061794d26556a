"""The report of a study: its brief form on the terminal, and the page."""

from pathlib import Path

from results.console import Console
from results.pictures import draw_best
from results.report.findings import Findings, read_what_is_whole
from results.report.page import page_html, write_page
from results.report.terminal import print_findings
from results.study.folder import StudyFolder


def report(folder: StudyFolder, console: Console) -> Path:
    """Read a study once, show it on the terminal and write its page.

    Also while it runs, after a crash, and when parts of it can't be read, which is said.

    Raises:
        StudyError: when there is no study in the folder, or the page can't be written.
    """
    record, problem = read_what_is_whole(folder)
    undrawn = draw_best(record) if record and not problem else None
    findings = Findings.of(record) if record else None
    page = page_html(folder, findings, problem)
    if findings and not problem:
        print_findings(findings, console)
    if problem or undrawn:
        console.say(problem or undrawn or "", style="red")
    return write_page(folder, page)
