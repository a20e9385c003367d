"""Runs in a SQLite file, in the folder of runs."""

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
from .checksums import CheckedSaver
from .database import TIPS, BranchHead, Database, DatabaseConnection, OwnSaver, Shared, identify
from .encrypted_store import EncryptedStore, read_value
from .files import advice
from .locks import holding, is_holding
from .serializer import serializer

FILE = "gems.sqlite"
WAIT = 30.0
"""Seconds to wait for another process that is writing."""
PATIENCE = 0.2
"""Seconds to try to hold a run: another process may only be looking whether it is free."""


class SqliteDatabase(Database):
    """A SQLite file. All runs of a process share one connection to it, and one lock file.

    Args:
        folder: the folder of runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / FILE
        self.name = str(self.path)

    def exists(self) -> bool:
        """Tell whether there is a file, or a run that the first version left before it had made one."""
        return self.path.exists() or any(self.folder.glob("*/run.json"))

    @contextmanager
    def open(self) -> Iterator[DatabaseConnection]:
        """Open the file, and make it if need be. Where nothing can be written it is opened to be read.

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
                lambda: _Connection(self.folder, self.path),
                lambda connection: connection.file == _identity(self.path),  # another file may have been put in its place
            ) as connection:
                saver = OwnSqliteSaver(connection, serde)
                yield SqliteConnection(self.folder, self.path, saver, EncryptedStore(connection.store, serde), connection.id)
        except sqlite3.Error as error:
            raise CheckpointError(_explain(self.path, error)) from error


class _Turn:
    """The lock of a connection: a caller at a time, and none leaves a transaction that failed to the next one."""

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


class _Connection:
    """The connection of a process to a file, with its tables made; everybody in the process shares it.

    SQLite has one writer at a time: threads that wait for one another here are served in turn, where connections of their own
    would ask the file again and again and some would never get it.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        self.raw, writable = _connect(folder, path)
        self.raw.text_factory = lambda text: text.decode(errors="replace")  # a text that is damaged hides no other
        self.turn = _Turn(self.raw)
        self.store = SqliteStore(self.raw, deserializer=read_value)
        self.store.lock = self.turn  # type: ignore[assignment]
        try:
            if writable:
                with holding(folder, "/set up", math.inf):  # the store's tables cannot be made by two processes at once
                    SqliteSaver(self.raw).setup()
                    self.store.setup()
                    self.id = identify(self.store)
            else:
                self.store.is_setup = True
                self.id = identify(self.store, make=False)
        except BaseException as error:
            self.raw.close()
            if isinstance(error, OSError):
                raise _unwritable(folder, error) from error
            raise
        self.file = _identity(path)

    def close(self) -> None:
        """Close it."""
        self.raw.close()


_CONNECTIONS: Shared[_Connection] = Shared()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _connect(folder: Path, path: Path) -> tuple[sqlite3.Connection, bool]:
    """Connect to a file; return whether it is there to be written, too."""
    own = os.access in os.supports_effective_ids
    writable = all(os.access(place, os.W_OK, effective_ids=own) for place in (folder, path) if place.exists())
    if writable or not path.exists():
        return sqlite3.connect(path, check_same_thread=False, timeout=WAIT, isolation_level=None), True
    # SQLite reads what others are writing only by a file that it would have to make. Where they are not, nothing changes.
    how = "mode=ro" if _beside(path, "-wal").exists() else "immutable=1"
    name = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(name, check_same_thread=False, timeout=WAIT, isolation_level=None, uri=True), False


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


class OwnSqliteSaver(CheckedSaver, OwnSaver, SqliteSaver):
    """LangGraph's saver in SQLite, with our serializer, on a connection that it shares.

    Args:
        connection: the process's.
        serde: the serializer.
    """

    def __init__(self, connection: _Connection, serde: SerializerProtocol) -> None:
        super().__init__(connection.raw, serde=serde)
        self.lock = connection.turn  # type: ignore[assignment]
        self.is_setup = True

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """Give a cursor to one caller at a time; what is written is there whole or, after an error, not at all."""
        with self.lock, closing(self.conn.cursor()) as cursor:
            if transaction:
                cursor.execute("BEGIN IMMEDIATE")
            yield cursor
            if transaction:
                cursor.execute("COMMIT")

    def list(self, *args: Any, **kwargs: Any) -> Iterator[CheckpointTuple]:
        """Yield checkpoints as LangGraph's saver does, but keep nobody waiting until the last one is taken."""
        return iter([*super().list(*args, **kwargs)])


