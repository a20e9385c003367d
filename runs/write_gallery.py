"""Write the gallery: one page with the runs of a workspace."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from ..errors import GalleryError
from ..memory.state import Attempt, best_of
from ..privacy import without_paths
from ..report.gallery import EDGE, GalleryCard, families_together, render_gallery
from ..report.inline_images import InlineImage, ReadImage, picture
from ..report.view import preset_told
from ..storage.files import replace_file
from ..storage.workspace import Workspace
from .fork_tree import Manifests, manifests_of, parent_of, root_of, tree_order
from .listing import ListedRun, Standing, list_entries, list_runs


def write_gallery(
    out: Path | str | None = None, *, runs: Workspace | Path | str = "runs", state: Standing | None = None, find: str = ""
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
    home = Workspace.of(runs)
    path = home.folder / "gallery.html" if out is None else Path(out)
    if not home.database.exists():
        list_runs(home, state=state)  # which says so if there is no such folder
        return _write(path, [])
    with home.database.open() as opened:
        found = list_entries(opened, home, state=state, find=find)
        records = manifests_of(opened)
    forks = Counter(parent[0] for thread in records if (parent := parent_of(records, thread)))
    lines = {first: tree_order(records, first) for first in {root_of(records, one.summary.thread) for one in found}}
    places = {name: place for line in lines.values() for place, (name, _, _) in enumerate(line)}
    cards = [_card(one, home, path, records, forks, places) for one in found]
    return _write(path, families_together(cards))


def _write(path: Path, cards: Sequence[GalleryCard]) -> Path:
    if path.is_dir():
        raise GalleryError(f"{path} is a folder: name the file to write, such as {path / 'gallery.html'}")
    try:
        replace_file(path, render_gallery(cards).encode("utf-8", "replace"))
    except OSError as error:
        raise GalleryError(f"{path} cannot be written ({error.strerror or error}): name another file to write") from error
    return path


def _card(
    one: ListedRun, home: Workspace, path: Path, records: Manifests, forks: Mapping[str, int], places: Mapping[str, int]
) -> GalleryCard:
    summary, manifest, state = one
    best = (state.best or best_of(state.attempts) or next(reversed(state.attempts), None)) if state else None
    page = home.folder / summary.thread / "report.html"
    name, changed = preset_told(manifest.context) if manifest else ("", "")
    parent = parent_of(records, summary.thread) or ("", 0)
    return GalleryCard(
        thread=summary.thread,
        request=summary.prompt,
        standing=summary.standing,
        told=without_paths(summary.told),
        page=quote(Path(os.path.relpath(page, path.parent)).as_posix()) if home.has_page(summary.thread) else "",
        picture=_picture(best, summary.thread, home.images.read) if best else None,
        passed=best.score.passed if best and best.score else 0,
        total=best.score.total if best and best.score else 0,
        rounds=summary.rounds,
        images=summary.images,
        calls=summary.calls,
        cost=summary.cost,
        preset=name,
        changed=changed,
        models=manifest.models.names if manifest else {},
        last=f"{summary.last:%Y-%m-%d %H:%M}",
        when=summary.last.timestamp(),
        parent=parent[0],
        left=parent[1],
        forks=forks.get(summary.thread, 0),
        family=root_of(records, summary.thread),
        place=places[summary.thread],
    )


def _picture(best: Attempt, thread: str, read_image: ReadImage) -> InlineImage:
    return picture(best.image, read_image, alt=f"Best image of {thread}", edge=EDGE, light=0, density=1)
