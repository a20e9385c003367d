"""A limit on the calls to one host at the same time, for threads and coroutines together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager


class InFlight:
    """Counts the calls under way; whoever comes says how many there may be with it, and waits its turn.

    The count is common to all models of a host, the ceiling is each caller's own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._waiting: deque[tuple[int, Future[None]]] = deque()

    @contextmanager
    def slot(self, most: int) -> Iterator[None]:
        """Wait until fewer than `most` calls are under way, and be one of them."""
        turn = self._enter(most)
        try:
            turn.result()
        except BaseException:
            self._give_up(turn)
            raise
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def async_slot(self, most: int) -> AsyncIterator[None]:
        """Do what `slot` does, without holding up the event loop or one of its threads."""
        turn = self._enter(most)
        try:
            await asyncio.wrap_future(turn)
        except BaseException:
            self._give_up(turn)
            raise
        try:
            yield
        finally:
            self._leave()

    def _enter(self, most: int) -> Future[None]:
        turn: Future[None] = Future()
        with self._lock:
            self._waiting.append((most, turn))
            self._grant()
        return turn

    def _leave(self) -> None:
        with self._lock:
            self._under_way -= 1
            self._grant()

    def _give_up(self, turn: Future[None]) -> None:
        if not turn.cancel():  # the turn came just when it was given up
            self._leave()

    def _grant(self) -> None:
        still: deque[tuple[int, Future[None]]] = deque()
        for most, turn in self._waiting:
            if self._under_way >= most:
                still.append((most, turn))
            elif turn.set_running_or_notify_cancel():
                self._under_way += 1
                turn.set_result(None)
        self._waiting = still


_HOSTS: dict[str, InFlight] = {}
_HOSTS_LOCK = threading.Lock()


def in_flight(host: str) -> InFlight:
    """Return the one count of calls under way to a host (`host:port`) in this process."""
    with _HOSTS_LOCK:
        return _HOSTS.setdefault(host, InFlight())
