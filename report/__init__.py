"""Pages to look at, print and pass on: one self-contained file for a run, and one for many runs."""

from .page import render_report, write_report
from .story import Story

__all__ = ["Story", "render_report", "write_report"]
