"""The benchmark's report: one HTML page that works offline, made from the files in the results folder alone."""

from workflow.report.build import write_report

__all__ = ["write_report"]
