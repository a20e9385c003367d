"""Free disk space: remove runs, or trim old ones to their end and their best image.

What a killed process leaves undone is done by the next one: a run's manifest says what is being done with it, and is deleted last.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
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
from .listing import RunStatus, summarize_run
from .manifest import MANIFESTS, delete_manifest, find_manifest, open_existing, read_manifest, run_names, save_manifest, studio_id
from .write_page import refresh_page

ENDED: tuple[RunStatus, ...] = ("accepted", "gave up")
ORPHAN_AGE = timedelta(days=1)
"""Age from which an image that nothing refers to is removed: a younger one may belong to a step in progress."""


class PruneReport(NamedTuple):
    """What was removed, and how much space that freed.

    Example:
        ```python
        from datetime import timedelta

        report = gems.Gems().prune(timedelta(days=30), keep_best=True, dry_run=True)
        print(report.trimmed, report.images, report.image_bytes)
        ```
    """

    removed: tuple[str, ...] = ()
    """Names of removed runs."""
    trimmed: tuple[str, ...] = ()
    """Names of runs of which only the end and the best image are left."""
    rows: int = 0
    """Rows of the tables of checkpoints."""
    images: int = 0
    image_bytes: int = 0
    """Of these images, and of files that a killed process had not written to their end."""
    database_bytes: int = 0
    notes: tuple[str, ...] = ()
    """What was left as it is, and why."""


class PrunePlan(NamedTuple):
    """Which runs to remove and which to trim."""

    remove: Sequence[str] = ()
    trim: Sequence[str] = ()
    damaged: Sequence[str] = ()
    """Runs that cannot be read, and are left as they are."""
    orphans: bool = False
    """Whether to remove images that nothing refers to, and to shrink the database."""

    @property
    def names(self) -> tuple[str, ...]:
        """The runs that lose something."""
        return (*self.remove, *self.trim)


class ImageReferences(NamedTuple):
    """Which images are stored, and which runs refer to them, at one moment."""

    read_at: datetime
    stored: dict[str, StoredImage]
    """By their SHA-256."""
    by_run: dict[str, set[str]]
    """Digests that a run of the plan refers to, or has made."""
    needed: set[str]
    """Digests that anything else refers to."""
    heads: dict[str, set[str]]
    """Ids of the last checkpoints of each run: a run with other ones later has been resumed meanwhile."""
    unreadable: str
    """A run that cannot be read, so that the images it needs are not known."""


def remove_runs(workspace: Workspace, names: Sequence[str]) -> PruneReport:
    """Remove runs as `Gems.remove` does."""
    with open_existing(workspace) as database:
        known = set(run_names(database))
        for name in names:
            if name not in known:
                read_manifest(database, workspace, name)  # raises an error that lists the latest runs
            if workspace.is_valid_name(name) and database.is_locked(name):
                raise RunInUseError(
                    f"the run {name} is in progress in another process: wait for it, or end it; nothing was removed"
                )
        unique = dict.fromkeys(names)
        impossible = [name for name in unique if not workspace.is_valid_name(name)]
        report = apply_plan(database, workspace, PrunePlan(remove=[name for name in unique if name not in impossible]))
        for name in impossible:  # of a damaged database: it has nothing but rows of this name
            database.saver.delete_thread(name)
            database.store.delete(MANIFESTS, name)
        return report._replace(removed=(*report.removed, *impossible))


def prune_runs(
    workspace: Workspace, older_than: timedelta | None, *, keep_best: bool, unfinished: bool, dry_run: bool
) -> PruneReport:
    """Free disk space as `Gems.prune` does."""
    if keep_best and unfinished:
        raise RunError("a run that has not ended has no best image yet: prune with keep_best or with unfinished, not both")
    with open_existing(workspace) as database:
        plan = plan_prune(database, workspace, older_than, keep_best=keep_best, unfinished=unfinished)
        return preview(database, workspace, plan) if dry_run else apply_plan(database, workspace, plan)


def plan_prune(
    database: DatabaseConnection, workspace: Workspace, older_than: timedelta | None, *, keep_best: bool, unfinished: bool
) -> PrunePlan:
    """Choose the runs to remove or to trim, those first that a killed process has begun with.

    Args:
        database: the open database.
        workspace: where the runs are.
        older_than: as for `Gems.prune`.
        keep_best: as for `Gems.prune`.
        unfinished: as for `Gems.prune`.
    """
    marks = {name: manifest.get("cleaning") for name, manifest in manifests_of(database).items()}
    removed = [name for name, mark in marks.items() if mark == "remove"]
    trimmed = [name for name, mark in marks.items() if mark == "trim"]
    old, damaged = _older_runs(database, workspace, older_than, unfinished)
    old = [name for name in old if name not in removed]
    if keep_best:
        trimmed += [name for name in old if name not in trimmed and not read_manifest(database, workspace, name).pruned]
    else:
        removed, trimmed = removed + old, [name for name in trimmed if name not in old]
    return PrunePlan(removed, trimmed, [name for name in damaged if name not in removed], orphans=True)


def _older_runs(
    database: DatabaseConnection, workspace: Workspace, older_than: timedelta | None, unfinished: bool
) -> tuple[list[str], list[str]]:
    """Return the runs whose last step is older, only those that have ended unless `unfinished`; and the damaged runs."""
    if older_than is None:
        return [], []
    allowed = {*ENDED, *(("unfinished", "failed", "waiting") if unfinished else ())}
    summaries = [summarize_run(database, workspace, name) for name in run_names(database)]
    limit = datetime.now(UTC) - older_than
    old = [summary.thread for summary in summaries if summary.state in allowed and summary.last_step < limit]
    return old, [summary.thread for summary in summaries if summary.state == "damaged"]


def preview(database: DatabaseConnection, workspace: Workspace, plan: PrunePlan) -> PruneReport:
    """Return what `apply_plan` would remove, but for the size of the database."""
    references = read_references(database, workspace, plan)
    sizes = [references.stored[digest].size for digest in unneeded_images(plan, references)]
    rows = sum(map(database.row_count, plan.names))
    notes = _notes_about_unreadable(plan, references)
    return PruneReport(tuple(plan.remove), tuple(plan.trim), rows, len(sizes), sum(sizes), 0, tuple(notes))


def apply_plan(database: DatabaseConnection, workspace: Workspace, plan: PrunePlan) -> PruneReport:
    """Remove and trim runs one by one; a run that another process holds, or has resumed meanwhile, is left as it is."""
    size = database.size()
    images = workspace.images_for(database)
    before, now = (read_references(database, workspace, plan) for _ in range(2))
    # Another run may generate the same image meanwhile: then the image is claimed, or written anew.
    unneeded = unneeded_images(plan, before) & unneeded_images(plan, now)
    unneeded = {digest for digest in unneeded if now.stored[digest] == before.stored[digest]}
    notes = _notes_about_unreadable(plan, now)
    linked = _linked_pages(database, plan)
    deleted: set[str] = set()
    done: list[str] = []
    rows = 0
    for name in plan.names:
        try:
            with database.lock_run(name):
                if {head.checkpoint for head in database.branch_heads(name)} != before.heads.get(name, set()):
                    notes.append(f"the run {name} was resumed meanwhile: left as it is")
                    continue
                _mark_manifest(database, workspace, name, "remove" if name in plan.remove else "trim")
                deleted |= _delete_images(images, now.by_run[name] & unneeded)
                before_rows = database.row_count(name)
                (delete_run if name in plan.remove else _trim_run)(database, workspace, name)
                rows += before_rows - database.row_count(name)
                done.append(name)
        except RunInUseError:
            notes.append(f"the run {name} is in progress in another process: left as it is")
    for name in linked.difference(done):
        with suppress(GemsError, OSError):  # the runs are removed, whatever becomes of the pages that link to them
            if workspace.has_page(name):
                refresh_page(name, workspace)
    partial = 0
    if plan.orphans:
        deleted |= _delete_images(images, unneeded.difference(*now.by_run.values()))
        partial = _delete_partial_files(database, workspace)
        if problem := database.compact():
            notes.append(problem)
    return PruneReport(
        tuple(name for name in plan.remove if name in done),
        tuple(name for name in plan.trim if name in done),
        rows,
        len(deleted),
        sum(now.stored[digest].size for digest in deleted) + partial,
        max(0, size - database.size()),
        tuple(notes),
    )


def read_references(database: DatabaseConnection, workspace: Workspace, plan: PrunePlan) -> ImageReferences:
    """Read which images are stored and which runs refer to them."""
    names = set(plan.names)
    read_at = datetime.now(UTC)
    images = workspace.images_for(database)
    stored = {image.digest: image for image in images.list_images()}  # first: claims are written before images
    needed = images.all_claimed(but=[owner for name in names for owner in claim_owners(name)])
    by_run = {name: set[str]().union(*map(images.claimed, claim_owners(name))) for name in names}
    known, unreadable = set(run_names(database)), ""
    heads: dict[str, set[str]] = {}
    for head in database.branch_heads():
        heads.setdefault(head.thread, set()).add(head.checkpoint)
        try:
            attempts = list(_attempts_at(database, head))
        except CheckpointError:
            if head.thread in known and head.thread not in plan.remove:  # others are not of GEMS
                unreadable = head.thread
            continue
        shown = {ref.sha256 for attempt in attempts for ref in (attempt.image, attempt.source) if ref}
        if head.thread in names:
            by_run[head.thread] |= shown
        else:
            needed |= shown
        if head.thread in plan.trim and (best := best_of(attempts)):
            needed.add(best.image.sha256)
    return ImageReferences(read_at, stored, by_run, needed, heads, unreadable)


def unneeded_images(plan: PrunePlan, references: ImageReferences) -> set[str]:
    """Return the digests to remove: images of the plan's runs, and old ones of no run, that nothing else refers to."""
    if references.unreadable:
        return set()
    candidates = set[str]().union(*references.by_run.values())
    if plan.orphans:
        limit = references.read_at - ORPHAN_AGE
        candidates |= {digest for digest, image in references.stored.items() if image.written < limit}
    return (candidates - references.needed) & set(references.stored)


