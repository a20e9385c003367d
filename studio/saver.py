"""LangGraph's server on the database of runs: the same saver, serializer and store that Python uses.

The server names threads by UUIDs, Python runs by names. `studio_id` derives the UUID from a run's name, and this saver maps it
back; a thread that was started on the server is a run whose name is its UUID.

Refusals are HTTP errors: the server hides the messages of most others from its clients.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.store.base import BaseStore
from starlette.exceptions import HTTPException

from ..context import RunContext
from ..errors import RunInUseError
from ..graph.langgraph_internals import has_node, run_context
from ..runs.manifest import RunManifest, find_manifest, run_names, save_manifest, studio_id
from ..runs.prune import delete_run
from ..storage.database import DatabaseConnection, ThreadedSaver
from ..storage.workspace import Workspace
from . import setup
from .graphs import swapped_roles

METADATA_KEYS = ("source", "step", "parents", "run_id", "graph_id", "assistant_id")
"""Metadata of a checkpoint that is stored: it is not encrypted, and the server adds the run's settings and headers."""

SHUTTING_DOWN = threading.Event()
"""Set when the server ends: deleting a thread from then on removes only the server's entry of it."""


class ServerSaver(ThreadedSaver):
    """The saver of an open database for a server that names threads by UUIDs.

    Args:
        connection: the open database.
        workspace: the workspace of its runs.
    """

    def __init__(self, connection: DatabaseConnection, workspace: Workspace) -> None:
        super().__init__(serde=connection.saver.serde)
        self.connection, self.workspace = connection, workspace
        self._names: dict[str, str] = {}
        self._began: dict[str, datetime | None] = {}  # of the runs that were executed here

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint of a thread, the latest if the config names none.

        Raises:
            CheckpointError: it is damaged, or encrypted with another key.
            HTTPException: a run is to be resumed from it that a process of Python is executing.
        """
        inner = self._inner_config(config)
        if _settings_of(config) is not None:  # refused before a step is executed in vain
            self._require_unlocked(_thread_id(inner))
        stored = self.connection.saver.get_tuple(inner)
        return stored and _with_server_ids(stored, config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield the checkpoints of a thread, the latest first.

        Raises:
            CheckpointError: one is damaged, or encrypted with another key.
        """
        if config is not None:
            for stored in self.connection.saver.list(self._inner_config(config), filter=filter, before=before, limit=limit):
                yield _with_server_ids(stored, config)

    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Save a checkpoint, and with the first one of a run its record.

        Raises:
            HTTPException: a process of Python is executing the run, or the run was removed while the server executed it.
        """
        fields: dict[str, Any] = dict(metadata)
        if fields.get("source") == "input":  # started, perhaps again after it was removed
            self._began.pop(self._names.get(_thread_id(config), ""), None)
        with self._writing(config) as inner:
            self._save_manifest(_thread_id(inner), checkpoint, fields, _settings_of(config))
            stored: Any = {key: fields[key] for key in METADATA_KEYS if key in fields}
            return _with_thread_id(self.connection.saver.put(inner, checkpoint, stored, new_versions), _thread_id(config))

    def put_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        """Save the writes of a task before their checkpoint exists.

        Raises:
            HTTPException: as for `put`.
        """
        with self._writing(config) as inner:
            self.connection.saver.put_writes(inner, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a run as `gems rm` does, except for its images: `gems prune` deletes those a day after they were made.

        Raises:
            HTTPException: a process of Python is executing it.
        """
        if SHUTTING_DOWN.is_set():
            return
        name = self._run_name(str(thread_id))
        with self._locked(name):
            delete_run(self.connection, self.workspace, name)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep only the latest checkpoint of each thread, or delete the threads.

        Raises:
            HTTPException: a process of Python is executing one; those after it are unchanged.
        """
        for thread in map(str, thread_ids):
            if strategy == "delete_all":
                self.delete_thread(thread)
            else:
                name = self._run_name(thread)
                with self._locked(name):
                    self.connection.delete_old_checkpoints(name)

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Return the next version of a channel, counted as the inner saver does."""
        return str(self.connection.saver.get_next_version(current, channel))

    def _inner_config(self, config: RunnableConfig) -> RunnableConfig:
        """Return a config with the run's name, and with nothing else that the inner saver would write into the metadata."""
        given = config["configurable"]
        inner: dict[str, Any] = {"thread_id": self._run_name(_thread_id(config)), "checkpoint_ns": given.get("checkpoint_ns") or ""}
        if given.get("checkpoint_id"):
            inner["checkpoint_id"] = str(given["checkpoint_id"])  # the server gives some as UUIDs
        return {"configurable": inner}

    def _run_name(self, thread: str) -> str:
        """Return the name of the run of a thread of the server."""
        thread = thread.lower()  # a run's name may be a UUID in upper case; the id of a thread never is
        if thread not in self._names:
            self._names |= {studio_id(name): name for name in run_names(self.connection)}
            self._names.setdefault(thread, thread)
        return self._names[thread]

    @contextmanager
    def _writing(self, config: RunnableConfig) -> Iterator[RunnableConfig]:
        """Give the inner config to write to a run that no other process is executing and that has not been removed."""
        inner = self._inner_config(config)
        name = _thread_id(inner)
        self._require_unlocked(name)
        self._require_not_removed(name)
        yield inner
        self._require_not_removed(name)  # if it was removed in between, so is what was written

    def _require_unlocked(self, name: str) -> None:
        if self.connection.is_locked(name):
            raise HTTPException(409, str(RunInUseError.of(name)))

    def _require_not_removed(self, name: str) -> None:
        """Refuse to continue a run that was removed, and leave nothing of it."""
        if name not in self._began:
            return
        record = find_manifest(self.connection, self.workspace, name)
        if record is not None and record.began == self._began[name]:
            return
        if record is None:
            with suppress(RunInUseError), self.connection.lock_run(name):
                delete_run(self.connection, self.workspace, name)
        raise HTTPException(410, f"the run {name} was removed while the server worked on it: send its request anew")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        try:
            with self.connection.lock_run(name):
                yield
        except RunInUseError as error:
            raise HTTPException(409, str(error)) from error

    def _save_manifest(self, name: str, checkpoint: Checkpoint, metadata: Mapping[str, Any], settings: RunContext | None) -> None:
        """Save the manifest of a run that was started on the server, so that Python can list and resume it."""
        prompt = checkpoint["channel_values"].get("prompt")
        is_gems_graph = has_node(checkpoint, "planner")  # a graph of `build_graph`, whoever has built it
        if name in self._began or not prompt or not is_gems_graph or "graph_id" not in metadata:
            return
        record = find_manifest(self.connection, self.workspace, name)
        if record is None:
            settings = settings or setup.Settings()  # a state written through the API has no settings
            record = RunManifest(
                thread=name,
                prompt=prompt,
                context=setup.without_built_in_prompts(settings),
                models=setup.models.options,
                nodes=swapped_roles(metadata["graph_id"]),
                began=datetime.now(UTC),
            )
            save_manifest(self.connection, record)
        self._began[name] = record.began


