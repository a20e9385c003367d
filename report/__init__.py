"""The HTML page of a run: one self-contained file to look at, print and pass on."""

from .page import render_report, write_report

__all__ = ["render_report", "write_report"]
