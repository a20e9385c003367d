"""Serialize checkpoints and records: compressed, with a hash of the bytes, encrypted if there is a key.

Bytes that differ from their hash are refused. Of the types of GEMS only those of the state are revived, and nothing by pickle.

| kind in the database | bytes |
|---|---|
| `msgpack.2` | SHA-256 of the rest, then the rest, compressed |
| `msgpack.2w` | the same, of a list: the name of a channel and the value that a task has written to it |
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

KEY_VARIABLE = "LANGGRAPH_AES_KEY"
"""The environment variable of the key, LangGraph's own: 16, 24 or 32 bytes."""


class SerializedValue(NamedTuple):
    """A value that a saver must hand to the serializer though it would write it as plain JSON; it is read back as the value."""

    value: Any


class NamedWrite(NamedTuple):
    """A value that a task has written, with the name of its channel, which a database stores in plain text."""

    channel: str
    value: Any


class HashedSerializer(SerializerProtocol):
    """Compresses the bytes of another serializer, as every checkpoint repeats all prompts and reasons, and adds their hash.

    Args:
        inner: the serializer that is wrapped.
    """

    MARK = ".2"
    WRITE_MARK = ".2w"
    KINDS = ("msgpack", "bytes", "bytearray", "null")
    """Kinds that are read: none that could build objects of any class, as pickle and LangChain's JSON can."""

    def __init__(self, inner: SerializerProtocol) -> None:
        self.inner = inner

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the object's kind with a mark, and its bytes; of an error only the name of its class."""
        mark, value = self.MARK, obj.value if isinstance(obj, SerializedValue | NamedWrite) else obj
        if isinstance(value, BaseException):  # LangGraph stores why a task failed; messages may hold folders and keys
            value = type(value).__name__
        if isinstance(obj, NamedWrite):
            mark, value = self.WRITE_MARK, [obj.channel, value]
        kind, data = self.inner.dumps_typed(value)
        body = zlib.compress(data)
        return kind + mark, hashlib.sha256(body).digest() + body

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the object of a kind and its bytes.

        Raises:
            CheckpointError: the bytes are damaged, or the kind is unknown.
        """
        kind, body = data
        mark = next((m for m in (self.MARK, self.WRITE_MARK) if str(kind).endswith(m)), None)
        if mark is None or kind.removesuffix(mark) not in self.KINDS:
            raise CheckpointError(damage_message(f"{str(kind)[:40]!r} is no kind that is read here"))
        if not isinstance(body, bytes | bytearray | memoryview):
            raise CheckpointError(damage_message("it has no bytes"))
        digest, body = body[:32], body[32:]
        if hashlib.sha256(body).digest() != digest:
            raise CheckpointError(damage_message("its bytes have another hash"))
        try:
            value = self.inner.loads_typed((kind.removesuffix(mark), zlib.decompress(body)))
            return NamedWrite(*value) if mark == self.WRITE_MARK else value
        except (zlib.error, ValueError, TypeError) as error:
            raise CheckpointError(damage_message(str(error))) from error


class EncryptingSerializer(SerializerProtocol):
    """Encrypts by LangGraph's `EncryptedSerializer` if there is a key; also reads what was written without one.

    Args:
        plain: the serializer whose bytes are encrypted.
        key: 16, 24 or 32 bytes; None for no encryption.

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
            raise CheckpointError(f"{KEY_VARIABLE} has {len(key)} bytes: it must have 16, 24 or 32")
        try:
            self.keyed = EncryptedSerializer.from_pycryptodome_aes(plain, key=key)
        except ImportError as error:
            missing = 'pycryptodome is not installed: pip install -c constraints.txt -e ".[encryption]"'
            raise CheckpointError(f"{KEY_VARIABLE} is set, but {missing}") from error

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
            raise CheckpointError(f"it is encrypted: put its key into {KEY_VARIABLE}")
        try:
            return self.keyed.loads_typed(data)
        except CheckpointError:
            raise
        except ValueError as error:  # from the cipher: the tag does not fit
            raise CheckpointError(
                f"it cannot be decrypted: the key in {KEY_VARIABLE} is another, or the bytes were changed"
            ) from error


def serializer() -> EncryptingSerializer:
    """Return the serializer of everything that is stored in a database, with the key of the environment.

    Raises:
        CheckpointError: the key cannot be used.
    """
    inner = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=list(STATE_TYPES), allowed_json_modules=None)
    key = os.environ.get(KEY_VARIABLE)
    return EncryptingSerializer(HashedSerializer(inner), key.encode() if key else None)


def damage_message(why: str) -> str:
    """Return the message about a damaged checkpoint."""
    return f"a checkpoint is damaged ({why}): restore the database from a copy, or start anew"
