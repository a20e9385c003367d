"""Runs that were made before: a list of them, and one as it stands. Nothing is changed by looking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from ..errors import CheckpointError, GemsError, RunError, SettingError
from ..memory.state import GemsState, RoleUsage
from ..storage.checksums import damage_errors
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .manifest import RunManifest, config_of, read_manifest, require_runs, run_names
from .result import RunResult

Standing = Literal["running", "accepted", "gave up", "waiting", "unfinished", "failed", "damaged"]
NEXT = "branch:to:"
"""Begin of the channels by which LangGraph has a role take its turn."""
STANDINGS: tuple[Standing, ...] = get_args(Standing)


class StoredState(NamedTuple):
    """What the database has of a run."""

    state: GemsState
    last: datetime
    """When its last step ended, in UTC."""
    waiting: Any
    """The question that it waits for an answer to; None where it does not wait."""
    more: bool
    """Whether a role is still to take its turn."""


class RunSummary(NamedTuple):
    """A run in the list."""

    thread: str
    standing: Standing
    """"waiting": for a person's answer, see `gems show`; "unfinished": it was interrupted, and `gems resume`
    goes on with it; "failed": it ended by an error, `told` says which, and `gems resume` tries again; "damaged": it cannot be
    read, `told` says why."""
    last: datetime
    """When its last step ended, in UTC."""
    prompt: str = ""
    rounds: int = 0
    images: int = 0
    calls: int = 0
    cost: float | None = None
    told: str = ""
    parent: str = ""
    """The run it was forked from."""


class ListedRun(NamedTuple):
    """A run in the list, with what it was started with and its last state; None where there is none, or it cannot be read."""

    summary: RunSummary
    record: RunManifest | None
    state: GemsState | None


def list_runs(runs: Workspace | Path | str = "runs", *, state: Standing | None = None, find: str = "") -> list[RunSummary]:
    """Return the runs of a home, the one with the latest step last.

    Args:
        runs: the folder of runs, or their home.
        state: only those that stand so; all by default.
        find: only those with this in their name or request.

    Raises:
        SettingError: no run stands so.
        RunError: there is no such folder.
        CheckpointError: the database cannot be opened.
    """
    _require_standing(state)
    home = Workspace.of(runs)
    if not home.database.exists():
        if not home.folder.is_dir():
            raise RunError(f"there is no folder {home.folder}: begin with `gems run`, or name the folder with --runs")
        return []
    with home.database.open() as opened:
        return [one.summary for one in list_entries(opened, home, state=state, find=find)]


def list_entries(opened: DatabaseConnection, home: Workspace, *, state: Standing | None = None, find: str = "") -> list[ListedRun]:
    """Return the runs of an open database as `list_runs` does, with their records and states."""
    _require_standing(state)
    wanted = find.casefold()
    everything = [list_entry(opened, home, thread) for thread in run_names(opened, home)]
    those = [
        one
        for one in everything
        if state in (None, one.summary.standing) and wanted in f"{one.summary.thread} {one.summary.prompt}".casefold()
    ]
    return sorted(those, key=lambda one: (one.summary.last, one.summary.thread))


def _require_standing(state: str | None) -> None:
    if state is not None and state not in STANDINGS:
        raise SettingError(f"no run stands as {state!r}: choose one of {', '.join(STANDINGS)}")


def get_run(thread: str, runs: Workspace | Path | str = "runs") -> RunResult:
    """Return a run as it stands, finished or not.

    Raises:
        RunError: there is no such run, its record is damaged, or it has not come to a first step yet.
        CheckpointError: the database cannot be opened.
    """
    home = Workspace.of(runs)
    with opened_for(thread, home) as opened:
        return result_of(opened, home, read_manifest(opened, home, thread))


@contextmanager
def opened_for(thread: str, home: Workspace) -> Iterator[DatabaseConnection]:
    """Open the database of a home to look at a run.

    Raises:
        RunNameError: the name cannot be one.
        RunError: there is no database.
        CheckpointError: it cannot be opened.
    """
    home.folder_of(thread)
    require_runs(home, thread)
    with home.database.open() as opened:
        yield opened


def result_of(opened: DatabaseConnection, home: Workspace, record: RunManifest) -> RunResult:
    """Return a run of an open database as it stands.

    Raises:
        RunError: it has not come to a first step yet.
    """
    thread, stored = record.thread, state_of(opened, record.thread)
    if stored is None:
        why = f", as it has failed ({record.failed})" if record.failed else ""
        raise RunError(f"the run {thread} has not come to a first step{why}: go on with `gems resume {thread}`")
    folder = home.folder_of(thread)
    return RunResult(
        thread, stored.state, record.context, folder, home.images, record.models, waiting=stored.waiting, failed=record.failed
    )


def summarize(opened: DatabaseConnection, home: Workspace, thread: str) -> RunSummary:
    """Return how a run stands; one that cannot be read is damaged, and says why."""
    return list_entry(opened, home, thread).summary


def list_entry(opened: DatabaseConnection, home: Workspace, thread: str) -> ListedRun:
    """Return how a run stands, with its record and its last state as far as they can be read."""
    record: RunManifest | None = None
    last = datetime.fromtimestamp(0, UTC)
    try:
        record = read_manifest(opened, home, thread)
        last = record.began.astimezone(UTC) if record.began else last
        stored = state_of(opened, thread)
    except GemsError as error:
        return ListedRun(RunSummary(thread, "damaged", last, record.prompt if record else "", told=str(error)), record, None)
    state = stored.state if stored else None
    used = state.usage.total if state else RoleUsage()
    parent = record.parent.thread if record.parent else ""
    standing = _standing(opened, record, stored)
    told = RunSummary(
        thread,
        standing,
        stored.last if stored else last,
        record.prompt,
        state.round if state else 0,
        used.images,
        used.calls,
        record.cost,
        told=record.failed if standing == "failed" else "",
        parent=parent,
    )
    return ListedRun(told, record, state)


def _standing(opened: DatabaseConnection, record: RunManifest, stored: StoredState | None) -> Standing:
    if stored and stored.waiting is not None:  # whatever was decided before it asked
        return "running" if opened.is_locked(record.thread) else "waiting"
    decision = stored.state.result.decision if stored and stored.state.result and not stored.more else None
    if decision in ("accept", "give up"):
        return "accepted" if decision == "accept" else "gave up"
    if opened.is_locked(record.thread):
        return "running"
    return "failed" if record.failed else "unfinished"


def state_of(opened: DatabaseConnection, thread: str) -> StoredState | None:
    """Return a run's last state; None before its first step.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        with damage_errors():
            newest = opened.saver.get_tuple(config_of(thread))
            if newest is None:
                return None
            values = {name: value for name, value in newest.checkpoint["channel_values"].items() if name in GemsState.model_fields}
            written = datetime.fromisoformat(newest.checkpoint["ts"]).astimezone(UTC)
            if "prompt" not in values:
                return None
            more = any(name.startswith(NEXT) for name in newest.checkpoint["channel_values"])
            return StoredState(GemsState.model_validate(values), written, _question(newest.pending_writes or ()), more)
    except CheckpointError as error:
        raise CheckpointError(f"run {thread}: {error}") from error


def _question(writes: Sequence[tuple[str, str, Any]]) -> Any:
    """Return what the last step asks and nobody has answered yet."""
    answered = {task for task, channel, _ in writes if channel == "__resume__"}
    asked = [value for task, channel, value in writes if channel == "__interrupt__" and task not in answered]
    return asked[0][0].value if asked else None
