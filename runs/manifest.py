"""The manifest of a run: its prompt, settings and models, stored in the database beside its checkpoints."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from pydantic import Field, ValidationError, model_validator

from ..context import RETIRED_SETTINGS, RunContext
from ..errors import CheckpointError, RunError
from ..frozen_model import Frozen
from ..graph.build import RECURSION_LIMIT
from ..memory.state import Request
from ..models.options import ModelOptions
from ..storage.checksums import add_hash, verify_hash
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace

STUDIO_NAMESPACE = uuid.UUID("6f0e0f0c-6a35-5c0f-9b5e-3d1f5a3c7b11")
"""Of the UUIDs that are made from runs' names."""
SERVER_GRAPH = "those of the graph "
"""Prefix of the name of a server's own graph in `RunManifest.nodes`: which roles that graph has swapped is not known."""
MANIFESTS = ("gems", "runs")
"""Namespace of manifests in LangGraph's store; the key is the run's name."""


def studio_id(thread: str) -> str:
    """Return the thread id of a run on the server of `langgraph dev`: a UUID made from its name.

    The name of a run that was started on the server is its UUID.

    Example:
        ```python
        gems.studio_id("fox")  # the same for each call
        ```
    """
    with suppress(ValueError):
        if str(uuid.UUID(thread)) == thread:  # in upper case it names another run
            return thread
    return str(uuid.uuid5(STUDIO_NAMESPACE, thread))


def config_of(thread: str) -> RunnableConfig:
    """Return LangGraph's config of a run. Rounds are limited by our own budget, not by the recursion limit."""
    return {"configurable": {"thread_id": thread}, "recursion_limit": RECURSION_LIMIT}


def to_request(prompt: str) -> Request:
    """Return a prompt as the input of a run.

    Raises:
        RunError: it is empty, too long, or no text.
    """
    try:
        return Request(prompt=prompt)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(str(first.get("ctx", {}).get("error", f"the prompt: {first['msg']}"))) from error


@contextmanager
def open_existing(workspace: Workspace, thread: str | None = None) -> Iterator[DatabaseConnection]:
    """Open the database of a workspace, perhaps to look for a run, but make none where there is none.

    Raises:
        RunNameError: it cannot name a run.
        RunError: there is no database.
        CheckpointError: it cannot be opened.
    """
    if thread is not None:
        workspace.folder_of(thread)
    if not workspace.database.exists():
        raise RunError(f"{f'there is no run {thread}: ' if thread else ''}there are no runs in {workspace.folder}; see --runs")
    with workspace.database.open() as database:
        yield database


class ParentRun(Frozen):
    """The run that a fork comes from."""

    thread: str
    round: int = Field(ge=1, description="The first round that is not the parent's.")


class RunManifest(Frozen):
    """What a run was started with: name, prompt, settings, models."""

    version: int = 2
    thread: str
    prompt: str
    context: RunContext
    models: ModelOptions
    nodes: tuple[str, ...] = ()
    cost: float | None = Field(default=None, description="What the run cost, where prices are known; written at its end.")
    began: datetime | None = Field(default=None, description="When it was started, in UTC.")
    ready: bool = Field(default=True, description="Whether it can be resumed: a fork cannot before its first state is written.")
    pruned: bool = Field(default=False, description="Whether only its end and its best image are left.")
    parent: ParentRun | None = Field(default=None, description="The run it was forked from.")
    failed: str = Field(default="", description="The error that ended it; empty once it is resumed.")
    cleaning: Literal["remove", "trim"] | None = Field(
        default=None, description="What `prune` is doing with it; stays where that process was killed."
    )

    @model_validator(mode="before")
    @classmethod
    def _noise_is_a_node(cls, manifest: Any) -> Any:
        """Read noise of the verifier, a setting of before, as a swapped verifier, which `resume` has to be given again."""
        match manifest:
            case {"context": dict() as settings} if any(settings.get(name) for name in RETIRED_SETTINGS):
                kept = {name: value for name, value in settings.items() if name not in RETIRED_SETTINGS}
                return {**manifest, "context": kept, "nodes": sorted({*manifest.get("nodes", ()), "verifier"})}
        return manifest


def save_manifest(database: DatabaseConnection, manifest: RunManifest) -> None:
    """Store a manifest, in the place of an earlier one of the run."""
    database.store.put(MANIFESTS, manifest.thread, add_hash(manifest.model_dump(mode="json")), index=False)


def require_new_name(database: DatabaseConnection, workspace: Workspace, manifest: RunManifest) -> None:
    """Refuse the name of a new run if it is taken.

    Raises:
        RunError: there is a run of this name, or something other than GEMS has checkpoints under it in the same database.
    """
    thread, old = manifest.thread, find_manifest(database, workspace, manifest.thread)
    if old is not None and (old.ready or manifest.ready):  # a fork that was killed as it began may be forked again
        raise RunError(f"the run {thread} exists already: resume it with `gems resume {thread}`, or choose another name")
    if old is None and database.row_count(thread):
        raise RunError(f"the name {thread} is taken by another user of this database, or by one of its servers: choose another one")


def find_manifest(database: DatabaseConnection, workspace: Workspace, thread: str) -> RunManifest | None:
    """Return a run's manifest, None if there is no such run.

    Raises:
        RunError: it is damaged or encrypted with another key, or the name cannot be one.
    """
    workspace.folder_of(thread)
    try:
        item = database.store.get(MANIFESTS, thread)
        return RunManifest.model_validate(verify_hash(item.value)) if item else None
    except CheckpointError as error:
        raise RunError(f"the manifest of run {thread} cannot be read ({error})") from error
    except ValidationError as error:
        raise RunError(f"the manifest of run {thread} is damaged: restore the database, or start the request anew") from error


def read_manifest(database: DatabaseConnection, workspace: Workspace, thread: str) -> RunManifest:
    """Return a run's manifest.

    Raises:
        RunError: there is no such run, its manifest is damaged, or its removal has begun.
    """
    manifest = find_manifest(database, workspace, thread)
    if manifest is None:
        known = run_names(database)[-3:]
        hint = f"the latest are {', '.join(known)}" if known else "there are no runs in this folder; see --runs"
        raise RunError(f"there is no run {thread}: {hint}")
    if manifest.cleaning == "remove":
        raise RunError(f"the run {thread} has begun to be removed: `gems rm {thread}` or `gems prune` finishes it")
    return manifest


def delete_manifest(database: DatabaseConnection, thread: str) -> None:
    """Delete a run's manifest."""
    database.store.delete(MANIFESTS, thread)


def run_names(database: DatabaseConnection) -> list[str]:
    """Return the names of all runs, the latest start last; those whose manifest cannot be read come first."""
    return list(start_times(database))


def start_times(database: DatabaseConnection) -> dict[str, str]:
    """Return the start of each run in ISO 8601, in the order of `run_names`; empty if its manifest cannot be read."""
    began = {thread: str(value.get("began") or "") for thread, value in database.read_namespace(MANIFESTS).items()}
    return dict(sorted(began.items(), key=lambda run: (run[1], run[0])))
