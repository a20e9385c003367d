"""Room: runs that are removed, and old ones of which only the end and the best image are kept.

What a killed process leaves undone is done by the next one: a run's record says what is being done with it, and goes last.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from langchain_core.runnables import RunnableConfig

from ..errors import CheckpointError, GemsError, RunError, RunInUseError
from ..memory.state import Attempt, best_of
from ..storage.checksums import damage_errors
from ..storage.database import BranchHead, DatabaseConnection
from ..storage.files import remove_partial_files
from ..storage.image_store import ImageStore, StoredImage
from ..storage.workspace import Workspace, claims_owner
from .fork_tree import manifests_of, root_of, tree_order
from .listing import Standing, summarize
from .manifest import SPACE, delete_manifest, find_manifest, read_manifest, run_names, save_manifest, studio_id
from .write_page import refresh_page

ENDED: tuple[Standing, ...] = ("accepted", "gave up")
ORPHAN = timedelta(days=1)
"""Age from which a picture that nothing refers to is an orphan: a younger one may belong to a step that is being taken."""


class PruneReport(NamedTuple):
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


def remove(names: Sequence[str], runs: Workspace | Path | str = "runs") -> PruneReport:
    """Remove runs: their checkpoints, records and folders, and the pictures that no other run refers to.

    Args:
        names: of the runs.
        runs: the folder of runs, or their home.

    Raises:
        RunError: there is no such run; then none is removed.
        RunInUseError: a run is in progress in another process; then none is removed.
    """
    home = Workspace.of(runs)
    if not home.database.exists():
        raise RunError(f"there are no runs in {home.folder}; see --runs")
    with home.database.open() as opened:
        known = set(run_names(opened, home))
        for name in names:
            if name not in known:
                read_manifest(opened, home, name)  # which says which there are
            if home.is_valid_name(name) and opened.is_locked(name):
                raise RunInUseError(
                    f"the run {name} is in progress in another process: wait for it, or end it; nothing was removed"
                )
        odd = [name for name in dict.fromkeys(names) if not home.is_valid_name(name)]
        freed = _Cleaning(opened, home, gone=[name for name in dict.fromkeys(names) if name not in odd]).do()
        for name in odd:  # of a damaged database: nothing but its rows can be there
            opened.saver.delete_thread(name)
            opened.store.delete(SPACE, name)
        return freed._replace(removed=(*freed.removed, *odd))


def prune(
    older_than: timedelta | None = None,
    *,
    keep_best: bool = False,
    unfinished: bool = False,
    dry_run: bool = False,
    runs: Workspace | Path | str = "runs",
) -> PruneReport:
    """Make room: remove old runs, and pictures that nothing refers to, and shrink the database.

    Args:
        older_than: runs whose last step is older are removed; without it no run is.
        keep_best: of these, the end of the run, its page and its best image are kept.
        unfinished: also runs that were interrupted, have failed or wait for a person; else only those that have ended. Damaged
            ones stay.
        dry_run: only tell what would be removed; the database's share is not known then.
        runs: the folder of runs, or their home.

    Raises:
        CheckpointError: the database cannot be opened.
        ImageStoreError: the images cannot be listed or removed.
    """
    if keep_best and unfinished:
        raise RunError("a run that has not ended has no best image yet: prune with keep_best or with unfinished, not both")
    home = Workspace.of(runs)
    if not home.database.exists():
        raise RunError(f"there are no runs in {home.folder}; see --runs")
    with home.database.open() as opened:
        gone, trimmed = _begun(opened)
        old, damaged = _older(opened, home, older_than, unfinished)
        old = [name for name in old if name not in gone]
        if keep_best:
            trimmed += [name for name in old if name not in trimmed and not read_manifest(opened, home, name).pruned]
        else:
            gone, trimmed = gone + old, [name for name in trimmed if name not in old]
        cleaning = _Cleaning(opened, home, gone=gone, trimmed=trimmed, orphans=True, damaged=damaged)
        return cleaning.tell() if dry_run else cleaning.do()


def _begun(opened: DatabaseConnection) -> tuple[list[str], list[str]]:
    """Return the runs that a killed process has begun to remove, and those that it has begun to trim."""
    marks = {name: record.get("cleaning") for name, record in manifests_of(opened).items()}
    return [name for name, mark in marks.items() if mark == "remove"], [name for name, mark in marks.items() if mark == "trim"]


def _older(opened: DatabaseConnection, home: Workspace, than: timedelta | None, unfinished: bool) -> tuple[list[str], list[str]]:
    """Return the runs that have ended, or also those that have not, and whose last step is older; and the damaged ones."""
    if than is None:
        return [], []
    may_go = {*ENDED, *(("unfinished", "failed", "waiting") if unfinished else ())}
    runs = [summarize(opened, home, name) for name in run_names(opened, home)]
    before = datetime.now(UTC) - than
    old = [one.thread for one in runs if one.standing in may_go and one.last < before]
    return old, [one.thread for one in runs if one.standing == "damaged"]


class _Look(NamedTuple):
    """What there is at a moment."""

    when: datetime
    stored: dict[str, StoredImage]
    own: dict[str, set[str]]
    """The pictures that a run which is to go refers to, or has made."""
    needed: set[str]
    """The pictures that anything else refers to."""
    tips: dict[str, set[str]]
    """The last checkpoints of each run: if they are others later, it has gone on."""
    unreadable: str
    """A run of which it is not known which pictures it needs."""


class _Cleaning:
    """Removes runs and trims others.

    Args:
        opened: the database.
        home: where the runs live.
        gone: the runs to remove.
        trimmed: the runs to trim.
        orphans: whether pictures that nothing refers to are removed, and the database is shrunk.
        damaged: runs that are left as they are, since they cannot be read.
    """

    def __init__(
        self,
        opened: DatabaseConnection,
        home: Workspace,
        *,
        gone: Sequence[str] = (),
        trimmed: Sequence[str] = (),
        orphans: bool = False,
        damaged: Sequence[str] = (),
    ) -> None:
        self.opened, self.home, self.gone, self.trimmed, self.orphans = opened, home, gone, trimmed, orphans
        self.damaged = [name for name in damaged if name not in gone]
        self.images = home.images_for(opened)
        self.notes: list[str] = []

    def tell(self) -> PruneReport:
        """Tell what would be removed."""
        look = self._look()
        self._say_unreadable(look)
        surplus = [look.stored[digest].size for digest in self._surplus(look)]
        rows = sum(map(self.opened.row_count, (*self.gone, *self.trimmed)))
        return PruneReport(tuple(self.gone), tuple(self.trimmed), rows, len(surplus), sum(surplus), 0, tuple(self.notes))

    def do(self) -> PruneReport:
        """Remove what is to go, run by run; one that another process has in hand, or has gone on with, is left as it is."""
        size = self.opened.size()
        first, look = self._look(), self._look()
        # Another run may draw the same picture meanwhile: then it is noted, or written anew.
        surplus = {d for d in self._surplus(first) & self._surplus(look) if look.stored[d] == first.stored[d]}
        self._say_unreadable(look)
        relatives = self._relatives()
        removed: dict[str, int] = {}
        done: list[str] = []
        rows = 0
        for name in (*self.gone, *self.trimmed):
            try:
                with self.opened.lock_run(name):
                    if {tip.checkpoint for tip in self.opened.branch_heads(name)} != first.tips.get(name, set()):
                        self.notes.append(f"the run {name} has gone on meanwhile: left as it is")
                        continue
                    self._mark(name, "remove" if name in self.gone else "trim")
                    removed |= self._remove(look.own[name] & surplus, look)
                    rows += self._remove_run(name) if name in self.gone else self._trim(name)
                    done.append(name)
            except RunInUseError:
                self.notes.append(f"the run {name} is in progress in another process: left as it is")
        for name in relatives.difference(done):
            with suppress(GemsError, OSError):  # what was to go is gone, whatever becomes of the pages that led to it
                if self.home.has_page(name):
                    refresh_page(name, self.home)
        torn = 0
        if self.orphans:
            removed |= self._remove(surplus - set[str]().union(*look.own.values()), look)
            torn = self._sweep()
            if problem := self.opened.compact():
                self.notes.append(problem)
        return PruneReport(
            tuple(name for name in self.gone if name in done),
            tuple(name for name in self.trimmed if name in done),
            rows,
            len(removed),
            sum(removed.values()) + torn,
            max(0, size - self.opened.size()),
            tuple(self.notes),
        )

    def _look(self) -> _Look:
        going = {*self.gone, *self.trimmed}
        when = datetime.now(UTC)
        stored = {picture.digest: picture for picture in self.images.list_images()}  # first: notes are written before pictures
        owners = [owner for name in going for owner in owners_of(name)]
        needed = self.images.all_claimed(but=owners)
        own = {name: set[str]().union(*map(self.images.claimed, owners_of(name))) for name in going}
        known, unreadable = set(run_names(self.opened, self.home)), ""
        tips = self._tips()
        for thread, checkpoints in tips.items():
            for checkpoint in checkpoints:
                try:
                    attempts = list(_attempts(self.opened, BranchHead(thread, checkpoint)))
                except CheckpointError:
                    if thread in known and thread not in self.gone:  # others are not of GEMS
                        unreadable = thread
                    continue
                shown = {ref.sha256 for attempt in attempts for ref in (attempt.image, attempt.source) if ref}
                if thread in going:
                    own[thread] |= shown
                else:
                    needed |= shown
                if thread in self.trimmed:
                    needed |= {best.image.sha256 for best in [best_of(attempts)] if best}
        return _Look(when, stored, own, needed, tips, unreadable)

    def _relatives(self) -> set[str]:
        """Return the runs whose pages lead to a run that is to go."""
        records = manifests_of(self.opened)
        lines = [tree_order(records, root_of(records, name)) for name in self.gone]
        return {name for line in lines for name, _, _ in line if name in records}

    def _tips(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for tip in self.opened.branch_heads():
            found.setdefault(tip.thread, set()).add(tip.checkpoint)
        return found

    def _say_unreadable(self, look: _Look) -> None:
        if look.unreadable:
            self.notes.append(f"the run {look.unreadable} cannot be read, so no image was removed: restore or remove it first")
        self.notes += [
            f"the run {name} is damaged: left as it is; `gems rm {name}` removes it"
            for name in self.damaged
            if name != look.unreadable
        ]

    def _surplus(self, look: _Look) -> set[str]:
        """Return the pictures to remove: those of the runs, and old ones of nobody, that nothing else refers to."""
        if look.unreadable:
            return set()
        old = {digest for digest, picture in look.stored.items() if picture.written < look.when - ORPHAN}
        of_runs = set[str]().union(*look.own.values())
        return ((of_runs | old if self.orphans else of_runs) - look.needed) & set(look.stored)

    def _mark(self, name: str, what: Literal["remove", "trim"]) -> None:
        """Note that a run is about to be removed or trimmed, so that the next one does it if this process is killed."""
        with suppress(GemsError):  # the record is damaged: the run goes by its name, or not at all
            if record := find_manifest(self.opened, self.home, name):
                edit = {"cleaning": what, "pruned": record.pruned or what == "trim"}
                save_manifest(self.opened, record.model_copy(update=edit))

    def _remove(self, digests: Iterable[str], look: _Look) -> dict[str, int]:
        return {digest: look.stored[digest].size for digest in digests if self.images.delete(digest)}

    def _remove_run(self, name: str) -> int:
        """Remove all of a run but its pictures, the record last; return how many rows that were."""
        rows = self.opened.row_count(name)
        forget_run(self.opened, self.home, name)
        return rows

    def _trim(self, name: str) -> int:
        """Keep the end of a run and claim its best picture; return how many rows were removed."""
        rows = self.opened.row_count(name)
        self.opened.delete_old_checkpoints(name)
        best = best_of([attempt for tip in self.opened.branch_heads(name) for attempt in _attempts(self.opened, tip)])
        forget_notes(self.images, name)
        self.images.claim([best.image] if best else [], claims_owner(name))
        save_manifest(self.opened, read_manifest(self.opened, self.home, name).model_copy(update={"cleaning": None}))
        return rows - self.opened.row_count(name)

    def _sweep(self) -> int:
        """Remove what killed processes left in the image store and in the folders of runs."""
        before = datetime.now(UTC) - ORPHAN
        folders = [self.home.folder_of(name) for name in run_names(self.opened, self.home) if self.home.is_valid_name(name)]
        return self.images.remove_partial_files(before) + sum(remove_partial_files(folder, ".*.tmp", before) for folder in folders)


def owners_of(name: str) -> tuple[str, ...]:
    """Return under which names a run may have notes of pictures: its own, as a thread of a server, and for what it has claimed."""
    return tuple(dict.fromkeys((name, studio_id(name), claims_owner(name))))


def forget_notes(images: ImageStore, name: str) -> None:
    """Remove the notes of a run's pictures; the pictures stay."""
    for owner in owners_of(name):
        images.release(owner)


def forget_run(opened: DatabaseConnection, home: Workspace, name: str) -> None:
    """Remove all of a run but its pictures, the record last. The run must be held.

    Raises:
        ImageStoreError: its notes cannot be removed.
    """
    forget_notes(home.images_for(opened), name)
    opened.saver.delete_thread(name)
    shutil.rmtree(home.folder_of(name), ignore_errors=True)
    delete_manifest(opened, home, name)


def _attempts(opened: DatabaseConnection, tip: BranchHead) -> Iterator[Attempt]:
    """Yield the attempts of a branch, also those of a step whose checkpoint was not written any more."""
    config: RunnableConfig = {"configurable": {"thread_id": tip.thread, "checkpoint_ns": "", "checkpoint_id": tip.checkpoint}}
    with damage_errors():
        found = opened.saver.get_tuple(config)
        if found is None:
            return
        written = [value for _, channel, value in found.pending_writes or () if channel == "attempts"]
        for attempts in [found.checkpoint["channel_values"].get("attempts", []), *written]:
            yield from (attempt for attempt in attempts if isinstance(attempt, Attempt))
