"""Checkpoints: LangGraph's SQLite saver with a strict list of what may be revived."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from ..errors import GemsError
from .state import STATE_TYPES


class CheckpointError(GemsError):
    """The checkpoint database cannot be opened, read or written."""


class CompressedSerializer(SerializerProtocol):
    """Another serializer's bytes, compressed: every checkpoint repeats all prompts, thoughts and reasons so far.

    Args:
        inner: the serializer that does the work.
    """

    MARK = "+zlib"

    def __init__(self, inner: SerializerProtocol) -> None:
        self.inner = inner

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the object's kind, marked, and its compressed bytes."""
        kind, data = self.inner.dumps_typed(obj)
        return kind + self.MARK, zlib.compress(data)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the object of a kind and its bytes, compressed or not."""
        kind, body = data
        if kind.endswith(self.MARK):
            try:
                kind, body = kind.removesuffix(self.MARK), zlib.decompress(body)
            except zlib.error as error:
                raise CheckpointError(
                    f"a checkpoint is damaged ({error}): restore the database from a copy, or start anew"
                ) from error
        return self.inner.loads_typed((kind, body))


def serializer() -> SerializerProtocol:
    """Return the serializer of checkpoints: of our types only those of the state are revived, and nothing by pickle."""
    return CompressedSerializer(JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=list(STATE_TYPES)))


@contextmanager
def sqlite_checkpoints(path: Path) -> Iterator[SqliteSaver]:
    """Open, and make if need be, the checkpoint database at `path`.

    Raises:
        CheckpointError: the folder cannot be written, or the file is not an intact SQLite database.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot make the folder {path.parent} ({error.strerror}): choose another with --runs") from error
    connection = None
    try:
        connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
        saver = SqliteSaver(connection, serde=serializer())
        saver.setup()
        yield saver
    except sqlite3.Error as error:
        raise CheckpointError(_explain(path, error)) from error
    finally:
        if connection is not None:
            connection.close()


def _explain(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return f"the database {path} is locked by another program: end it or choose another folder with --runs"
    if "full" in text:
        return f"the disk of the database {path} is full: make room, then go on with `gems resume`"
    if "unable to open" in text or "readonly" in text:
        return f"cannot write the database {path} ({text}): choose another folder with --runs"
    return f"the database {path} is damaged ({text}): restore it from a copy, or move it away to start anew; the images are safe"