def _settings_of(config: RunnableConfig) -> RunContext | None:
    """Return the settings of the run that reads or writes; None for a client without a run."""
    context = run_context(config)  # metadata of the settings' names is the client's own
    return context if isinstance(context, RunContext) else None


def _thread_id(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def _with_thread_id(config: RunnableConfig, thread: str) -> RunnableConfig:
    return {**config, "configurable": {**config.get("configurable", {}), "thread_id": thread}}


def _with_server_ids(stored: CheckpointTuple, config: RunnableConfig) -> CheckpointTuple:
    """Return a checkpoint with the UUID of the config as its thread."""
    thread = _thread_id(config)
    parent = stored.parent_config and _with_thread_id(stored.parent_config, thread)
    return stored._replace(config=_with_thread_id(stored.config, thread), parent_config=parent)


@asynccontextmanager
async def open_database() -> AsyncIterator[DatabaseConnection]:
    """Open the database of runs without blocking the server's event loop.

    Raises:
        CheckpointError: it cannot be opened.
    """
    database: AbstractContextManager[DatabaseConnection] = setup.workspace.database.open()
    connection = await asyncio.to_thread(database.__enter__)
    try:
        yield connection
    finally:
        await asyncio.to_thread(database.__exit__, None, None, None)


@asynccontextmanager
async def checkpointer() -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """Yield the saver of the runs, as `checkpointer` in langgraph.json."""
    async with open_database() as connection:
        yield ServerSaver(connection, setup.workspace)


@asynccontextmanager
async def store() -> AsyncIterator[BaseStore]:
    """Yield the store of lessons and records, as `store` in langgraph.json."""
    async with open_database() as connection:
        yield connection.store
