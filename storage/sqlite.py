"""Database of runs in a SQLite file, in the folder of runs."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.store.sqlite import SqliteStore

from ..errors import CheckpointError
from .checksums import ChecksumSaver
from .database import Database, DatabaseConnection, SharedConnections, ThreadedSaver, database_id
from .encrypted_store import EncryptedStore, read_value
from .files import disk_advice
from .locks import holding, is_holding
from .serializer import serializer

FILE_NAME = "gems.sqlite"
BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process that is writing to the file."""
LOCK_TIMEOUT = 0.2
"""Seconds to try to lock a run: another process may only be testing the lock."""


class SqliteDatabase(Database):
    """A SQLite file; all runs of a process share one connection to it, and one lock file.

    Args:
        folder: the folder of runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / FILE_NAME
        self.name = str(self.path)

    def exists(self) -> bool:
        """Return whether there is a file."""
        return self.path.exists()

    @contextmanager
    def open(self) -> Iterator[DatabaseConnection]:
        """Open the file, and make it if needed. Where nothing can be written it is opened for reading.

        Raises:
            CheckpointError: the folder cannot be made, or the file is not an intact SQLite database.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot make the folder {self.folder} ({error.strerror}): choose another with --runs") from error
        serde = serializer()
        try:
            with _CONNECTIONS.use(
                os.path.realpath(self.path),
                lambda: _SharedConnection(self.folder, self.path),
                lambda connection: connection.file == _inode(self.path),  # another file may have been put in its place
            ) as connection:
                saver = SharedSqliteSaver(connection, serde)
                yield SqliteConnection(self.folder, self.path, saver, EncryptedStore(connection.store, serde), connection.id)
        except sqlite3.Error as error:
            raise CheckpointError(_error_message(self.path, error)) from error


class _ConnectionLock:
    """The lock of a shared connection: one caller at a time, and a failed transaction is rolled back before the next."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection, self.pid, self._lock = connection, os.getpid(), threading.Lock()

    def __enter__(self) -> None:
        if self.pid != os.getpid():
            raise CheckpointError("the database was opened before this process was forked: open it anew")
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self.connection.in_transaction:
                self.connection.rollback()
        finally:
            self._lock.release()


class _SharedConnection:
    """The connection of a process to a file with its tables made, shared by all threads.

    SQLite has one writer at a time: threads that wait for this connection are served in turn, whereas with connections of their
    own they would poll the file, and some would never get it.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        self.raw, writable = _connect(folder, path)
        self.raw.text_factory = lambda text: text.decode(errors="replace")  # a damaged text hides no other
        self.lock = _ConnectionLock(self.raw)
        self.store = SqliteStore(self.raw, deserializer=read_value)
        self.store.lock = self.lock  # type: ignore[assignment]
        try:
            if writable:
                with holding(folder, "/set up", math.inf):  # the store's tables cannot be made by two processes at once
                    SqliteSaver(self.raw).setup()
                    self.store.setup()
                    self.id = database_id(self.store)
            else:
                self.store.is_setup = True
                self.id = database_id(self.store, make=False)
        except BaseException as error:
            self.raw.close()
            if isinstance(error, OSError):
                raise _write_error(folder, error) from error
            raise
        self.file = _inode(path)

    def close(self) -> None:
        """Close it."""
        self.raw.close()


_CONNECTIONS: SharedConnections[_SharedConnection] = SharedConnections()


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _connect(folder: Path, path: Path) -> tuple[sqlite3.Connection, bool]:
    """Connect to a file; return the connection and whether it can write."""
    effective = os.access in os.supports_effective_ids
    writable = all(os.access(place, os.W_OK, effective_ids=effective) for place in (folder, path) if place.exists())
    if writable or not path.exists():
        return sqlite3.connect(path, check_same_thread=False, timeout=BUSY_TIMEOUT, isolation_level=None), True
    # While others write, SQLite reads through a -wal file, which it cannot make here; without one, the file does not change.
    mode = "mode=ro" if _sibling(path, "-wal").exists() else "immutable=1"
    name = f"{path.absolute().as_uri()}?{mode}"
    return sqlite3.connect(name, check_same_thread=False, timeout=BUSY_TIMEOUT, isolation_level=None, uri=True), False


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