class SqliteConnection(DatabaseConnection):
    """An open SQLite file of runs."""

    def __init__(self, folder: Path, path: Path, saver: SqliteSaver, store: EncryptedStore, id: str) -> None:
        self.folder, self.path, self.sqlite, self.saver, self.store, self.id = folder, path, saver, saver, store, id

    def in_hand(self, thread: str) -> bool:
        """Tell whether a process holds a run."""
        return is_holding(self.folder, thread)

    @contextmanager
    def hold(self, thread: str) -> Iterator[None]:
        """Hold a run by a lock in the folder of runs.

        Raises:
            RunInUseError: another process holds it.
            CheckpointError: the folder cannot be written.
            LocksMissingError: its file system has no locks.
        """
        with ExitStack() as held:
            try:
                (self.folder / thread).mkdir(parents=True, exist_ok=True)
                held.enter_context(holding(self.folder, thread, PATIENCE))
            except OSError as error:
                raise _unwritable(self.folder, error) from error
            yield

    def tips(self, thread: str | None = None) -> list[BranchHead]:
        """Return the last checkpoint of every branch of a run, or of every run."""
        only = () if thread is None else (thread,)
        with self.sqlite.cursor(transaction=False) as cursor:
            return [BranchHead(*row) for row in cursor.execute(TIPS + " AND c.thread_id = ?" * len(only), only)]

    def rows(self, thread: str) -> int:
        """Return how many rows a run has in the tables of checkpoints."""
        with self.sqlite.cursor(transaction=False) as cursor:
            tables = [f"SELECT count(*) FROM {table} WHERE thread_id = ?" for table in ("checkpoints", "writes")]
            return sum(cursor.execute(table, (thread,)).fetchone()[0] for table in tables)

    def may_have_forks(self) -> bool:
        """Tell whether a record of a run says that it was forked, or is encrypted, without reading any."""
        signs = " OR ".join(f"instr(CAST(value AS TEXT), '{sign}')" for sign in ('"parent":{', '"kind":"'))
        with self.sqlite.cursor(transaction=False) as cursor:
            return cursor.execute(f"SELECT 1 FROM store WHERE prefix = 'gems.runs' AND ({signs}) LIMIT 1").fetchone() is not None

    def keep_latest(self, thread: str) -> None:
        """Delete all checkpoints of a run but the latest one."""
        latest = "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '')"
        with self.sqlite.cursor() as cursor:
            for table in ("writes", "checkpoints"):
                cursor.execute(f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id <> {latest}", (thread, thread))
            cursor.execute("UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE thread_id = ?", (thread,))

    def size(self) -> int:
        """Return what the file takes, in bytes, with what SQLite has written beside it."""
        files = (_beside(self.path, end) for end in ("", "-wal", "-shm"))
        return sum(path.stat().st_size for path in files if path.exists())

    def shrink(self) -> str:
        """Write the file anew without its holes; return why that was not possible, or nothing."""
        try:
            with self.sqlite.cursor(transaction=False) as cursor:
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            if "readonly" in str(error):
                raise
            return f"{self.path} keeps its size for now ({error}): prune again when nobody else uses it"
        return ""


def _unwritable(folder: Path, error: OSError) -> CheckpointError:
    why = advice(error, "choose another with --runs")
    return CheckpointError(f"cannot write in the folder {folder} ({error.strerror}): {why}")


REASONS = {
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
"""What SQLite's errors mean, by words in them."""


def _explain(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    reason = next((reason for words, reason in REASONS.items() if words in text), "failed ({text})")
    return f"the database {path} {reason.format(text=text)}"
