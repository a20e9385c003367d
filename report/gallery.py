"""The gallery: one page with many runs, as cards with their best images, with filters and an order to choose."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .inline_images import InlineImage
from .page import environment

EDGE = 288
"""Largest width and height of a card's image, in pixels."""

TONES: Mapping[str, str] = {
    **{"accepted": "pass", "gave up": "fail", "failed": "fail", "damaged": "fail"},
    **{"waiting": "unknown", "unfinished": "unknown", "running": "unknown"},
}
"""Name of the colour of each outcome."""


@dataclass(frozen=True)
class GalleryCard:
    """A run in the gallery."""

    thread: str
    request: str
    standing: str
    told: str
    """Why it has failed, or cannot be read, if that is so."""
    page: str
    """Link to its own page; empty where it has none."""
    picture: InlineImage | None
    passed: int
    total: int
    rounds: int
    images: int
    calls: int
    cost: float | None
    preset: str
    changed: str
    """The settings in which it differs from the preset."""
    models: Mapping[str, str]
    last: str
    """When its last step ended, as people read it, in UTC."""
    when: float
    """The same as seconds, to sort by."""
    parent: str
    left: int
    """The round at which it left its parent."""
    forks: int
    family: str
    """The eldest of its family: itself, where it is no fork."""
    place: int
    """In its family's line, where each fork stands after its parent; from 0."""

    @property
    def tone(self) -> str:
        """Name of the colour."""
        return TONES[self.standing]

    @property
    def share(self) -> float:
        """Share of the checks that its best image passed."""
        return self.passed / self.total if self.total else 0.0


def families_together(cards: Sequence[GalleryCard]) -> list[GalleryCard]:
    """Return the cards with the family of the latest first, and each fork after its parent, whichever ended later."""
    latest: dict[str, float] = {}
    for card in cards:
        latest[card.family] = max(card.when, latest.get(card.family, 0.0))
    return sorted(cards, key=lambda card: (-latest[card.family], card.family, card.place))


def render_gallery(cards: Sequence[GalleryCard]) -> str:
    """Return the page: one file with its images, its styles and its only script, which filters and sorts."""
    source, _, _ = environment().loader.get_source(environment(), "gallery.js")  # type: ignore[union-attr]
    script = source.strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    choices = {
        "outcome": sorted({card.standing for card in cards}),
        "preset": sorted({card.preset for card in cards if card.preset}),
        "model": sorted({name for card in cards for name in card.models.values()}),
    }
    return (
        environment()
        .get_template("gallery.html")
        .render(
            cards=cards,
            choices=choices,
            names={card.thread for card in cards},
            script=Markup(script),
            digest=digest,
            accepted=sum(card.standing == "accepted" for card in cards),
            images=sum(card.images for card in cards),
            calls=sum(card.calls for card in cards),
            priced=any(card.cost is not None for card in cards),
            cost=sum(card.cost or 0.0 for card in cards),
        )
    )
