"""Render a refined folder as pages to look at."""

from radrefine.report.build import ReportOptions, ReportSummary, build_report

__all__ = ["ReportOptions", "ReportSummary", "build_report"]
