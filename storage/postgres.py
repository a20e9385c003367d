"""Database of runs in PostgreSQL: for many runs at once, and for several machines that share them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.store.postgres import PostgresStore
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from ..errors import CheckpointError, RunInUseError
from ..privacy import MASK, redact
from .checksums import ChecksumSaver
from .database import Database, DatabaseConnection, SharedConnections, ThreadedSaver, database_id
from .encrypted_store import EncryptedStore, read_value
from .serializer import SerializedValue, serializer

CONNECTION_DEFAULTS: dict[str, str | int] = {"connect_timeout": 10, "keepalives_idle": 30, "application_name": "gems"}
"""Parameters of a connection that the URL does not set: a run may be silent for minutes while an image is made."""

CONNECT_OPTIONS: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
"""Options of a connection that LangGraph needs."""
POOL_SIZE = 8
"""Most connections of a process, besides the one that holds the locks of its runs."""
POOL_TIMEOUT = 60.0
"""Seconds to wait for a connection of the pool."""

SECRET_PARAMETERS = ("password", "sslpassword", "passfile", "oauth_client_secret")
"""Parameters of a URL that are not shown."""


class EncryptingSaver(ChecksumSaver, ThreadedSaver, PostgresSaver):
    """LangGraph's saver for PostgreSQL, with texts and numbers of the state serialized too.

    LangGraph writes them into the JSON of the checkpoint as they are: neither compressed, nor with a hash, nor encrypted.
    """

    lock_connection: psycopg.Connection[DictRow] | None = None
    """The connection that holds the lock of the run: once it is lost, another process may resume the run."""

    def put_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        """Save the writes of a task before their checkpoint exists."""
        self._require_lock()
        super().put_writes(config, writes, task_id, task_path)

    def _require_lock(self) -> None:
        if self.lock_connection is not None:
            self.lock_connection.execute("SELECT 1")

    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Save a checkpoint."""
        self._require_lock()
        plain = {k: v for k, v in checkpoint["channel_values"].items() if v is None or isinstance(v, str | int | float | bool)}
        serialized: dict[str, Any] = {name: SerializedValue(value) for name, value in plain.items()}
        # An unchanged value is written again, as it may have been stored as plain JSON; otherwise nothing happens.
        versions = {name: checkpoint["channel_versions"][name] for name in plain if name in checkpoint["channel_versions"]}
        whole: Checkpoint = {**checkpoint, "channel_values": {**checkpoint["channel_values"], **serialized}}
        return super().put(config, whole, metadata, {**versions, **new_versions})


class PostgresDatabase(Database):
    """A PostgreSQL database; each run has an advisory lock.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:PORT/NAME`; the password may also be in `PGPASSWORD` or `~/.pgpass`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        user = f"{parts.username}@" if parts.username else ""
        shown = [field for field in parts.query.split("&") if field and unquote(field.partition("=")[0]) not in SECRET_PARAMETERS]
        query = "?" + "&".join(shown) if shown else ""  # it may name the host, or the schema
        self.name = f"postgresql://{user}{parts.netloc.rpartition('@')[2]}{parts.path}{query}"

    def exists(self) -> bool:
        """Return True: only the server knows, and says so when it is opened."""
        return True

    @contextmanager
    def open(self) -> Iterator[DatabaseConnection]:
        """Connect, and make the tables if needed.

        Raises:
            CheckpointError: the server cannot be reached, refuses, or fails.
        """
        ready = False
        serde = serializer()
        try:
            given = conninfo_to_dict(self.url)
            url = make_conninfo(self.url, **{name: value for name, value in CONNECTION_DEFAULTS.items() if name not in given})
            with _POOLS.use(url, lambda: _ConnectionPool(url)) as connections:
                ready = True
                store = PostgresStore(connections.pool, deserializer=read_value)
                yield PostgresConnection(connections, EncryptingSaver(connections.pool, serde=serde), EncryptedStore(store, serde))
        except psycopg.Error as error:
            text = str(error)
            raise CheckpointError(self._error_message(error, ready)) from (error if self._without_password(text) == text else None)

    def _without_password(self, text: str) -> str:
        """Return a message without the password, as the URL has it and as it is sent."""
        try:
            sent = str(conninfo_to_dict(self.url).get("password") or "")
        except psycopg.Error:
            sent = ""
        for secret in filter(None, (urlsplit(self.url).password, sent)):
            text = redact(text.replace(secret, MASK), secret)
        return text

    def _error_message(self, error: psycopg.Error, ready: bool) -> str:
        text = " ".join(self._without_password(str(error)).split())
        if isinstance(error, PoolTimeout):
            hint = "is it running? If it is, run fewer at once, or raise its max_connections"
            return f"the database {self.name} gave no connection for {POOL_TIMEOUT:.0f} seconds: {hint}"
        if isinstance(error, psycopg.errors.TooManyConnections) or "too many clients" in text:
            return f"the database {self.name} takes no more connections: run fewer at once, or raise its max_connections"
        if isinstance(error, psycopg.ProgrammingError) and not error.sqlstate:
            return f"the URL of the database is not understood ({text}): write postgresql://user@host:port/name"
        if isinstance(error, psycopg.OperationalError):
            hint = (
                "is it running? Once it is, `gems resume` goes on with the run" if ready else "is it running, and is --store right?"
            )
            return f"cannot work with the database {self.name} ({text}): {hint}"
        return f"the database {self.name} failed ({text})"


class _ConnectionPool:
    """The connections of a process to a database with its tables made, shared by all its runs.

    One connection holds the locks of all runs of the process, and is used for nothing else.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.mutex = threading.Lock()
        self._locked_runs: set[str] = set()
        self._lock_connection = self._connect()
        try:
            store = PostgresStore(self._lock_connection)
            with _setup_lock(self._lock_connection):
                PostgresSaver(self._lock_connection).setup()
                store.setup()
                self.id = database_id(store)
            self.schema = str(self._lock_connection.execute("SELECT current_schema() AS name").fetchall()[0]["name"])
            self.pool: ConnectionPool[psycopg.Connection[DictRow]] = ConnectionPool(
                url, min_size=0, max_size=POOL_SIZE, timeout=POOL_TIMEOUT, kwargs=CONNECT_OPTIONS, open=True
            )
        except BaseException:
            self._lock_connection.close()
            raise

    def _connect(self) -> psycopg.Connection[DictRow]:
        return psycopg.connect(self.url, **CONNECT_OPTIONS)

    def locks(self) -> tuple[psycopg.Connection[DictRow], set[str]]:
        """Return the connection that holds the locks, a new one if it was lost, and the locked runs. The mutex must be held."""
        if self._lock_connection.closed:
            self._lock_connection, self._locked_runs = self._connect(), set()
        return self._lock_connection, self._locked_runs

    def close(self) -> None:
        """Close all connections."""
        self.pool.close()
        self._lock_connection.close()