def _notes_about_unreadable(plan: PrunePlan, references: ImageReferences) -> list[str]:
    notes = []
    if name := references.unreadable:
        notes.append(f"the run {name} cannot be read, so no image was removed: restore or remove it first")
    damaged = (name for name in plan.damaged if name != references.unreadable)
    return [*notes, *(f"the run {name} is damaged: left as it is; `gems rm {name}` removes it" for name in damaged)]


def _linked_pages(database: DatabaseConnection, plan: PrunePlan) -> set[str]:
    """Return the runs whose pages link to a run that is removed."""
    manifests = manifests_of(database)
    trees = [tree_order(manifests, root_of(manifests, name)) for name in plan.remove]
    return {name for tree in trees for name, _, _ in tree if name in manifests}


def _mark_manifest(database: DatabaseConnection, workspace: Workspace, name: str, what: Literal["remove", "trim"]) -> None:
    """Note in a run's manifest that it is about to be removed or trimmed: the next prune does it if this process is killed."""
    with suppress(GemsError):  # the manifest is damaged: the run is removed by its name, or not at all
        if manifest := find_manifest(database, workspace, name):
            edit = {"cleaning": what, "pruned": manifest.pruned or what == "trim"}
            save_manifest(database, manifest.model_copy(update=edit))


def _delete_images(images: ImageStore, digests: Iterable[str]) -> set[str]:
    """Delete images; return the digests of those that were there."""
    return {digest for digest in digests if images.delete(digest)}


