"""A limit on the calls to one host at the same time, for threads and coroutines together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager


class CallLimit:
    """Counts the calls under way to a host, and makes callers wait while there are too many.

    The count is common to all models of a host; each caller brings its own limit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._waiting: deque[tuple[int, Future[None]]] = deque()

    @contextmanager
    def slot(self, limit: int) -> Iterator[None]:
        """Wait until fewer than `limit` calls are under way, and count as one of them."""
        turn = self._enter(limit)
        try:
            turn.result()
        except BaseException:
            self._cancel(turn)
            raise
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def async_slot(self, limit: int) -> AsyncIterator[None]:
        """Do the same without blocking the event loop or one of its threads."""
        turn = self._enter(limit)
        try:
            await asyncio.wrap_future(turn)
        except BaseException:
            self._cancel(turn)
            raise
        try:
            yield
        finally:
            self._leave()

    def _enter(self, limit: int) -> Future[None]:
        turn: Future[None] = Future()
        with self._lock:
            self._waiting.append((limit, turn))
            self._grant()
        return turn

    def _leave(self) -> None:
        with self._lock:
            self._under_way -= 1
            self._grant()

    def _cancel(self, turn: Future[None]) -> None:
        if not turn.cancel():  # the turn came just when it was cancelled
            self._leave()

    def _grant(self) -> None:
        waiting: deque[tuple[int, Future[None]]] = deque()
        for limit, turn in self._waiting:
            if self._under_way >= limit:
                waiting.append((limit, turn))
            elif turn.set_running_or_notify_cancel():
                self._under_way += 1
                turn.set_result(None)
        self._waiting = waiting


_LIMITS: dict[str, CallLimit] = {}
_LIMITS_LOCK = threading.Lock()


def call_limit_of(host: str) -> CallLimit:
    """Return the limit of a host (`host:port`): one object for the whole process."""
    with _LIMITS_LOCK:
        return _LIMITS.setdefault(host, CallLimit())
