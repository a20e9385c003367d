"""Pages for people: a run, the gallery, the card and the contact sheet of a notebook. Each page is one file."""

from .card import render_card
from .history import RunHistory
from .page import render_report, write_report
from .sheet import contact_sheet

__all__ = ["RunHistory", "contact_sheet", "render_card", "render_report", "write_report"]
