"""Runs in a SQLite file, in the folder of runs."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.store.sqlite import SqliteStore

from .checked import CheckedSaver
from .database import TIPS, Database, Opened, OwnAllowlist, Tip, identify
from .locks import exclusive, is_held
from .sealed import SealedStore, read_value
from .serializer import CheckpointError, serializer

FILE = "gems.sqlite"
WAIT = 30.0
"""Seconds to wait for another process that is writing."""
PATIENCE = 0.2
"""Seconds to try to hold a run: another process may only be looking whether it is free."""


class SqliteDatabase(Database):
    """A SQLite file, and a lock file for each run.

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
    def open(self) -> Iterator[Opened]:
        """Open the file, and make it if need be.

        Raises:
            CheckpointError: the folder cannot be written, or the file is not an intact SQLite database.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot make the folder {self.folder} ({error.strerror}): choose another with --runs") from error
        try:
            # The saver and the store each guard their connection by a lock of their own, so each has its own.
            with closing(self._connect()) as one, closing(self._connect(isolation_level=None)) as other:
                serde = serializer()
                saver, store = OwnSqliteSaver(one, serde=serde), SqliteStore(other, deserializer=read_value)
                with _alone(self.folder):  # the store's tables cannot be made by two processes at once
                    saver.setup()
                    store.setup()
                    id = identify(store)
                yield OpenedSqlite(self.folder, self.path, saver, SealedStore(store, serde), id)
        except sqlite3.Error as error:
            raise CheckpointError(_explain(self.path, error)) from error

    def _connect(self, isolation_level: str | None = "") -> sqlite3.Connection:
        return sqlite3.connect(self.path, check_same_thread=False, timeout=WAIT, isolation_level=isolation_level)  # type: ignore[arg-type]


class OwnSqliteSaver(CheckedSaver, OwnAllowlist, SqliteSaver):
    """LangGraph's saver in SQLite, with our serializer."""


class OpenedSqlite(Opened):
    """An open SQLite file of runs."""

    def __init__(self, folder: Path, path: Path, saver: SqliteSaver, store: SealedStore, id: str) -> None:
        self.folder, self.path, self.sqlite, self.saver, self.store, self.id = folder, path, saver, saver, store, id

    def in_hand(self, thread: str) -> bool:
        """Tell whether a process holds a run."""
        return is_held(self.folder / thread)

    @contextmanager
    def hold(self, thread: str) -> Iterator[None]:
        """Hold a run by a lock on a file in its folder.

        Raises:
            RunInUseError: another process holds it.
        """
        (self.folder / thread).mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / thread, PATIENCE):
            yield

    def tips(self, thread: str | None = None) -> list[Tip]:
        """Return the last checkpoint of every branch of a run, or of every run."""
        only = () if thread is None else (thread,)
        with self.sqlite.cursor(transaction=False) as cursor:
            return [Tip(*row) for row in cursor.execute(TIPS + " AND c.thread_id = ?" * len(only), only)]

    def rows(self, thread: str) -> int:
        """Return how many rows a run has in the tables of checkpoints."""
        with self.sqlite.cursor(transaction=False) as cursor:
            tables = [f"SELECT count(*) FROM {table} WHERE thread_id = ?" for table in ("checkpoints", "writes")]
            return sum(cursor.execute(table, (thread,)).fetchone()[0] for table in tables)

    def keep_latest(self, thread: str) -> None:
        """Delete all checkpoints of a run but the latest one."""
        latest = "(SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '')"
        with self.sqlite.cursor() as cursor:
            for table in ("writes", "checkpoints"):
                cursor.execute(f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id <> {latest}", (thread, thread))
            cursor.execute("UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE thread_id = ?", (thread,))

    def size(self) -> int:
        """Return what the file takes, in bytes, with what SQLite has written beside it."""
        beside = (self.path, *(self.path.with_name(self.path.name + end) for end in ("-wal", "-shm")))
        return sum(path.stat().st_size for path in beside if path.exists())

    def shrink(self) -> str:
        """Write the file anew without its holes; return why that was not possible, or nothing."""
        try:
            with self.sqlite.cursor() as cursor:
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            return f"{self.path} keeps its size for now ({error}): prune again when nobody else uses it"
        return ""


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only process that sets the file up; wait for another one."""
    with (folder / ".setup.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _explain(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return f"the database {path} is locked by another program: end it or choose another folder with --runs"
    if "full" in text:
        return f"the disk of the database {path} is full: make room, then go on with `gems resume`"
    if "unable to open" in text or "readonly" in text:
        return f"cannot write the database {path} ({text}): choose another folder with --runs"
    return f"the database {path} is damaged ({text}): restore it from a copy, or move it away to start anew; the images are safe"