def _trim_run(database: DatabaseConnection, workspace: Workspace, name: str) -> None:
    """Keep the end of a run and claim its best image."""
    database.delete_old_checkpoints(name)
    best = best_of([attempt for head in database.branch_heads(name) for attempt in _attempts_at(database, head)])
    images = workspace.images_for(database)
    delete_claims(images, name)
    images.claim([best.image] if best else [], claims_owner(name))
    save_manifest(database, read_manifest(database, workspace, name).model_copy(update={"cleaning": None}))


def _delete_partial_files(database: DatabaseConnection, workspace: Workspace) -> int:
    """Delete files that killed processes left half written in the image store and in the folders of runs; return their bytes."""
    before = datetime.now(UTC) - ORPHAN_AGE
    folders = [workspace.folder_of(name) for name in run_names(database) if workspace.is_valid_name(name)]
    images = workspace.images_for(database)
    return images.remove_partial_files(before) + sum(remove_partial_files(folder, ".*.tmp", before) for folder in folders)


def claim_owners(name: str) -> tuple[str, ...]:
    """Return the names under which a run may claim images: its name, its thread id on a server, `claims_owner` its name."""
    return tuple(dict.fromkeys((name, studio_id(name), claims_owner(name))))


def delete_claims(images: ImageStore, name: str) -> None:
    """Delete a run's claims of images; the images stay."""
    for owner in claim_owners(name):
        images.release(owner)


def delete_run(database: DatabaseConnection, workspace: Workspace, name: str) -> None:
    """Remove all of a run but its images, the manifest last. The run must be held.

    Raises:
        ImageStoreError: its claims cannot be removed.
    """
    delete_claims(workspace.images_for(database), name)
    database.saver.delete_thread(name)
    shutil.rmtree(workspace.folder_of(name), ignore_errors=True)
    delete_manifest(database, name)


def _attempts_at(database: DatabaseConnection, head: BranchHead) -> Iterator[Attempt]:
    """Yield the attempts of a branch, also those of a step that ended but has no checkpoint yet."""
    config: RunnableConfig = {"configurable": {"thread_id": head.thread, "checkpoint_ns": "", "checkpoint_id": head.checkpoint}}
    with damage_errors():
        found = database.saver.get_tuple(config)
        if found is None:
            return
        written = [value for _, channel, value in found.pending_writes or () if channel == "attempts"]
        for attempts in [found.checkpoint["channel_values"].get("attempts", []), *written]:
            yield from (attempt for attempt in attempts if isinstance(attempt, Attempt))
