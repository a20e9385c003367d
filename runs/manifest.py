"""What a run was started with: kept in the database beside its checkpoints, which hold the state but not the settings."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from langchain_core.runnables import RunnableConfig
from pydantic import Field, ValidationError

from ..context import RunContext
from ..errors import CheckpointError, RunError
from ..frozen import Frozen
from ..graph.build import STEPS
from ..models.options import ModelOptions
from ..storage.checksums import with_hash, without_hash
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace

NAMESPACE = uuid.UUID("6f0e0f0c-6a35-5c0f-9b5e-3d1f5a3c7b11")
"""Of the ids that names give on a LangGraph server."""
OWN = "those of the graph "
"""In a record of a run of somebody's own graph on a server, before its name: which roles it has swapped is not known."""
SPACE = ("gems", "runs")
"""Where records are in LangGraph's store; the key is the run's name."""


def studio_id(thread: str) -> str:
    """Return the id under which `langgraph dev` has a run as a thread: a UUID made from its name.

    A run that was begun on the server has its UUID for a name.
    """
    with suppress(ValueError):
        if str(uuid.UUID(thread)) == thread:  # in upper case it is another run's name
            return thread
    return str(uuid.uuid5(NAMESPACE, thread))


def config_of(thread: str) -> RunnableConfig:
    """Return the config by which LangGraph knows a run; the budget of rounds is ours, not the recursion limit."""
    return {"configurable": {"thread_id": thread}, "recursion_limit": STEPS}


def require_runs(home: Workspace, thread: str) -> None:
    """Refuse to look for a run where there are none, before a database is made there.

    Raises:
        RunError: there is no database.
    """
    if not home.database.exists():
        raise RunError(f"there is no run {thread}: there are no runs in {home.folder}; see --runs")


class ParentRun(Frozen):
    """Where a run has branched off."""

    thread: str
    round: int = Field(ge=1, description="The first round that is not the parent's.")


class RunManifest(Frozen):
    """What a run was started with."""

    version: int = 2
    thread: str
    prompt: str
    context: RunContext
    models: ModelOptions
    nodes: tuple[str, ...] = ()
    cost: float | None = Field(default=None, description="What the run has cost, where prices are known; written at its end.")
    began: datetime | None = Field(default=None, description="When it was started, in UTC.")
    ready: bool = Field(default=True, description="Whether it can be gone on with: a fork is not before it has its first state.")
    pruned: bool = Field(default=False, description="Whether only its end and its best image are left.")
    parent: ParentRun | None = Field(default=None, description="The run it was forked from.")
    failed: str = Field(default="", description="Why it ended before its end, if it was an error; empty once it is gone on with.")
    cleaning: Literal["remove", "trim"] | None = Field(
        default=None, description="What is being done with it to make room; left here by a process that was killed meanwhile."
    )


def save_manifest(opened: DatabaseConnection, record: RunManifest) -> None:
    """Keep a record, in the place of an earlier one of the run."""
    opened.store.put(SPACE, record.thread, with_hash(record.model_dump(mode="json")), index=False)


def find_manifest(opened: DatabaseConnection, home: Workspace, thread: str) -> RunManifest | None:
    """Return a run's record, None where there is no such run.

    Raises:
        RunError: it is damaged or encrypted with another key, or the name cannot be one.
    """
    path = home.folder_of(thread) / "run.json"  # where the first version kept it
    try:
        item = opened.store.get(SPACE, thread)
        if item is not None:
            return RunManifest.model_validate(without_hash(item.value))
        return RunManifest.model_validate_json(path.read_bytes()) if path.exists() else None
    except CheckpointError as error:
        raise RunError(f"the record of run {thread} cannot be read ({error})") from error
    except (OSError, ValidationError) as error:
        raise RunError(f"the record of run {thread} is damaged: restore the database, or start the request anew") from error


def read_manifest(opened: DatabaseConnection, home: Workspace, thread: str) -> RunManifest:
    """Return what a run was started with.

    Raises:
        RunError: there is no such run, its record is damaged, or it has begun to be removed.
    """
    record = find_manifest(opened, home, thread)
    if record is None:
        known = run_names(opened, home)[-3:]
        hint = f"the latest are {', '.join(known)}" if known else "there are no runs in this folder; see --runs"
        raise RunError(f"there is no run {thread}: {hint}")
    if record.cleaning == "remove":
        raise RunError(f"the run {thread} has begun to be removed: `gems rm {thread}` or `gems prune` finishes it")
    return record


def delete_manifest(opened: DatabaseConnection, home: Workspace, thread: str) -> None:
    """Delete a run's record."""
    opened.store.delete(SPACE, thread)
    (home.folder_of(thread) / "run.json").unlink(missing_ok=True)


def run_names(opened: DatabaseConnection, home: Workspace) -> list[str]:
    """Return the names of all runs, the one that was begun last at the end; first those whose record cannot be read."""
    return list(start_times(opened, home))


def start_times(opened: DatabaseConnection, home: Workspace) -> dict[str, str]:
    """Return when each run was begun, in ISO 8601, in the order of `threads`; it is empty where the record cannot be read."""
    began = {thread: str(value.get("began") or "") for thread, value in opened.store.whatever_is_in(SPACE).items()}
    for path in home.folder.glob("*/run.json"):
        began.setdefault(path.parent.name, datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat())
    return dict(sorted(began.items(), key=lambda run: (run[1], run[0])))
