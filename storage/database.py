"""Interface of a database of runs: LangGraph's checkpointer and store, locks of runs, and connections that a process shares."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.store.base import BaseStore

from .encrypted_store import EncryptedStore


class ThreadedSaver(BaseCheckpointSaver[str]):
    """Mixin for a synchronous saver: its asynchronous methods call the synchronous ones in a thread.

    It also keeps its own serializer, whose list of types that it revives is shorter than what LangGraph would add.
    """

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """Return this saver, its list of types unchanged."""
        return self

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Call `get_tuple` in a thread."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(self, config: RunnableConfig | None, **kwargs: Any) -> AsyncIterator[CheckpointTuple]:
        """Call `list` in a thread."""
        for stored in await asyncio.to_thread(lambda: [*self.list(config, **kwargs)]):
            yield stored

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Call `put` in a thread."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Call `put_writes` in a thread."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Call `delete_thread` in a thread."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Call `prune` in a thread."""
        await asyncio.to_thread(self.prune, thread_ids, strategy=strategy)


class Closable(Protocol):
    """An object with a `close` method."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closable)


class SharedConnections(Generic[C]):
    """The open connections of a process by key: the first user opens one, the last one closes it.

    A forked process opens its own: it neither uses nor closes those of its parent.
    """

    def __init__(self) -> None:
        self._inherited: list[C] = []
        self._users: dict[Hashable, tuple[C, list[int]]] = {}
        self._mutex = threading.Lock()
        os.register_at_fork(after_in_child=self._forget_inherited)

    def _forget_inherited(self) -> None:
        self._inherited += [connection for connection, _ in self._users.values()]
        self._users, self._mutex = {}, threading.Lock()

    @contextmanager
    def use(self, key: Hashable, connect: Callable[[], C], is_usable: Callable[[C], bool] = lambda each: True) -> Iterator[C]:
        """Give the connection of a key.

        Args:
            key: such as the path of a file.
            connect: opens a connection.
            is_usable: whether an open one can still be used; if not, its users keep it, and a new one is opened.
        """
        process = os.getpid()
        with self._mutex:
            if key not in self._users or not is_usable(self._users[key][0]):
                self._users[key] = connect(), []
            connection, users = self._users[key]
            users.append(process)
        try:
            yield connection
        finally:
            if process == os.getpid():
                with self._mutex:
                    users.pop()
                    if not users:
                        if self._users.get(key, (None,))[0] is connection:
                            del self._users[key]
                        connection.close()


class BranchHead(NamedTuple):
    """A checkpoint without a successor: the end of a run, or of one of its branches."""

    thread: str
    checkpoint: str


class DatabaseConnection(ABC):
    """An open database of runs."""

    CHECKPOINT_TABLES: ClassVar[tuple[str, ...]]
    READABLE_CONDITION: ClassVar[str]
    """Condition on a row that LangGraph can read."""
    FORK_CONDITION: ClassVar[str]
    """Condition on a stored record of a run that names a parent, or is encrypted."""

    saver: BaseCheckpointSaver[Any]
    """The checkpointer of graphs."""
    store: EncryptedStore
    """The store of records of runs and of lessons."""
    id: str
    """The database's own id: several databases may share an image store."""

    @abstractmethod
    def is_locked(self, thread: str) -> bool:
        """Return whether a process holds the lock of a run."""

    @abstractmethod
    def lock_run(self, thread: str) -> AbstractContextManager[None]:
        """Hold the lock of a run. The system releases it when the process ends, however it ends.

        Raises:
            RunInUseError: another process holds it.
        """

    @abstractmethod
    def query(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, in which `?` stands for each value."""

    def branch_heads(self, thread: str | None = None) -> list[BranchHead]:
        """Return the last checkpoint of every branch of a run, or of every run."""
        statement = """SELECT thread_id, checkpoint_id FROM checkpoints AS c WHERE checkpoint_ns = '' AND NOT EXISTS (
            SELECT 1 FROM checkpoints AS p
            WHERE p.thread_id = c.thread_id AND p.checkpoint_ns = '' AND p.parent_checkpoint_id = c.checkpoint_id)"""
        rows = self.query(statement) if thread is None else self.query(f"{statement} AND c.thread_id = ?", thread)
        return [BranchHead(*row) for row in rows]

    def row_count(self, thread: str) -> int:
        """Return how many rows a run has in the tables of checkpoints."""
        tables = [f"(SELECT count(*) FROM {table} WHERE thread_id = ?)" for table in self.CHECKPOINT_TABLES]
        return int(self.query(f"SELECT {' + '.join(tables)}", *[thread] * len(tables))[0][0])

    def has_result(self, thread: str, task: str) -> bool:
        """Return whether the result of a task is stored; special writes, such as its error, have a negative index."""
        condition = "thread_id = ? AND task_id = ? AND idx >= 0"
        return bool(self.query(f"SELECT 1 FROM {self.CHECKPOINT_TABLES[-1]} WHERE {condition} LIMIT 1", thread, task))

    def read_namespace(self, namespace: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """Return all values of a namespace of the store by key; one that cannot be read is empty, and hides no other.

        A row without valid dates is left out: LangGraph does not return it.
        """
        rows = self.query(f"SELECT key, value FROM store WHERE prefix = ? AND {self.READABLE_CONDITION}", ".".join(namespace))
        return {str(key): self.store.plain_value(content) for key, content in rows}

    def may_contain_forks(self) -> bool:
        """Return whether any record of a run names a parent, or is encrypted; no record is loaded for that."""
        return bool(self.query(f"SELECT 1 FROM store WHERE prefix = 'gems.runs' AND ({self.FORK_CONDITION}) LIMIT 1"))

    @abstractmethod
    def delete_old_checkpoints(self, thread: str) -> None:
        """Delete all checkpoints of a run but the latest one."""

    @abstractmethod
    def size(self) -> int:
        """Return the size of the database in bytes."""

    @abstractmethod
    def compact(self) -> str:
        """Return the space of deleted rows to the system; return why that was not possible, or an empty string."""


class Database(ABC):
    """A database of runs that can be opened."""

    name: str
    """Its place as it is shown to people, without a password."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether there is something to open; nothing is made."""

    @abstractmethod
    def open(self) -> AbstractContextManager[DatabaseConnection]:
        """Open it, and make its tables if needed.

        Raises:
            CheckpointError: it cannot be opened, or fails while it is open; the message says what to do.
        """


def database_id(store: BaseStore, *, make: bool = True) -> str:
    """Return the id of a database, made at the first call; only one process may call this at a time.

    Args:
        store: LangGraph's own, without encryption: the id must be readable without a key.
        make: whether the id can be made. In a database that cannot be written it may be missing, and is then empty.
    """
    item = store.get(("gems",), "database")
    if item is None and make:
        store.put(("gems",), "database", {"id": uuid.uuid4().hex}, index=False)
        item = store.get(("gems",), "database")
    return str(item.value["id"]) if item else ""
