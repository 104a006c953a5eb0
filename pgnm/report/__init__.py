"""Render run folders as one page: what was trained, how it went, what it gets right and wrong."""

from pgnm.report.build import ReportSummary, build_report

__all__ = ["ReportSummary", "build_report"]
