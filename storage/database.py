"""What a database of runs is: LangGraph's checkpointer and store, locks of runs, and who uses it at the same time."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.store.base import BaseStore

from .encrypted_store import EncryptedStore

TIPS = """SELECT thread_id, checkpoint_id FROM checkpoints AS c WHERE checkpoint_ns = '' AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS p
    WHERE p.thread_id = c.thread_id AND p.checkpoint_ns = '' AND p.parent_checkpoint_id = c.checkpoint_id)"""
"""Asks either kind of database for the last checkpoint of every branch of every run."""


class OwnAllowlist(BaseCheckpointSaver[str]):
    """Makes a saver keep its serializer, whose list of types that it revives is shorter than what LangGraph would add to it."""

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """Return this saver as it is."""
        return self


class OwnSaver(OwnAllowlist):
    """Gives a saver for threads the methods that `ainvoke` and `abatch` call: each does its work in a thread."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Do as `get_tuple`."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(self, config: RunnableConfig | None, **kwargs: Any) -> AsyncIterator[CheckpointTuple]:
        """Do as `list`."""
        for found in await asyncio.to_thread(lambda: [*self.list(config, **kwargs)]):
            yield found

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Do as `put`."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Do as `put_writes`."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Do as `delete_thread`."""
        await asyncio.to_thread(self.delete_thread, thread_id)


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closable)


class Shared(Generic[C]):
    """What a process opens once for all who use it at the same time: whoever comes first makes it, who leaves last closes it.

    A forked process has its own: what its parent had open it neither uses nor closes.
    """

    def __init__(self) -> None:
        self._inherited: list[C] = []
        self._users: dict[Hashable, tuple[C, list[int]]] = {}
        self._mutex = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._inherited += [each for each, _ in self._users.values()]
        self._users, self._mutex = {}, threading.Lock()

    @contextmanager
    def use(self, key: Hashable, make: Callable[[], C], fits: Callable[[C], bool] = lambda each: True) -> Iterator[C]:
        """Give what is shared under a key.

        Args:
            key: what it is known by.
            make: opens it.
            fits: whether one that is open can still be used; if not, those who have it keep it, and a new one is made.
        """
        process = os.getpid()
        with self._mutex:
            if key not in self._users or not fits(self._users[key][0]):
                self._users[key] = make(), []
            each, users = self._users[key]
            users.append(process)
        try:
            yield each
        finally:
            if process == os.getpid():
                with self._mutex:
                    users.pop()
                    if not users:
                        if self._users.get(key, (None,))[0] is each:
                            del self._users[key]
                        each.close()


class BranchHead(NamedTuple):
    """A checkpoint that no other one follows: the end of a run, or of one of its branches."""

    thread: str
    checkpoint: str


class DatabaseConnection(ABC):
    """An open database."""

    saver: BaseCheckpointSaver[Any]
    """Where graphs keep their checkpoints."""
    store: EncryptedStore
    """Where records of runs and lessons are kept."""
    id: str
    """Of this database alone: several may share an image store."""

    @abstractmethod
    def in_hand(self, thread: str) -> bool:
        """Tell whether a process holds a run."""

    @abstractmethod
    def hold(self, thread: str) -> AbstractContextManager[None]:
        """Hold a run, so that nobody else works on it. The system lets go of it when the process ends, however it ends.

        Raises:
            RunInUseError: another process holds it.
        """

    @abstractmethod
    def tips(self, thread: str | None = None) -> list[BranchHead]:
        """Return the last checkpoint of every branch of a run, or of every run."""

    @abstractmethod
    def rows(self, thread: str) -> int:
        """Return how many rows a run has in the tables of checkpoints."""

    @abstractmethod
    def may_have_forks(self) -> bool:
        """Tell whether a record of a run says that it was forked, or is encrypted, without reading any."""

    @abstractmethod
    def keep_latest(self, thread: str) -> None:
        """Delete all checkpoints of a run but the latest one."""

    @abstractmethod
    def size(self) -> int:
        """Return what the database takes, in bytes."""

    @abstractmethod
    def shrink(self) -> str:
        """Give room that deleted rows took back to the system; return why that was not possible, or nothing."""


class Database(ABC):
    """A database of runs that can be opened."""

    name: str
    """What people are told of where it is: no password."""

    @abstractmethod
    def exists(self) -> bool:
        """Tell whether there is anything to be opened, without making it."""

    @abstractmethod
    def open(self) -> AbstractContextManager[DatabaseConnection]:
        """Open it, and make its tables if need be.

        Raises:
            CheckpointError: it cannot be opened, or something fails while it is; the message says what to do.
        """


def identify(store: BaseStore, *, make: bool = True) -> str:
    """Return the id of a database, made when it is first asked for; only one process may ask at a time.

    Args:
        store: LangGraph's, before anything is encrypted: the id must be readable without a key.
        make: whether it can be made; where nothing can be written it may be missing, and is empty.
    """
    found = store.get(("gems",), "database")
    if found is None and make:
        store.put(("gems",), "database", {"id": uuid.uuid4().hex}, index=False)
        found = store.get(("gems",), "database")
    return str(found.value["id"]) if found else ""
