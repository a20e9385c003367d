"""LangGraph's store with encrypted values: what the saver's serializer does for checkpoints, for records and lessons."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from langgraph.store.base import BaseStore, Item, Op, PutOp, Result

from .serializer import CheckpointError, KeyedSerializer


class SealedStore(BaseStore):
    """A store whose values are encrypted if there is a key. Values written without one stay readable.

    Filters of a search look at the values as they are written, so they find nothing in encrypted ones.

    Args:
        inner: where the values go.
        serde: what encrypts them.
    """

    def __init__(self, inner: BaseStore, serde: KeyedSerializer) -> None:
        self.inner, self.serde = inner, serde

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what is asked, in one go."""
        return [self._opened(result) for result in self.inner.batch([self._sealed(op) for op in ops])]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what is asked, in one go."""
        return [self._opened(result) for result in await self.inner.abatch([self._sealed(op) for op in ops])]

    def _sealed(self, op: Op) -> Op:
        if self.serde.keyed is None or not isinstance(op, PutOp) or op.value is None:
            return op
        kind, data = self.serde.dumps_typed(op.value)
        return op._replace(value={"kind": kind, "data": base64.b64encode(data).decode()})

    def _opened(self, result: Result) -> Result:
        items: list[Any] = result if isinstance(result, list) else [result]
        for item in items:
            if isinstance(item, Item) and set(item.value) == {"kind", "data"}:
                try:
                    item.value = self.serde.loads_typed((item.value["kind"], base64.b64decode(item.value["data"])))
                except CheckpointError as error:
                    raise CheckpointError(f"{'/'.join(item.namespace)}/{item.key}: {error}") from error
        return result