class SharedSqliteSaver(ChecksumSaver, ThreadedSaver, SqliteSaver):
    """LangGraph's saver for SQLite, on the shared connection of the process.

    Args:
        connection: the shared connection.
        serde: the serializer of checkpoints.
    """

    def __init__(self, connection: _SharedConnection, serde: SerializerProtocol) -> None:
        super().__init__(connection.raw, serde=serde)
        self.lock = connection.lock  # type: ignore[assignment]
        self.is_setup = True

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """Give a cursor to one caller at a time; its writes are one transaction."""
        with self.lock, closing(self.conn.cursor()) as cursor:
            if transaction:
                cursor.execute("BEGIN IMMEDIATE")
            yield cursor
            if transaction:
                cursor.execute("COMMIT")

    def list(self, *args: Any, **kwargs: Any) -> Iterator[CheckpointTuple]:
        """Return the checkpoints as LangGraph's saver does, but release the connection before the first one is used."""
        return iter([*super().list(*args, **kwargs)])


class SqliteConnection(DatabaseConnection):
    """An open SQLite file of runs."""

    CHECKPOINT_TABLES = ("checkpoints", "writes")
    READABLE_CONDITION = "datetime(created_at) IS NOT NULL AND datetime(updated_at) IS NOT NULL"
    FORK_CONDITION = """instr(CAST(value AS TEXT), '"parent":{') OR instr(CAST(value AS TEXT), '"kind":"')"""

    def __init__(self, folder: Path, path: Path, saver: SqliteSaver, store: EncryptedStore, id: str) -> None:
        self.folder, self.path, self.sqlite, self.saver, self.store, self.id = folder, path, saver, saver, store, id

    def is_locked(self, thread: str) -> bool:
        """Return whether a process holds the lock of a run."""
        return is_holding(self.folder, thread)

    @contextmanager
    def lock_run(self, thread: str) -> Iterator[None]:
        """Hold the lock of a run, in the lock file of the folder of runs.

        Raises:
            RunInUseError: another process holds it.
            CheckpointError: the folder cannot be written.
            LocksMissingError: its file system has no locks.
        """
        with ExitStack() as stack:
            try:
                (self.folder / thread).mkdir(parents=True, exist_ok=True)
                stack.enter_context(holding(self.folder, thread, LOCK_TIMEOUT))
            except OSError as error:
                raise _write_error(self.folder, error) from error
            yield

    def query(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        with self.sqlite.cursor(transaction=False) as cursor:
            return cursor.execute(statement, values).fetchall()

    def delete_old_checkpoints(self, thread: str) -> None:
        """Delete all checkpoints of a run but the latest one."""
        latest = "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '')"
        with self.sqlite.cursor() as cursor:
            for table in ("writes", "checkpoints"):
                cursor.execute(f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id <> {latest}", (thread, thread))
            cursor.execute("UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE thread_id = ?", (thread,))

    def size(self) -> int:
        """Return the size of the file and of those that SQLite keeps beside it, in bytes."""
        files = (_sibling(self.path, suffix) for suffix in ("", "-wal", "-shm"))
        return sum(path.stat().st_size for path in files if path.exists())

    def compact(self) -> str:
        """Rewrite the file without the space of deleted rows; return why that was not possible, or an empty string."""
        try:
            self.query("VACUUM")
            self.query("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            if "readonly" in str(error):
                raise
            return f"{self.path} keeps its size for now ({error}): prune again when nobody else uses it"
        return ""


def _write_error(folder: Path, error: OSError) -> CheckpointError:
    advice = disk_advice(error, "choose another with --runs")
    return CheckpointError(f"cannot write in the folder {folder} ({error.strerror}): {advice}")


ERROR_MESSAGES = {
    "locked": "is locked by another program: end it or choose another folder with --runs",
    "disk is full": "has no room left on its disk: make room, then go on with `gems resume`",
    "unable to open": "cannot be opened ({text}): choose another folder with --runs, or copy this one to where it can be written",
    "readonly": "cannot be written ({text}): choose another folder with --runs",
    "disk I/O error": "cannot be read or written, as its disk has failed or is not a local one ({text}): look at the disk, then go "
    "on with `gems resume`; on a network disk, choose a folder on a local one with --runs or PostgreSQL with --store",
    "locking protocol": "is where locks do not work ({text}): choose a local disk with --runs, or PostgreSQL with --store",
    "out of memory": "needs more memory than there is: run fewer at once, then go on with `gems resume`",
    "interrupted": "was interrupted: go on with `gems resume`",
    "no such table": "was begun by an earlier version and cannot be written: copy its folder to where it can be written",
    "malformed": "is damaged ({text}): restore it from a copy, or move it away to start anew; the images are safe",
    "not a database": "is damaged ({text}): restore it from a copy, or move it away to start anew; the images are safe",
}
"""Messages by a part of SQLite's error; `{text}` is the error."""


def _error_message(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    message = next((message for part, message in ERROR_MESSAGES.items() if part in text), "failed ({text})")
    return f"the database {path} {message.format(text=text)}"
