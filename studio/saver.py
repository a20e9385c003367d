"""The runs as the server keeps them: in the same database, by the same saver and serializer as those made in Python.

The server knows threads by UUIDs, Python by names. A run's name gives its UUID (`studio_id`), and this saver finds the name
again; a thread that was begun on the server is a run whose name is its UUID.

What it refuses it refuses with an HTTP error: the server hides the words of most others from its clients.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.store.base import BaseStore
from starlette.exceptions import HTTPException

from ..context import RunContext
from ..errors import RunInUseError
from ..graph.langgraph_internals import NEXT_NODE
from ..runs.manifest import RunManifest, find_manifest, run_names, save_manifest, studio_id
from ..runs.prune import delete_run
from ..storage.database import DatabaseConnection, OwnAllowlist
from ..storage.workspace import Workspace
from . import setup
from .graphs import roles_of

Done = TypeVar("Done")

RUNTIME = "__pregel_runtime"
"""Where LangGraph has the context of a run in its config; metadata of the same names is the client's."""
KEPT = ("source", "step", "parents", "run_id", "graph_id", "assistant_id")
"""What is kept of a checkpoint's metadata, which is not encrypted: the server adds the run's settings and headers."""

ENDING = threading.Event()
"""Set when the server ends: what is deleted from then on is only its list of threads."""


class ServerSaver(OwnAllowlist):
    """The saver of an open database for a server that calls it asynchronously, and names threads by UUIDs.

    Args:
        opened: the database.
        home: where its runs live.
    """

    def __init__(self, opened: DatabaseConnection, home: Workspace) -> None:
        super().__init__(serde=opened.saver.serde)
        self.opened, self.home = opened, home
        self._names: dict[str, str] = {}
        self._began: dict[str, datetime | None] = {}  # of the runs that were worked on here

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint of a thread, the latest if none is named.

        Raises:
            CheckpointError: it is damaged, or encrypted with another key.
            HTTPException: a run is to go on from there that a process of Python works on.
        """

        def get() -> CheckpointTuple | None:
            inside = self._inside(config)
            if _context(config) is not None:  # before its first step is taken for nothing
                self._require_free(_thread(inside))
            found = self.opened.saver.get_tuple(inside)
            return found and _outside(found, config)

        return await asyncio.to_thread(get)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield the checkpoints of a thread, the latest first.

        Raises:
            CheckpointError: one is damaged, or encrypted with another key.
        """
        if config is None:
            return

        def list_all() -> list[CheckpointTuple]:
            return list(self.opened.saver.list(self._inside(config), filter=filter, before=before, limit=limit))

        for found in await asyncio.to_thread(list_all):
            yield _outside(found, config)

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Save a checkpoint, and with a run's first one its record.

        Raises:
            HTTPException: a process of Python works on the run, or the run was removed while the server worked on it.
        """
        told: dict[str, Any] = dict(metadata)
        if told.get("source") == "input":  # begun, maybe once more after it was removed
            self._began.pop(self._names.get(_thread(config), ""), None)

        def put(inside: RunnableConfig) -> RunnableConfig:
            self._record(_thread(inside), checkpoint, told, _context(config))
            kept: Any = {key: told[key] for key in KEPT if key in told}
            return _with_thread(self.opened.saver.put(inside, checkpoint, kept, new_versions), _thread(config))

        return await asyncio.to_thread(self._write, config, put)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a step has written before its checkpoint is there.

        Raises:
            HTTPException: as for `aput`.
        """
        await asyncio.to_thread(
            self._write, config, lambda inside: self.opened.saver.put_writes(inside, writes, task_id, task_path)
        )

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a run as `gems rm` does, but for its pictures: `gems prune` removes those a day after they were made.

        Raises:
            HTTPException: a process of Python works on it.
        """

        def delete() -> None:
            if ENDING.is_set():
                return
            name = self._name(str(thread_id))
            with self._held(name):
                delete_run(self.opened, self.home, name)

        await asyncio.to_thread(delete)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep only the latest checkpoint of threads, or nothing of them.

        Raises:
            HTTPException: a process of Python works on one; those after it are left as they are.
        """

        def prune(thread: str) -> None:
            name = self._name(thread)
            with self._held(name):
                self.opened.keep_latest(name)

        for thread in map(str, thread_ids):
            if strategy == "delete_all":
                await self.adelete_thread(thread)
            else:
                await asyncio.to_thread(prune, thread)

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Return the version of a channel after another one, as the saver within counts them."""
        return str(self.opened.saver.get_next_version(current, channel))

    def _inside(self, config: RunnableConfig) -> RunnableConfig:
        """Return a config with the run's name, and with nothing that the saver would write into the metadata."""
        said = config["configurable"]
        inside: dict[str, Any] = {"thread_id": self._name(_thread(config)), "checkpoint_ns": said.get("checkpoint_ns") or ""}
        if said.get("checkpoint_id"):
            inside["checkpoint_id"] = str(said["checkpoint_id"])  # the server gives some as UUIDs
        return {"configurable": inside}

    def _name(self, thread: str) -> str:
        """Return the name of the run that a thread of the server is."""
        thread = thread.lower()  # a run's name may be a UUID in upper case: no thread's id is
        if thread not in self._names:
            self._names |= {studio_id(name): name for name in run_names(self.opened, self.home)}
            self._names.setdefault(thread, thread)
        return self._names[thread]

    def _write(self, config: RunnableConfig, write: Callable[[RunnableConfig], Done]) -> Done:
        """Write to a run that nobody else works on and that is still there."""
        inside = self._inside(config)
        name = _thread(inside)
        self._require_free(name)
        self._require_kept(name)
        done = write(inside)
        self._require_kept(name)  # if it was removed in between, so is what was written
        return done

    def _require_free(self, name: str) -> None:
        if self.opened.in_hand(name):
            raise HTTPException(409, str(RunInUseError.of(name)))

    def _require_kept(self, name: str) -> None:
        """Refuse to go on with a run that was removed, and leave nothing of it."""
        if name not in self._began:
            return
        record = find_manifest(self.opened, self.home, name)
        if record is not None and record.began == self._began[name]:
            return
        if record is None:
            with suppress(RunInUseError), self.opened.hold(name):
                delete_run(self.opened, self.home, name)
        raise HTTPException(410, f"the run {name} was removed while the server worked on it: send its request anew")

    @contextmanager
    def _held(self, name: str) -> Iterator[None]:
        try:
            with self.opened.hold(name):
                yield
        except RunInUseError as error:
            raise HTTPException(409, str(error)) from error

    def _record(self, name: str, checkpoint: Checkpoint, told: Mapping[str, Any], context: RunContext | None) -> None:
        """Keep what a run that was begun on the server was started with, so that Python can list it and go on with it."""
        prompt = checkpoint["channel_values"].get("prompt")
        planned = f"{NEXT_NODE}planner" in checkpoint["channel_versions"]  # a graph of `build_graph`, whoever has built it
        if name in self._began or not prompt or not planned or "graph_id" not in told:
            return
        record = find_manifest(self.opened, self.home, name)
        if record is None:
            record = RunManifest(
                thread=name,
                prompt=prompt,
                context=setup.plain(context or setup.Settings()),  # a state written through the API has no settings
                models=setup.models.options,
                nodes=roles_of(told["graph_id"]),
                began=datetime.now(UTC),
            )
            save_manifest(self.opened, record)
        self._began[name] = record.began


