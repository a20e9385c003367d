"""The gallery: one page with a card for each of many runs, which can be filtered and sorted."""

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
"""Name of the colour of each status."""


@dataclass(frozen=True)
class GalleryCard:
    """A run in the gallery."""

    thread: str
    request: str
    standing: str
    message: str
    """Why it failed or cannot be read; empty otherwise."""
    page: str
    """Link to its own page; empty if there is none."""
    image: InlineImage | None
    passed: int
    total: int
    rounds: int
    images: int
    calls: int
    cost: float | None
    preset: str
    changed: str
    """Names of the settings that differ from the preset."""
    models: Mapping[str, str]
    last: str
    """When its last step ended, as text, in UTC."""
    when: float
    """The same as POSIX seconds."""
    parent: str
    forked_at: int
    """The first round that is not its parent's; 0 if it has no parent."""
    forks: int
    root: str
    """The root of its tree of forks; itself if it is no fork."""
    position: int
    """In its tree of forks, where each fork follows its parent; from 0."""

    @property
    def tone(self) -> str:
        """Name of the colour."""
        return TONES[self.standing]

    @property
    def share(self) -> float:
        """Share of checks that its best image passed, from 0 to 1."""
        return self.passed / self.total if self.total else 0.0


def sort_by_fork_tree(cards: Sequence[GalleryCard]) -> list[GalleryCard]:
    """Sort cards by the latest step in their tree of forks, the latest tree first; within a tree each fork follows its parent."""
    latest: dict[str, float] = {}
    for card in cards:
        latest[card.root] = max(card.when, latest.get(card.root, 0.0))
    return sorted(cards, key=lambda card: (-latest[card.root], card.root, card.position))


def render_gallery(cards: Sequence[GalleryCard]) -> str:
    """Return the gallery as HTML: one file with its images, its styles and a script that filters and sorts."""
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
