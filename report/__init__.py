"""Runs to look at: pages of one self-contained file for a run or for many, and what a notebook shows."""

from .card import render_card
from .history import RunHistory
from .page import render_report, write_report
from .sheet import contact_sheet

__all__ = ["RunHistory", "contact_sheet", "render_card", "render_report", "write_report"]
