"""List the runs of a workspace, and read one in its current state. Nothing is changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

from ..errors import CheckpointError, GemsError, RunError, SettingError
from ..graph import langgraph_internals
from ..memory.state import GemsState
from ..models.options import ModelOptions
from ..storage.checksums import damage_errors
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .manifest import RunManifest, config_of, read_manifest, run_names
from .result import RunResult

RunStatus = Literal["running", "accepted", "gave up", "waiting", "unfinished", "failed", "damaged"]
"""State of a run."""
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
    state: RunStatus
    """Its state. "waiting": for a person's answer, see `gems show`; "unfinished": interrupted, `gems resume` resumes it; "failed":
    ended by `error`, `gems resume` tries again; "damaged": cannot be read, `error` says why."""
    last_step: datetime
    """When its last step ended, in UTC."""
    prompt: str = ""
    rounds: int = 0
    images: int = 0
    calls: int = 0
    cost: float | None = None
    error: str = ""
    """The error of a run that failed or cannot be read."""
    parent: str = ""
    """The run it was forked from."""

    @property
    def standing(self) -> RunStatus:
        """Earlier name of `state`."""
        return self.state

    @property
    def last(self) -> datetime:
        """Earlier name of `last_step`."""
        return self.last_step

    @property
    def told(self) -> str:
        """Earlier name of `error`."""
        return self.error


class ListedRun(NamedTuple):
    """A run in the list with its manifest and its last state, each None if it is missing or cannot be read."""

    summary: RunSummary
    manifest: RunManifest | None
    state: GemsState | None


def list_runs(workspace: Workspace, state: RunStatus | None = None, find: str = "") -> list[ListedRun]:
    """Return the runs of a workspace as `Gems.list` does, with their manifests and states."""
    if state is not None and state not in RUN_STATUSES:
        raise SettingError(f"there is no state {state!r}: choose one of {', '.join(RUN_STATUSES)}")
    if not workspace.database.exists():
        if not workspace.folder.is_dir():
            raise RunError(f"there is no folder {workspace.folder}: start a run with `gems run`, or name the folder with --runs")
        return []
    with workspace.database.open() as database:
        listed = [read_entry(database, workspace, thread) for thread in run_names(database)]
    matches = [
        entry
        for entry in listed
        if state in (None, entry.summary.state) and find.casefold() in f"{entry.summary.thread} {entry.summary.prompt}".casefold()
    ]
    return sorted(matches, key=lambda entry: (entry.summary.last_step, entry.summary.thread))


def read_result(database: DatabaseConnection, workspace: Workspace, manifest: RunManifest) -> RunResult:
    """Return a run of an open database in its current state.

    Raises:
        RunError: it has not finished a step yet.
    """
    thread, stored = manifest.thread, state_of(database, manifest.thread)
    if stored is None:
        why = f", as it has failed ({manifest.failed})" if manifest.failed else ""
        raise RunError(f"the run {thread} has not finished a step yet{why}: resume it with `gems resume {thread}`")
    return result_of(workspace, manifest, stored.state, stored.waiting, manifest.models)


def result_of(workspace: Workspace, manifest: RunManifest, state: GemsState, waiting: Any, models: ModelOptions) -> RunResult:
    """Return a run in a state, with the options of the models that were used."""
    folder = workspace.folder_of(manifest.thread)
    return RunResult(
        manifest.thread, state, manifest.context, folder, workspace.images, models, waiting=waiting, failed=manifest.failed
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
        return ListedRun(RunSummary(thread, "damaged", last, manifest.prompt if manifest else "", error=str(error)), manifest, None)
    state, parent = _status_of(database, manifest, stored), manifest.parent.thread if manifest.parent else ""
    failed = manifest.failed if state == "failed" else ""
    summary = RunSummary(thread, state, last, manifest.prompt, cost=manifest.cost, error=failed, parent=parent)
    if stored is None:
        return ListedRun(summary, manifest, None)
    used = stored.state.usage.total
    summary = summary._replace(last_step=stored.last, rounds=stored.state.round, images=used.images, calls=used.calls)
    return ListedRun(summary, manifest, stored.state)


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
