"""LangGraph's store with encrypted values: records of runs and lessons go through the serializer of the checkpoints."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from langgraph.store.base import BaseStore, Item, Op, PutOp, Result

from ..errors import CheckpointError
from .serializer import EncryptingSerializer, HashedSerializer


class UnreadableValue(dict[str, Any]):
    """The value of a row that holds no JSON object."""


class EncryptedStore(BaseStore):
    """A store that encrypts values if there is a key. Values written without a key stay readable.

    The filters of a search compare values as they are stored, so they match no encrypted one.

    Args:
        inner: the store of the rows; its deserializer must be `read_value`.
        serde: encrypts and decrypts the values.
    """

    def __init__(self, inner: BaseStore, serde: EncryptingSerializer) -> None:
        self.inner, self.serde = inner, serde

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute operations in one batch.

        Raises:
            CheckpointError: a value is damaged, or encrypted with another key.
        """
        return [self._decrypted(result) for result in self.inner.batch([self._encrypted(op) for op in ops])]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute operations in one batch, in a thread.

        Raises:
            CheckpointError: a value is damaged, or encrypted with another key.
        """
        return await asyncio.to_thread(self.batch, list(ops))  # not all of LangGraph's stores have an asynchronous batch

    def plain_value(self, content: Any) -> dict[str, Any]:
        """Return the decrypted value of a row as its database returns it, empty if it cannot be read."""
        try:
            value: dict[str, Any] = self._decrypted_value(content if isinstance(content, dict) else read_value(content))
        except CheckpointError:
            return {}
        return value

    def _encrypted(self, op: Op) -> Op:
        # Without a key, a value that looks like an encrypted one is wrapped too, or it would be decrypted when it is read.
        if not isinstance(op, PutOp) or op.value is None or (self.serde.keyed is None and not _is_encrypted(op.value)):
            return op
        kind, data = self.serde.dumps_typed(op.value)
        return op._replace(value={"kind": kind, "data": base64.b64encode(data).decode()})

    def _decrypted(self, result: Result) -> Result:
        items: list[Any] = result if isinstance(result, list) else [result]
        for item in items:
            if isinstance(item, Item):
                try:
                    item.value = self._decrypted_value(item.value)
                except CheckpointError as error:
                    raise CheckpointError(f"{'/'.join(item.namespace)}/{item.key}: {error}") from error
        return result

    def _decrypted_value(self, value: dict[str, Any]) -> Any:
        if isinstance(value, UnreadableValue):
            raise CheckpointError("it is damaged (no JSON object): restore the database from a copy")
        if not _is_encrypted(value):
            return value
        try:
            data = base64.b64decode(value["data"])
        except ValueError as error:
            raise CheckpointError(f"it is damaged ({error}): restore the database from a copy") from error
        return self.serde.loads_typed((value["kind"], data))


def read_value(content: Any) -> dict[str, Any]:
    """Return the value of a row, an `UnreadableValue` if it is damaged: an error would hide all other rows."""
    try:
        value = json.loads(content)
    except (ValueError, TypeError, RecursionError):
        return UnreadableValue()
    return value if isinstance(value, dict) else UnreadableValue()


def _is_encrypted(value: Mapping[str, Any]) -> bool:
    if set(value) != {"kind", "data"} or not all(isinstance(part, str) for part in value.values()):
        return False
    return bool(value["kind"].removesuffix(EncryptingSerializer.MARK).endswith(HashedSerializer.MARK))
