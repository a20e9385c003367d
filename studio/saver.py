"""The runs as the server keeps them: in the same database, by the same saver and serializer as those made in Python.

The server knows threads by UUIDs, Python by names. A run's name gives its UUID (`studio_id`), and this saver finds the name
again; a thread that was begun on the server is a run whose name is its UUID.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.store.base import BaseStore
from pydantic import ValidationError

from ..context import RunContext
from ..graph.clean import forget_run
from ..graph.past import NEXT
from ..graph.record import Record, find_record, save_record, studio_id, threads
from ..memory.database import Opened
from ..memory.home import Home
from ..memory.locks import RunInUseError
from . import setup
from .graphs import roles_of

KEPT = ("source", "step", "parents", "run_id", "graph_id", "assistant_id")
"""What is kept of a checkpoint's metadata, which is not encrypted: the server adds the run's settings and headers."""

ENDING = threading.Event()
"""Set when the server ends: what is deleted from then on is only its list of threads."""


class ServerSaver(BaseCheckpointSaver[str]):
    """The saver of an open database for a server that calls it asynchronously, and names threads by UUIDs.

    Args:
        opened: the database.
        home: where its runs live.
    """

    def __init__(self, opened: Opened, home: Home) -> None:
        super().__init__(serde=opened.saver.serde)
        self.opened, self.home = opened, home
        self._names: dict[str, str] = {}
        self._recorded: set[str] = set()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint of a thread, the latest if none is named.

        Raises:
            CheckpointError: it is damaged, or encrypted with another key.
        """

        def get() -> CheckpointTuple | None:
            found = self.opened.saver.get_tuple(self._inside(config))
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
            RunInUseError: a process of Python goes on with the same run.
        """
        told: dict[str, Any] = dict(metadata)

        def put() -> RunnableConfig:
            inside = self._inside(config)
            name = _thread(inside)
            if self.opened.in_hand(name):
                raise RunInUseError(f"the run {name} is in progress in another process: wait for it, or end it")
            self._record(name, checkpoint, told)
            kept: Any = {key: told[key] for key in KEPT if key in told}
            return _with_thread(self.opened.saver.put(inside, checkpoint, kept, new_versions), _thread(config))

        return await asyncio.to_thread(put)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a step has written before its checkpoint is there."""
        await asyncio.to_thread(lambda: self.opened.saver.put_writes(self._inside(config), writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a run as `gems rm` does, but for its pictures: `gems prune` removes those a day after they were made.

        Raises:
            RunInUseError: a process of Python has it in hand.
        """

        def delete() -> None:
            if ENDING.is_set():
                return
            name = self._name(str(thread_id))
            with self.opened.hold(name):
                forget_run(self.opened, self.home, name)
            self._recorded.discard(name)

        await asyncio.to_thread(delete)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep only the latest checkpoint of threads, or nothing of them."""
        for thread in thread_ids:
            if strategy == "delete_all":
                await self.adelete_thread(thread)
            else:
                await asyncio.to_thread(lambda name: self.opened.keep_latest(name), self._name(str(thread)))

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
        if thread not in self._names:
            self._names |= {studio_id(name): name for name in threads(self.opened, self.home)}
            self._names.setdefault(thread, thread)
        return self._names[thread]

    def _record(self, name: str, checkpoint: Checkpoint, told: Mapping[str, Any]) -> None:
        """Keep what a run that was begun on the server was started with, so that Python can list it and go on with it."""
        prompt = checkpoint["channel_values"].get("prompt")
        planned = f"{NEXT}planner" in checkpoint["channel_versions"]  # a graph of `build_graph`, whoever has built it
        if name in self._recorded or not prompt or not planned or "graph_id" not in told:
            return
        if find_record(self.opened, self.home, name) is None:
            save_record(
                self.opened,
                Record(
                    thread=name,
                    prompt=prompt,
                    context=_settings(told),
                    models=setup.models.options,
                    nodes=roles_of(told["graph_id"]),
                    began=datetime.now(UTC),
                ),
            )
        self._recorded.add(name)


def _settings(told: Mapping[str, Any]) -> RunContext:
    """Return the settings of a run, which the server repeats in the metadata of its checkpoints."""
    given = {name: told[name] for name in RunContext.model_fields if name in told}
    try:
        return setup.plain(setup.Settings(**given))
    except ValidationError:  # a state written through the API, without a run: its metadata is the client's
        return setup.plain(setup.Settings())


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
async def opened() -> AsyncIterator[Opened]:
    """Open the database of runs, without holding up the server's loop.

    Raises:
        CheckpointError: it cannot be opened.
    """
    database: AbstractContextManager[Opened] = setup.home.database.open()
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