_POOLS: SharedConnections[_ConnectionPool] = SharedConnections()


class PostgresConnection(DatabaseConnection):
    """An open PostgreSQL database of runs."""

    CHECKPOINT_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
    READABLE_CONDITION = "TRUE"
    FORK_CONDITION = "jsonb_typeof(value -> 'parent') = 'object' OR jsonb_exists(value, 'kind')"

    def __init__(self, connections: _ConnectionPool, saver: EncryptingSaver, store: EncryptedStore) -> None:
        self.connections, self.postgres, self.saver, self.store, self.id = connections, saver, saver, store, connections.id

    def is_locked(self, thread: str) -> bool:
        """Return whether a process holds the lock of a run."""
        key = self._lock_key(thread)
        rows = self.query(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            f"AND classid = {(key >> 32) & 0xFFFFFFFF} AND objid = {key & 0xFFFFFFFF}"
        )
        return bool(rows)

    @contextmanager
    def lock_run(self, thread: str) -> Iterator[None]:
        """Hold the advisory lock of a run.

        Raises:
            RunInUseError: another process or thread holds it.
        """
        shared, key, before = self.connections, self._lock_key(thread), self.postgres.lock_connection
        with shared.mutex:
            connection, locked_runs = shared.locks()
            # A connection would get its own lock once more.
            if thread in locked_runs or not _try_advisory_lock(connection, key):
                raise RunInUseError.of(thread)
            locked_runs.add(thread)
        self.postgres.lock_connection = connection
        try:
            yield
        finally:
            self.postgres.lock_connection = before
            with shared.mutex, suppress(psycopg.OperationalError):  # a connection that is lost has no locks
                locked_runs.remove(thread)
                connection.execute("SELECT pg_advisory_unlock(%s)", (key,))

    def delete_old_checkpoints(self, thread: str) -> None:
        """Delete all checkpoints of a run but the latest one."""
        self.postgres.prune([thread], strategy="keep_latest")

    def size(self) -> int:
        """Return the size of the tables in bytes."""
        sizes = " + ".join(f"pg_total_relation_size('{table}')" for table in (*self.CHECKPOINT_TABLES, "store"))
        return int(self.query(f"SELECT {sizes}")[0][0])

    def compact(self) -> str:
        """Free the space of deleted rows for new ones. PostgreSQL returns to the system only the ends of its files."""
        for table in (*self.CHECKPOINT_TABLES, "store"):
            self.query(f"VACUUM {table}")
        return ""

    def _lock_key(self, thread: str) -> int:
        """Return the number of a run's lock: locks belong to the whole database, but runs to a schema."""
        return _lock_number(f"{self.connections.schema}/{thread}")

    def query(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        with self.connections.pool.connection() as connection:
            cursor = connection.execute(statement.replace("?", "%s"), values or None)
            return [tuple(row.values()) for row in cursor] if cursor.description else []


@contextmanager
def _setup_lock(connection: psycopg.Connection[DictRow]) -> Iterator[None]:
    """Hold the lock of making the tables; wait for a process that holds it."""
    key = _lock_number("/set up")  # of all schemas together: no schema has this name
    # Polled: CREATE INDEX CONCURRENTLY would wait for a process that waits within a statement.
    while not _try_advisory_lock(connection, key):
        time.sleep(0.02)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))


def _try_advisory_lock(connection: psycopg.Connection[DictRow], key: int) -> bool:
    return bool(connection.execute("SELECT pg_try_advisory_lock(%s) AS got", (key,)).fetchall()[0]["got"])


def _lock_number(name: str) -> int:
    """Return the number of an advisory lock."""
    return int.from_bytes(hashlib.sha256(f"gems/{name}".encode()).digest()[:8], "big", signed=True)
