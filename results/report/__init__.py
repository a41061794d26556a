"""The report: one HTML file that shows a study, side by side with others, or while it runs."""

from results.report.compare import compare, print_comparison
from results.report.page import report_html, write_page, write_report
from results.report.terminal import print_report
from results.report.watch import watch

__all__ = [
    "compare",
    "print_comparison",
    "print_report",
    "report_html",
    "watch",
    "write_page",
    "write_report",
]
