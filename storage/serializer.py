"""How checkpoints and records are written: compressed, with a hash of their bytes, encrypted if there is a key.

Whatever is read back is refused if its bytes do not have their hash. Of our types only those of the state are revived,
and nothing at all by pickle.

| kind in the database | what the bytes are |
|---|---|
| `msgpack+zlib` | compressed; written by the first version |
| `msgpack.2` | SHA-256 of the rest, then the rest, compressed |
| `msgpack.2w` | the same, of a value that a step has written, with the name of what it is of |
| `msgpack.2+aes`, `msgpack.2w+aes` | the same, encrypted |
"""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import Any, NamedTuple

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ..errors import CheckpointError
from ..memory.state import STATE_TYPES

KEY = "LANGGRAPH_AES_KEY"
"""The environment variable with the key, LangGraph's own: 16, 24 or 32 bytes."""


class SerializedValue(NamedTuple):
    """A value that a saver is to hand to the serializer, though it would write it in the clear; it is read as the value."""

    value: Any


class NamedWrite(NamedTuple):
    """A value that a step has written: with its name, which a database has in the clear."""

    channel: str
    value: Any


class HashedSerializer(SerializerProtocol):
    """Another serializer's bytes, compressed, since every checkpoint repeats all prompts and reasons, and with their hash.

    Args:
        inner: the serializer that does the work.
    """

    MARK = ".2"
    WRITE_MARK = ".2w"
    FIRST_MARK = "+zlib"
    KINDS = ("msgpack", "bytes", "bytearray", "null")
    """What is read back: nothing that could build objects of any class, as pickle and LangChain's JSON can."""

    def __init__(self, inner: SerializerProtocol) -> None:
        self.inner = inner

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the object's kind, marked, and its bytes; of an error only its name."""
        mark, value = self.MARK, obj.value if isinstance(obj, SerializedValue | NamedWrite) else obj
        if isinstance(value, BaseException):  # LangGraph keeps why a task failed; errors name folders, those of others also keys
            value = type(value).__name__
        if isinstance(obj, NamedWrite):
            mark, value = self.WRITE_MARK, [obj.channel, value]
        kind, data = self.inner.dumps_typed(value)
        body = zlib.compress(data)
        return kind + mark, hashlib.sha256(body).digest() + body

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the object of a kind and its bytes.

        Raises:
            CheckpointError: the bytes are not those that were written, or the kind is unknown.
        """
        kind, body = data
        mark = next((m for m in (self.MARK, self.WRITE_MARK, self.FIRST_MARK) if str(kind).endswith(m)), None)
        if mark is None or kind.removesuffix(mark) not in self.KINDS:
            raise CheckpointError(damaged(f"{str(kind)[:40]!r} is no kind that is read here"))
        if not isinstance(body, bytes | bytearray | memoryview):
            raise CheckpointError(damaged("it has no bytes"))
        if mark != self.FIRST_MARK:
            digest, body = body[:32], body[32:]
            if hashlib.sha256(body).digest() != digest:
                raise CheckpointError(damaged("its bytes have another hash"))
        try:
            value = self.inner.loads_typed((kind.removesuffix(mark), zlib.decompress(body)))
            return NamedWrite(*value) if mark == self.WRITE_MARK else value
        except (zlib.error, ValueError, TypeError) as error:
            raise CheckpointError(damaged(str(error))) from error


class KeyedSerializer(SerializerProtocol):
    """Encrypts what it writes, by LangGraph's `EncryptedSerializer`; reads what was written with the key or before there was one.

    Args:
        plain: the serializer whose bytes are encrypted.
        key: 16, 24 or 32 bytes; None encrypts nothing.

    Raises:
        CheckpointError: the key has another length, or pycryptodome is not installed.
    """

    MARK = "+aes"

    def __init__(self, plain: SerializerProtocol, key: bytes | None) -> None:
        self.plain = plain
        self.keyed: EncryptedSerializer | None = None
        if key is None:
            return
        if len(key) not in (16, 24, 32):
            raise CheckpointError(f"{KEY} has {len(key)} bytes: it must have 16, 24 or 32")
        try:
            self.keyed = EncryptedSerializer.from_pycryptodome_aes(plain, key=key)
        except ImportError as error:
            missing = 'pycryptodome is not there: pip install -c constraints.txt -e ".[encryption]"'
            raise CheckpointError(f"{KEY} is set, but {missing}") from error

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the object's kind and its bytes, encrypted if there is a key."""
        return (self.keyed or self.plain).dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the object of a kind and its bytes.

        Raises:
            CheckpointError: the bytes were encrypted with another key or changed since, or there is no key.
        """
        if not str(data[0]).endswith(self.MARK):
            return self.plain.loads_typed(data)
        if self.keyed is None:
            raise CheckpointError(f"it is encrypted: put its key into {KEY}")
        try:
            return self.keyed.loads_typed(data)
        except CheckpointError:
            raise
        except ValueError as error:  # from the cipher: the tag does not fit
            raise CheckpointError(f"it cannot be decrypted: the key in {KEY} is another, or the bytes were changed") from error


def serializer() -> KeyedSerializer:
    """Return the serializer of everything that is kept in a database.

    Raises:
        CheckpointError: the key is of no use.
    """
    inner = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=list(STATE_TYPES), allowed_json_modules=None)
    key = os.environ.get(KEY)
    return KeyedSerializer(HashedSerializer(inner), key.encode() if key else None)


def damaged(why: str) -> str:
    """Return what is told of a checkpoint that is damaged."""
    return f"a checkpoint is damaged ({why}): restore the database from a copy, or start anew"
