"""The gallery: one page with many runs, as cards with their best images, with filters and an order to choose."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from ..errors import GemsError
from ..memory.state import Attempt, best_of
from ..runs.fork_tree import Records, eldest, line_of, parent_of, records_of
from ..runs.listing import Found, Standing, found_runs, past_runs
from ..storage.files import replace_file
from ..storage.workspace import Home
from .inline_images import Picture, ReadImage, picture
from .page import environment
from .view import preset_told, without_paths

EDGE = 288
"""Largest width and height of a card's image, in pixels."""

TONES: Mapping[Standing, str] = {
    **{"accepted": "pass", "gave up": "fail", "failed": "fail", "damaged": "fail"},
    **{"waiting": "unknown", "unfinished": "unknown", "running": "unknown"},
}
"""Name of the colour of each outcome."""


class GalleryError(GemsError):
    """The gallery cannot be written where it was asked for."""


@dataclass(frozen=True)
class GalleryCard:
    """A run in the gallery."""

    thread: str
    request: str
    standing: Standing
    told: str
    """Why it has failed, or cannot be read, if that is so."""
    page: str
    """Link to its own page; empty where it has none."""
    picture: Picture | None
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


def write_gallery(
    out: Path | str | None = None, *, runs: Home | Path | str = "runs", state: Standing | None = None, find: str = ""
) -> Path:
    """Write one page with many runs, and return where it is.

    Args:
        out: the file; `gallery.html` in the folder of runs by default. Its links to the runs' own pages are relative.
        runs: the folder of runs, or their home.
        state: only runs that stand so; all by default.
        find: only those with this in their name or request.

    Raises:
        SettingError: no run stands so.
        RunError: there is no such folder of runs.
        CheckpointError: the database cannot be opened.
        GalleryError: the file cannot be written.
    """
    home = Home.of(runs)
    path = home.folder / "gallery.html" if out is None else Path(out)
    if not home.database.exists():
        past_runs(home, state=state)  # which says so if there is no such folder
        return _write(path, [])
    with home.database.open() as opened:
        found = found_runs(opened, home, state=state, find=find)
        records = records_of(opened)
    forks = Counter(parent[0] for thread in records if (parent := parent_of(records, thread)))
    lines = {first: line_of(records, first) for first in {eldest(records, one.past.thread) for one in found}}
    places = {name: place for line in lines.values() for place, (name, _, _) in enumerate(line)}
    cards = [_card(one, home, path, records, forks, places) for one in found]
    return _write(path, families_together(cards))


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


def _write(path: Path, cards: Sequence[GalleryCard]) -> Path:
    if path.is_dir():
        raise GalleryError(f"{path} is a folder: name the file to write, such as {path / 'gallery.html'}")
    try:
        replace_file(path, render_gallery(cards).encode("utf-8", "replace"))
    except OSError as error:
        raise GalleryError(f"{path} cannot be written ({error.strerror or error}): name another file to write") from error
    return path


def _card(one: Found, home: Home, path: Path, records: Records, forks: Mapping[str, int], places: Mapping[str, int]) -> GalleryCard:
    past, record, state = one
    best = (state.best or best_of(state.attempts) or next(reversed(state.attempts), None)) if state else None
    page = home.folder / past.thread / "report.html"
    name, changed = preset_told(record.context) if record else ("", "")
    parent = parent_of(records, past.thread) or ("", 0)
    return GalleryCard(
        thread=past.thread,
        request=past.prompt,
        standing=past.standing,
        told=without_paths(past.told),
        page=quote(Path(os.path.relpath(page, path.parent)).as_posix()) if home.has_page(past.thread) else "",
        picture=_picture(best, past.thread, home.images.read) if best else None,
        passed=best.score.passed if best and best.score else 0,
        total=best.score.total if best and best.score else 0,
        rounds=past.rounds,
        images=past.images,
        calls=past.calls,
        cost=past.cost,
        preset=name,
        changed=changed,
        models=record.models.names if record else {},
        last=f"{past.last:%Y-%m-%d %H:%M}",
        when=past.last.timestamp(),
        parent=parent[0],
        left=parent[1],
        forks=forks.get(past.thread, 0),
        family=eldest(records, past.thread),
        place=places[past.thread],
    )


def _picture(best: Attempt, thread: str, read_image: ReadImage) -> Picture:
    return picture(best.image, read_image, alt=f"Best image of {thread}", edge=EDGE, light=0, density=1)
