"""Room: runs that are removed, and old ones of which only the end and the best image are kept.

What a killed process leaves undone is done by the next one: a run's record goes last.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from langchain_core.runnables import RunnableConfig

from ..memory.database import Opened, Tip
from ..memory.files import sweep
from ..memory.home import Home
from ..memory.locks import RunInUseError
from ..memory.serializer import CheckpointError
from ..memory.state import Attempt, best_of
from .past import Standing, past
from .record import RunError, forget_record, read_record, save_record, threads

ENDED: tuple[Standing, ...] = ("accepted", "gave up")
ORPHAN = timedelta(days=1)
"""Age from which a picture that nothing refers to is an orphan: a younger one may belong to a step that is being taken."""


class Freed(NamedTuple):
    """What was removed, and what room that made."""

    removed: tuple[str, ...] = ()
    """Runs that are gone."""
    trimmed: tuple[str, ...] = ()
    """Runs of which only the end and the best image are left."""
    rows: int = 0
    """Rows of the tables of checkpoints."""
    images: int = 0
    image_bytes: int = 0
    """Of these images, and of files that a killed process had not written to their end."""
    database_bytes: int = 0
    notes: tuple[str, ...] = ()
    """What was left as it is, and why."""


def remove(names: Sequence[str], runs: Home | Path | str = "runs") -> Freed:
    """Remove runs: their checkpoints, records and folders, and the pictures that no other run refers to.

    Args:
        names: of the runs.
        runs: the folder of runs, or their home.

    Raises:
        RunError: there is no such run; then none is removed.
        RunInUseError: a run is in progress in another process; those named before it are removed.
    """
    home = Home.of(runs)
    if not home.database.exists():
        raise RunError(f"there are no runs in {home.folder}; see --runs")
    with home.database.open() as opened:
        known = set(threads(opened, home))
        for name in names:
            if name not in known:
                read_record(opened, home, name)  # which says which there are
        return _free(opened, home, list(dict.fromkeys(names)), [], strict=True)


def prune(
    older_than: timedelta | None = None,
    *,
    keep_best: bool = False,
    unfinished: bool = False,
    dry_run: bool = False,
    runs: Home | Path | str = "runs",
) -> Freed:
    """Make room: remove old runs, and pictures that nothing refers to, and shrink the database.

    Args:
        older_than: runs whose last step is older are removed; without it no run is.
        keep_best: of these, the end of the run, its page and its best image are kept.
        unfinished: also runs that were interrupted, wait for a person, or are damaged; else only those that have ended.
        dry_run: only tell what would be removed; the database's share is not known then.
        runs: the folder of runs, or their home.

    Raises:
        CheckpointError: the database cannot be opened.
        ImageStoreError: the images cannot be listed or removed.
    """
    if keep_best and unfinished:
        raise RunError("a run that has not ended has no best image yet: prune with keep_best or with unfinished, not both")
    home = Home.of(runs)
    if not home.database.exists():
        raise RunError(f"there are no runs in {home.folder}; see --runs")
    with home.database.open() as opened:
        old = list(_older(opened, home, older_than, unfinished))
        if keep_best:
            whole = [name for name in old if not read_record(opened, home, name).pruned]
            return _free(opened, home, [], whole, orphans=True, dry_run=dry_run)
        return _free(opened, home, old, [], orphans=True, dry_run=dry_run)


def _older(opened: Opened, home: Home, than: timedelta | None, unfinished: bool) -> Iterator[str]:
    """Yield the runs that have ended, or also those that have not, and whose last step is older."""
    if than is None:
        return
    may_go = {*ENDED, *(("unfinished", "waiting") if unfinished else ())}
    for name in threads(opened, home):
        one = past(opened, home, name)
        if one.standing in may_go and one.last < datetime.now() - than:
            yield name


def _free(
    opened: Opened,
    home: Home,
    gone: Sequence[str],
    trimmed: Sequence[str],
    *,
    orphans: bool = False,
    dry_run: bool = False,
    strict: bool = False,
) -> Freed:
    """Remove runs and trim others; see `prune`.

    Args:
        opened: the database.
        home: where the runs live.
        gone: the runs to remove.
        trimmed: the runs to trim.
        orphans: whether pictures that nothing refers to are removed, and the database is shrunk.
        dry_run: whether nothing is done.
        strict: whether a run that another process holds is an error, and not just left as it is.
    """
    notes: list[str] = []
    free = [name for name in (*gone, *trimmed) if _is_free(opened, name, strict, notes)]
    gone, trimmed = [name for name in gone if name in free], [name for name in trimmed if name in free]
    size = opened.size()
    with ExitStack() as stack:
        if not dry_run:
            for name in free:
                stack.enter_context(opened.hold(name))
        surplus = _surplus(opened, home, gone, trimmed, orphans, notes)
        rows = sum(map(opened.rows, free))
        if not dry_run:
            rows -= _let_go(opened, home, gone, trimmed, surplus)
    torn = 0
    if orphans and not dry_run:
        torn = home.images.sweep(datetime.now(UTC) - ORPHAN) + sweep(home.folder, datetime.now(UTC) - ORPHAN)
        if problem := opened.shrink():
            notes.append(problem)
    left = size if dry_run else opened.size()
    room = sum(surplus.values()) + torn
    return Freed(tuple(gone), tuple(trimmed), rows, len(surplus), room, max(0, size - left), tuple(notes))


def _is_free(opened: Opened, name: str, strict: bool, notes: list[str]) -> bool:
    if not opened.in_hand(name):
        return True
    told = f"the run {name} is in progress in another process"
    if strict:
        raise RunInUseError(f"{told}: wait for it, or end it; nothing was removed")
    notes.append(f"{told}: left as it is")
    return False


def _let_go(opened: Opened, home: Home, gone: Iterable[str], trimmed: Iterable[str], surplus: Iterable[str]) -> int:
    """Remove what is to go; return how many rows of trimmed runs are left."""
    for digest in surplus:
        home.images.delete(digest)
    for name in (*gone, *trimmed):
        home.images.forget(name)
    left = 0
    for name in trimmed:
        opened.keep_latest(name)
        left += opened.rows(name)
        save_record(opened, read_record(opened, home, name).model_copy(update={"pruned": True}))
    for name in gone:
        opened.saver.delete_thread(name)
        shutil.rmtree(home.folder_of(name), ignore_errors=True)
        forget_record(opened, home, name)
    return left


def _surplus(
    opened: Opened, home: Home, gone: Collection[str], trimmed: Collection[str], orphans: bool, notes: list[str]
) -> dict[str, int]:
    """Return the pictures to remove, by hash, with their bytes: first those of the runs, that nothing else refers to."""
    stored = {picture.digest: picture for picture in home.images.pictures()}  # first: notes are written before pictures
    named = home.images.noted_by_all(but=(*gone, *trimmed))
    own, needed = set[str](), set[str]()
    for name in (*gone, *trimmed):
        own |= home.images.noted(name)
    for tip in opened.tips():
        try:
            attempts = list(_attempts(opened, tip))
        except CheckpointError:
            if tip.thread not in gone:  # it is not known which pictures it needs
                notes.append(f"the run {tip.thread} cannot be read, so no image was removed: restore or remove it first")
                return {}
            continue
        shown = {ref.sha256 for attempt in attempts for ref in (attempt.image, attempt.source) if ref}
        if tip.thread in gone:
            own |= shown
        elif tip.thread in trimmed:
            own |= shown
            needed |= {best.image.sha256 for best in [best_of(attempts)] if best}
        else:
            needed |= shown
    fresh = datetime.now(UTC) - ORPHAN
    lost = {digest for digest, picture in stored.items() if picture.written < fresh} if orphans else set[str]()
    return {digest: stored[digest].size for digest in (own | lost) - needed - named if digest in stored}


def _attempts(opened: Opened, tip: Tip) -> Iterator[Attempt]:
    """Yield the attempts of a branch, also those of a step whose checkpoint was not written any more."""
    config: RunnableConfig = {"configurable": {"thread_id": tip.thread, "checkpoint_ns": "", "checkpoint_id": tip.checkpoint}}
    found = opened.saver.get_tuple(config)
    if found is None:
        return
    written = [value for _, channel, value in found.pending_writes or () if channel == "attempts"]
    for attempts in [found.checkpoint["channel_values"].get("attempts", []), *written]:
        yield from attempts
