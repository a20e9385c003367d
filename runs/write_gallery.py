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
from ..report.gallery import EDGE, GalleryCard, render_gallery, sort_by_fork_tree
from ..report.inline_images import InlineImage, ReadImage, inline_image
from ..report.setting_rows import preset_and_changes
from ..storage.files import replace_file
from ..storage.workspace import Workspace
from .fork_tree import Manifests, manifests_of, parent_of, root_of, tree_order
from .listing import ListedRun, RunStatus, list_runs


def write_gallery(
    out: Path | str | None = None, *, runs: Workspace | Path | str = "runs", state: RunStatus | None = None, find: str = ""
) -> Path:
    """Write one page with the runs of a workspace, and return its path.

    Args:
        out: the file; `gallery.html` in the folder of runs by default. Its links to the runs' own pages are relative.
        runs: the folder of runs, or a `Workspace`.
        state: only runs in this state; all by default.
        find: only runs with this in their name or request.

    Raises:
        SettingError: there is no such state.
        RunError: there is no such folder of runs.
        CheckpointError: the database cannot be opened.
        GalleryError: the file cannot be written.

    Example:
        ```python
        path = gems.write_gallery("foxes.html", find="fox")
        ```
    """
    workspace = Workspace.of(runs)
    path = workspace.folder / "gallery.html" if out is None else Path(out)
    entries = list_runs(workspace, state, find)
    if not entries:
        return _write_page(path, [])
    with workspace.database.open() as database:
        manifests = manifests_of(database)
    forks = Counter(parent[0] for thread in manifests if (parent := parent_of(manifests, thread)))
    roots = {root_of(manifests, entry.summary.thread) for entry in entries}
    positions = {name: n for root in roots for n, (name, _, _) in enumerate(tree_order(manifests, root))}
    cards = [_card(entry, workspace, path, manifests, forks, positions) for entry in entries]
    return _write_page(path, sort_by_fork_tree(cards))


def _write_page(path: Path, cards: Sequence[GalleryCard]) -> Path:
    if path.is_dir():
        raise GalleryError(f"{path} is a folder: name the file to write, such as {path / 'gallery.html'}")
    try:
        replace_file(path, render_gallery(cards).encode("utf-8", "replace"))
    except OSError as error:
        raise GalleryError(f"{path} cannot be written ({error.strerror or error}): name another file to write") from error
    return path


def _card(
    entry: ListedRun, workspace: Workspace, path: Path, manifests: Manifests, forks: Mapping[str, int], positions: Mapping[str, int]
) -> GalleryCard:
    summary, manifest, state = entry
    best = (state.best or best_of(state.attempts) or next(reversed(state.attempts), None)) if state else None
    page = workspace.folder / summary.thread / "report.html"
    name, changed = preset_and_changes(manifest.context) if manifest else ("", "")
    parent = parent_of(manifests, summary.thread) or ("", 0)
    return GalleryCard(
        thread=summary.thread,
        request=summary.prompt,
        standing=summary.state,
        message=without_paths(summary.error),
        page=quote(Path(os.path.relpath(page, path.parent)).as_posix()) if workspace.has_page(summary.thread) else "",
        image=_best_image(best, summary.thread, workspace.images.read) if best else None,
        passed=best.score.passed if best and best.score else 0,
        total=best.score.total if best and best.score else 0,
        rounds=summary.rounds,
        images=summary.images,
        calls=summary.calls,
        cost=summary.cost,
        preset=name,
        changed=changed,
        models=manifest.models.names if manifest else {},
        last=f"{summary.last_step:%Y-%m-%d %H:%M}",
        when=summary.last_step.timestamp(),
        parent=parent[0],
        forked_at=parent[1],
        forks=forks.get(summary.thread, 0),
        root=root_of(manifests, summary.thread),
        position=positions[summary.thread],
    )


def _best_image(best: Attempt, thread: str, read_image: ReadImage) -> InlineImage:
    return inline_image(best.image, read_image, alt=f"Best image of {thread}", edge=EDGE, light=0, density=1)
