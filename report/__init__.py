"""Runs to look at: pages of one self-contained file for a run or for many, and what a notebook shows."""

from .card import render_card
from .page import render_report, write_report
from .sheet import contact_sheet
from .story import Story

__all__ = ["Story", "contact_sheet", "render_card", "render_report", "write_report"]
