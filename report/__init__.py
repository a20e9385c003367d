"""Pages for people: a run, the gallery, the card and the contact sheet of a notebook. Each page is one file."""

from .contact_sheets import contact_sheet
from .history import RunHistory
from .notebook_card import render_card
from .page import render_report, write_report

__all__ = ["RunHistory", "contact_sheet", "render_card", "render_report", "write_report"]
