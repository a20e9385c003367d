"""LangGraph's store with encrypted values: what the saver's serializer does for checkpoints, for records and lessons."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langgraph.store.base import BaseStore, Item, Op, PutOp, Result

from ..errors import CheckpointError
from .serializer import HashedSerializer, KeyedSerializer

PAGE = 500
"""Values read at a time."""


class UnreadableValue(dict[str, Any]):
    """Stands for a value whose row holds no JSON object."""


class EncryptedStore(BaseStore):
    """A store whose values are encrypted if there is a key. Values written without one stay readable.

    Filters of a search look at the values as they are written, so they find nothing in encrypted ones.

    Args:
        inner: where the values go; it is to read them by `read_value`.
        serde: what encrypts them.
    """

    def __init__(self, inner: BaseStore, serde: KeyedSerializer) -> None:
        self.inner, self.serde = inner, serde

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what is asked, in one go.

        Raises:
            CheckpointError: a value is damaged, or encrypted with another key.
        """
        return [self._opened(result) for result in self.inner.batch([self._sealed(op) for op in ops])]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what is asked, in one go.

        Raises:
            CheckpointError: a value is damaged, or encrypted with another key.
        """
        return await asyncio.to_thread(self.batch, list(ops))  # not all of LangGraph's stores can do it themselves

    def whatever_is_in(self, namespace: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """Return all values of a namespace by their keys, an empty one for each that cannot be read: it hides no other.

        A row whose dates are none, which LangGraph does not give at all, is left out.
        """
        found: dict[str, dict[str, Any]] = {}
        read = 0
        while page := self._page(namespace, read):
            read += len(page)
            for item in filter(None, page):
                try:
                    self._opened(item)
                except CheckpointError:
                    item.value = {}
                found[str(item.key)] = item.value
        return found

    def _page(self, namespace: tuple[str, ...], offset: int, size: int = PAGE) -> Sequence[Item | None]:
        """Return the rows of a namespace from an offset on, None for each that LangGraph cannot read."""
        try:
            return self.inner.search(namespace, limit=size, offset=offset)
        except (ValueError, TypeError):
            if size == 1:
                return [None]
        half = self._page(namespace, offset, size // 2)
        return half if len(half) < size // 2 else [*half, *self._page(namespace, offset + size // 2, size - size // 2)]

    def _sealed(self, op: Op) -> Op:
        # Without a key, a value that looks as if it were sealed is sealed too, or it would be opened when it is read.
        if not isinstance(op, PutOp) or op.value is None or (self.serde.keyed is None and not _is_sealed(op.value)):
            return op
        kind, data = self.serde.dumps_typed(op.value)
        return op._replace(value={"kind": kind, "data": base64.b64encode(data).decode()})

    def _opened(self, result: Result) -> Result:
        items: list[Any] = result if isinstance(result, list) else [result]
        for item in items:
            if isinstance(item, Item):
                try:
                    item.value = self._open(item.value)
                except CheckpointError as error:
                    raise CheckpointError(f"{'/'.join(item.namespace)}/{item.key}: {error}") from error
        return result

    def _open(self, value: dict[str, Any]) -> Any:
        if isinstance(value, UnreadableValue):
            raise CheckpointError("it is damaged (no JSON object): restore the database from a copy")
        if not _is_sealed(value):
            return value
        try:
            data = base64.b64decode(value["data"])
        except ValueError as error:
            raise CheckpointError(f"it is damaged ({error}): restore the database from a copy") from error
        return self.serde.loads_typed((value["kind"], data))


def read_value(content: Any) -> dict[str, Any]:
    """Return the value in a row of a store; one that is torn is `UnreadableValue`, as an error would hide all other rows."""
    try:
        value = json.loads(content)
    except (ValueError, TypeError, RecursionError):
        return UnreadableValue()
    return value if isinstance(value, dict) else UnreadableValue()


def _is_sealed(value: Mapping[str, Any]) -> bool:
    if set(value) != {"kind", "data"} or not all(isinstance(part, str) for part in value.values()):
        return False
    return bool(value["kind"].removesuffix(KeyedSerializer.MARK).endswith(HashedSerializer.MARK))
