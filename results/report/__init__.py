"""The report: one HTML file that shows a study, side by side with others, or while it runs."""

from results.report.compare import compare
from results.report.report import report
from results.report.watch import watch

__all__ = ["compare", "report", "watch"]
