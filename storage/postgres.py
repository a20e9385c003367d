"""Runs in PostgreSQL: for many runs at once, and for several machines that share them."""

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
from .checksums import CheckedSaver
from .database import TIPS, BranchHead, Database, DatabaseConnection, OwnSaver, Shared, identify
from .encrypted_store import EncryptedStore, read_value
from .serializer import SerializedValue, serializer

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "store")
CONNECTION: dict[str, str | int] = {"connect_timeout": 10, "keepalives_idle": 30, "application_name": "gems"}
"""Of a connection, where the URL does not say: a run may be silent for minutes while a picture is drawn."""

HOW: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
"""How LangGraph wants a connection."""
POOL = 8
"""Most connections of a process, besides the one that has the locks of its runs."""
WAIT = 60.0
"""Seconds to wait for one of them."""

HIDDEN = ("password", "sslpassword", "passfile", "oauth_client_secret")
"""Fields of a URL that people are not told."""


class EncryptingSaver(CheckedSaver, OwnSaver, PostgresSaver):
    """LangGraph's saver, but texts and numbers of the state go through the serializer too.

    LangGraph writes them into the JSON of the checkpoint as they are: neither compressed, nor with a hash, nor encrypted.
    """

    holder: psycopg.Connection[DictRow] | None = None
    """The connection that has the lock of the run that is held: once it is lost, another process may go on with the run."""

    def put_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        """Save what a step has written before its checkpoint is there."""
        self._require_lock()
        super().put_writes(config, writes, task_id, task_path)

    def _require_lock(self) -> None:
        if self.holder is not None:
            self.holder.execute("SELECT 1")

    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Save a checkpoint."""
        self._require_lock()
        plain = {k: v for k, v in checkpoint["channel_values"].items() if v is None or isinstance(v, str | int | float | bool)}
        sealed: dict[str, Any] = {name: SerializedValue(value) for name, value in plain.items()}
        # A value that has not changed since is written again, as it may have been in the clear; otherwise nothing happens.
        versions = {name: checkpoint["channel_versions"][name] for name in plain if name in checkpoint["channel_versions"]}
        whole: Checkpoint = {**checkpoint, "channel_values": {**checkpoint["channel_values"], **sealed}}
        return super().put(config, whole, metadata, {**versions, **new_versions})


class PostgresDatabase(Database):
    """A PostgreSQL database, and an advisory lock for each run.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:PORT/NAME`; the password may also be in `PGPASSWORD` or `~/.pgpass`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        who = f"{parts.username}@" if parts.username else ""
        told = [field for field in parts.query.split("&") if field and unquote(field.partition("=")[0]) not in HIDDEN]
        query = "?" + "&".join(told) if told else ""  # it may say the host, or the schema
        self.name = f"postgresql://{who}{parts.netloc.rpartition('@')[2]}{parts.path}{query}"

    def exists(self) -> bool:
        """Tell whether there is anything to be opened: the server says so when it is asked."""
        return True

    @contextmanager
    def open(self) -> Iterator[DatabaseConnection]:
        """Connect, and make the tables if need be.

        Raises:
            CheckpointError: the server cannot be reached, refuses, or fails.
        """
        ready = False
        serde = serializer()
        try:
            said = conninfo_to_dict(self.url)
            url = make_conninfo(self.url, **{name: value for name, value in CONNECTION.items() if name not in said})
            with _CONNECTIONS.use(url, lambda: _Connections(url)) as connections:
                ready = True
                store = PostgresStore(connections.pool, deserializer=read_value)
                yield PostgresConnection(connections, EncryptingSaver(connections.pool, serde=serde), EncryptedStore(store, serde))
        except psycopg.Error as error:
            told = str(error)
            raise CheckpointError(self._explain(error, ready)) from (error if self._discreet(told) == told else None)

    def _discreet(self, text: str) -> str:
        """Return what an error says without the password, as it is in the URL and as it is sent."""
        try:
            sent = str(conninfo_to_dict(self.url).get("password") or "")
        except psycopg.Error:
            sent = ""
        for secret in filter(None, (urlsplit(self.url).password, sent)):
            text = redact(text.replace(secret, MASK), secret)
        return text

    def _explain(self, error: psycopg.Error, ready: bool) -> str:
        text = " ".join(self._discreet(str(error)).split())
        if isinstance(error, PoolTimeout):
            hint = "is it running? If it is, run fewer at once, or raise its max_connections"
            return f"the database {self.name} gave no connection for {WAIT:.0f} seconds: {hint}"
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


class _Connections:
    """The connections of a process to a database, which its runs share; the tables are made.

    One of them has the locks of all its runs, and is used for nothing else.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.mutex = threading.Lock()
        self._held: set[str] = set()
        self._holder = self._connect()
        try:
            store = PostgresStore(self._holder)
            with _alone(self._holder):
                PostgresSaver(self._holder).setup()
                store.setup()
                self.id = identify(store)
            self.schema = str(self._holder.execute("SELECT current_schema() AS name").fetchall()[0]["name"])
            self.pool: ConnectionPool[psycopg.Connection[DictRow]] = ConnectionPool(
                url, min_size=0, max_size=POOL, timeout=WAIT, kwargs=HOW, open=True
            )
        except BaseException:
            self._holder.close()
            raise

    def _connect(self) -> psycopg.Connection[DictRow]:
        return psycopg.connect(self.url, **HOW)

    def holder(self) -> tuple[psycopg.Connection[DictRow], set[str]]:
        """Return the connection with the locks, and which runs it holds; a new one if it was lost. The mutex must be held."""
        if self._holder.closed:
            self._holder, self._held = self._connect(), set()
        return self._holder, self._held

    def close(self) -> None:
        """Close all of them."""
        self.pool.close()
        self._holder.close()


_CONNECTIONS: Shared[_Connections] = Shared()


class PostgresConnection(DatabaseConnection):
    """An open PostgreSQL database of runs."""

    def __init__(self, connections: _Connections, saver: EncryptingSaver, store: EncryptedStore) -> None:
        self.connections, self.postgres, self.saver, self.store, self.id = connections, saver, saver, store, connections.id

    def in_hand(self, thread: str) -> bool:
        """Tell whether a process holds a run."""
        key = self._key(thread)
        found = self._ask(
            "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND classid = %s AND objid = %s",
            ((key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF),
        )
        return bool(found[0]["n"])

    @contextmanager
    def hold(self, thread: str) -> Iterator[None]:
        """Hold a run by an advisory lock of a connection.

        Raises:
            RunInUseError: another process or thread holds it.
        """
        shared, key, before = self.connections, self._key(thread), self.postgres.holder
        with shared.mutex:
            holder, held = shared.holder()
            # A connection would get its own lock once more.
            if thread in held or not holder.execute("SELECT pg_try_advisory_lock(%s) AS got", (key,)).fetchall()[0]["got"]:
                raise RunInUseError.of(thread)
            held.add(thread)
        self.postgres.holder = holder
        try:
            yield
        finally:
            self.postgres.holder = before
            with shared.mutex, suppress(psycopg.OperationalError):  # a connection that is lost has no locks
                held.remove(thread)
                holder.execute("SELECT pg_advisory_unlock(%s)", (key,))

    def tips(self, thread: str | None = None) -> list[BranchHead]:
        """Return the last checkpoint of every branch of a run, or of every run."""
        only = () if thread is None else (thread,)
        found = self._ask(TIPS + " AND c.thread_id = %s" * len(only), only)
        return [BranchHead(row["thread_id"], row["checkpoint_id"]) for row in found]

    def rows(self, thread: str) -> int:
        """Return how many rows a run has in the tables of checkpoints."""
        tables = [f"(SELECT count(*) FROM {table} WHERE thread_id = %s)" for table in TABLES[:3]]
        return int(self._ask(f"SELECT {' + '.join(tables)} AS n", (thread,) * 3)[0]["n"])

    def may_have_forks(self) -> bool:
        """Tell whether a record of a run says that it was forked, or is encrypted, without reading any."""
        signs = "jsonb_typeof(value -> 'parent') = 'object' OR value ? 'kind'"
        return bool(self._ask(f"SELECT 1 AS n FROM store WHERE prefix = 'gems.runs' AND ({signs}) LIMIT 1"))

    def keep_latest(self, thread: str) -> None:
        """Delete all checkpoints of a run but the latest one."""
        self.postgres.prune([thread], strategy="keep_latest")

    def size(self) -> int:
        """Return what the tables take, in bytes."""
        sizes = " + ".join(f"pg_total_relation_size('{table}')" for table in TABLES)
        return int(self._ask(f"SELECT {sizes} AS n")[0]["n"])

    def shrink(self) -> str:
        """Free the room of deleted rows for new ones. PostgreSQL gives back to the system what is at the end of its files."""
        for table in TABLES:
            self._ask(f"VACUUM {table}")
        return ""

    def _key(self, thread: str) -> int:
        """Return the number of a run's lock: locks are the whole database's, but runs are those of a schema."""
        return _number(f"{self.connections.schema}/{thread}")

    def _ask(self, statement: str, values: tuple[Any, ...] = ()) -> list[DictRow]:
        with self.connections.pool.connection() as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def _alone(connection: psycopg.Connection[DictRow]) -> Iterator[None]:
    """Be the only one that makes the tables; wait for another one."""
    key = _number("/set up")  # of all schemas together: it is no name of one
    # Asked for again and again: who waits within a statement is waited for by CREATE INDEX CONCURRENTLY.
    while True:
        got = connection.execute("SELECT pg_try_advisory_lock(%s) AS got", (key,)).fetchone()
        if got and got["got"]:
            break
        time.sleep(0.02)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))


def _number(name: str) -> int:
    """Return the number of an advisory lock."""
    return int.from_bytes(hashlib.sha256(f"gems/{name}".encode()).digest()[:8], "big", signed=True)
