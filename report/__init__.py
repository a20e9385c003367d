"""A run to look at: its page, one self-contained file to print and pass on, and what a notebook shows of it."""

from .card import render_card
from .page import render_report, write_report
from .sheet import contact_sheet

__all__ = ["contact_sheet", "render_card", "render_report", "write_report"]
