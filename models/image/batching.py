"""Batches requests of several threads into calls of one function."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False)
class _Ticket(Generic[T, R]):
    """An item in the queue, in a batch, or done."""

    item: T
    key: Hashable
    result: Future[R] = field(default_factory=Future)


class Batcher(Generic[T, R]):
    """Gathers items that callers submit at the same time, and calls a function once for many.

    Without a thread of its own: a caller that finds no call running takes the oldest items of one key, its own or not, and
    makes the call for their owners, who wait. One call runs at a time.

    Args:
        call: returns one result for each item, in order.
        key: items of one batch have the same key.
        max_size: most items in a batch.
        wait: seconds to wait for a batch to fill; while a call runs, the queue fills anyway.
        is_oom: whether an error means that the batch was too large: then it is halved, and later ones are as small.
        recover: called before a retry with a smaller batch.
    """

    def __init__(
        self,
        call: Callable[[list[T]], Sequence[R]],
        key: Callable[[T], Hashable] = lambda item: None,
        *,
        max_size: int,
        wait: float = 0.01,
        is_oom: Callable[[Exception], bool] = lambda error: isinstance(error, MemoryError),
        recover: Callable[[], None] = lambda: None,
    ) -> None:
        if max_size < 1:
            raise ValueError(f"max_size must be at least 1, got {max_size}")
        self.max_size = max_size
        self.first_max_size = max_size
        self._call = call
        self._key = key
        self._wait = wait
        self._is_oom = is_oom
        self._recover = recover
        self._queue: list[_Ticket[T, R]] = []
        self._working = False
        self._changed = threading.Condition()

    def submit(self, items: Sequence[T]) -> list[R]:
        """Return the results of items, in order, once all are done.

        Raises:
            Exception: the error of the first of these items that failed alone.
        """
        mine = [_Ticket[T, R](item, self._key(item)) for item in items]
        with self._changed:
            self._queue += mine
            self._changed.notify_all()
        try:
            while batch := self._next_batch(mine):
                self._work(batch)
        except BaseException:
            with self._changed:  # an interrupted caller needs no results; those of a running call are dropped
                self._queue = [t for t in self._queue if t not in mine]
            raise
        return [ticket.result.result() for ticket in mine]

    def _next_batch(self, mine: list[_Ticket[T, R]]) -> list[_Ticket[T, R]]:
        """Wait until all of `mine` are done and return an empty batch, or until no call runs and return the next batch."""
        with self._changed:
            while True:
                if all(ticket.result.done() for ticket in mine):
                    return []
                if not self._working:
                    break
                self._changed.wait()
            self._working = True
            try:
                return self._gather()
            except BaseException:
                self._stop()
                raise

    def _gather(self) -> list[_Ticket[T, R]]:
        """Take the oldest items of one key from the queue, after waiting for more of them."""
        until = time.monotonic() + self._wait
        while True:
            key = self._queue[0].key
            batch = [t for t in self._queue if t.key == key][: self.max_size]
            left = until - time.monotonic()
            if len(batch) == self.max_size or left <= 0:
                break
            self._changed.wait(left)
        self._queue = [t for t in self._queue if t not in batch]
        return batch

    def _stop(self) -> None:
        """Let another caller make the next call; called with the lock held."""
        self._working = False
        self._changed.notify_all()

    def _work(self, batch: list[_Ticket[T, R]]) -> None:
        try:
            self._run(batch)
        finally:
            with self._changed:  # after an interrupt, other callers make the rest
                self._queue = [t for t in batch if not t.result.done()] + self._queue
                self._stop()

    def _run(self, batch: list[_Ticket[T, R]]) -> None:
        """Call the function for a batch, and in smaller parts after an error."""
        try:
            results = self._call([t.item for t in batch])
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for {len(batch)} items")
        except Exception as error:
            if len(batch) == 1:
                batch[0].result.set_exception(error)
                return
            too_large = self._is_oom(error)
        else:
            for ticket, result in zip(batch, results, strict=True):
                ticket.result.set_result(result)
            return
        # Outside of the except clause: the traceback, which holds the tensors of the batch, is freed by now.
        size = 1
        if too_large:
            self._recover()
            size = (len(batch) + 1) // 2
            self.max_size = min(self.max_size, size)
        for start in range(0, len(batch), size):
            self._run(batch[start : start + size])