def _context(config: RunnableConfig) -> RunContext | None:
    """Return the settings of the run that reads or writes; None where a client does, without a run."""
    context = getattr(config["configurable"].get(RUNTIME), "context", None)
    return context if isinstance(context, RunContext) else None


def _thread(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def _with_thread(config: RunnableConfig, thread: str) -> RunnableConfig:
    return {**config, "configurable": {**config.get("configurable", {}), "thread_id": thread}}


def _outside(found: CheckpointTuple, config: RunnableConfig) -> CheckpointTuple:
    """Return a checkpoint under the UUID that was asked for."""
    thread = _thread(config)
    parent = found.parent_config and _with_thread(found.parent_config, thread)
    return found._replace(config=_with_thread(found.config, thread), parent_config=parent)


@asynccontextmanager
async def opened() -> AsyncIterator[DatabaseConnection]:
    """Open the database of runs, without holding up the server's loop.

    Raises:
        CheckpointError: it cannot be opened.
    """
    database: AbstractContextManager[DatabaseConnection] = setup.home.database.open()
    entered = await asyncio.to_thread(database.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(database.__exit__, None, None, None)


@asynccontextmanager
async def checkpointer() -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """Yield the saver of the runs, as `checkpointer` in langgraph.json."""
    async with opened() as database:
        yield ServerSaver(database, setup.home)


@asynccontextmanager
async def store() -> AsyncIterator[BaseStore]:
    """Yield the store of lessons and records, as `store` in langgraph.json."""
    async with opened() as database:
        yield database.store
