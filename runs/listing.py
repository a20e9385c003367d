"""List the runs of a workspace, and read one in its current state. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

from ..errors import CheckpointError, GemsError, RunError, SettingError
from ..graph import langgraph_internals
from ..memory.state import GemsState, RoleUsage
from ..storage.checksums import damage_errors
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .manifest import RunManifest, config_of, read_manifest, require_database, run_names
from .result import RunResult

RunStatus = Literal["running", "accepted", "gave up", "waiting", "unfinished", "failed", "damaged"]
"""Status of a run."""
RUN_STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)


class StoredState(NamedTuple):
    """The latest state of a run in the database."""

    state: GemsState
    last: datetime
    """When its last step ended, in UTC."""
    waiting: Any
    """The question that it waits with; None if it does not wait."""
    has_next: bool
    """Whether a role is to run next."""


class RunSummary(NamedTuple):
    """A run in the list of runs.

    Example:
        ```python
        for summary in gems.Gems().list(state="accepted"):
            print(summary.thread, summary.rounds, summary.prompt)
        ```
    """

    thread: str
    standing: RunStatus
    """Its status. "waiting": for a person's answer, see `gems show`; "unfinished": interrupted, `gems resume` resumes it; "failed":
    ended by the error in `told`, `gems resume` tries again; "damaged": cannot be read, `told` says why."""
    last: datetime
    """When its last step ended, in UTC."""
    prompt: str = ""
    rounds: int = 0
    images: int = 0
    calls: int = 0
    cost: float | None = None
    told: str = ""
    """The error of a run that failed or cannot be read."""
    parent: str = ""
    """The run it was forked from."""


class ListedRun(NamedTuple):
    """A run in the list with its manifest and its last state, each None if it is missing or cannot be read."""

    summary: RunSummary
    manifest: RunManifest | None
    state: GemsState | None


def list_runs(workspace: Workspace, state: RunStatus | None = None, find: str = "") -> list[RunSummary]:
    """Return the runs of a workspace as `Gems.list` does."""
    _require_status(state)
    if not workspace.database.exists():
        if not workspace.folder.is_dir():
            raise RunError(f"there is no folder {workspace.folder}: start a run with `gems run`, or name the folder with --runs")
        return []
    with workspace.database.open() as database:
        return [entry.summary for entry in list_with_state(database, workspace, state=state, find=find)]


def list_with_state(
    database: DatabaseConnection, workspace: Workspace, *, state: RunStatus | None = None, find: str = ""
) -> list[ListedRun]:
    """Return the runs of an open database like `list_runs`, with their manifests and states."""
    _require_status(state)
    wanted = find.casefold()
    entries = [read_entry(database, workspace, thread) for thread in run_names(database)]
    matches = [
        entry
        for entry in entries
        if state in (None, entry.summary.standing) and wanted in f"{entry.summary.thread} {entry.summary.prompt}".casefold()
    ]
    return sorted(matches, key=lambda entry: (entry.summary.last, entry.summary.thread))


def _require_status(state: str | None) -> None:
    if state is not None and state not in RUN_STATUSES:
        raise SettingError(f"there is no status {state!r}: choose one of {', '.join(RUN_STATUSES)}")


def read_run(workspace: Workspace, thread: str) -> RunResult:
    """Return a run in its current state as `Gems.get` does."""
    with open_for(thread, workspace) as database:
        return result_of(database, workspace, read_manifest(database, workspace, thread))


@contextmanager
def open_for(thread: str, workspace: Workspace) -> Iterator[DatabaseConnection]:
    """Open the database of a workspace to read a run.

    Raises:
        RunNameError: it cannot name a run.
        RunError: there is no database.
        CheckpointError: it cannot be opened.
    """
    workspace.folder_of(thread)
    require_database(workspace, thread)
    with workspace.database.open() as database:
        yield database


def result_of(database: DatabaseConnection, workspace: Workspace, manifest: RunManifest) -> RunResult:
    """Return a run of an open database in its current state.

    Raises:
        RunError: it has not finished a step yet.
    """
    thread, stored = manifest.thread, state_of(database, manifest.thread)
    if stored is None:
        why = f", as it has failed ({manifest.failed})" if manifest.failed else ""
        raise RunError(f"the run {thread} has not finished a step yet{why}: resume it with `gems resume {thread}`")
    folder = workspace.folder_of(thread)
    return RunResult(
        thread,
        stored.state,
        manifest.context,
        folder,
        workspace.images,
        manifest.models,
        waiting=stored.waiting,
        failed=manifest.failed,
    )


def summarize_run(database: DatabaseConnection, workspace: Workspace, thread: str) -> RunSummary:
    """Return a run as an item of the list; one that cannot be read is "damaged"."""
    return read_entry(database, workspace, thread).summary


def read_entry(database: DatabaseConnection, workspace: Workspace, thread: str) -> ListedRun:
    """Return a run as an item of the list, with its manifest and its last state if they can be read."""
    manifest: RunManifest | None = None
    last = datetime.fromtimestamp(0, UTC)
    try:
        manifest = read_manifest(database, workspace, thread)
        last = manifest.began.astimezone(UTC) if manifest.began else last
        stored = state_of(database, thread)
    except GemsError as error:
        return ListedRun(RunSummary(thread, "damaged", last, manifest.prompt if manifest else "", told=str(error)), manifest, None)
    state = stored.state if stored else None
    used = state.usage.total if state else RoleUsage()
    parent = manifest.parent.thread if manifest.parent else ""
    standing = _status_of(database, manifest, stored)
    summary = RunSummary(
        thread,
        standing,
        stored.last if stored else last,
        manifest.prompt,
        state.round if state else 0,
        used.images,
        used.calls,
        manifest.cost,
        told=manifest.failed if standing == "failed" else "",
        parent=parent,
    )
    return ListedRun(summary, manifest, state)


def _status_of(database: DatabaseConnection, manifest: RunManifest, stored: StoredState | None) -> RunStatus:
    if stored and stored.waiting is not None:  # whatever was decided before the question
        return "running" if database.is_locked(manifest.thread) else "waiting"
    decision = stored.state.result.decision if stored and stored.state.result and not stored.has_next else None
    if decision in ("accept", "give up"):
        return "accepted" if decision == "accept" else "gave up"
    if database.is_locked(manifest.thread):
        return "running"
    return "failed" if manifest.failed else "unfinished"


def state_of(database: DatabaseConnection, thread: str) -> StoredState | None:
    """Return the last state of a run; None before its first step.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        with damage_errors():
            newest = database.saver.get_tuple(config_of(thread))
            if newest is None:
                return None
            values = {name: value for name, value in newest.checkpoint["channel_values"].items() if name in GemsState.model_fields}
            written = datetime.fromisoformat(newest.checkpoint["ts"]).astimezone(UTC)
            if "prompt" not in values:
                return None
            question, has_next = langgraph_internals.pending_question(newest), langgraph_internals.has_next_node(newest)
            return StoredState(GemsState.model_validate(values), written, question, has_next)
    except CheckpointError as error:
        raise CheckpointError(f"run {thread}: {error}") from error
