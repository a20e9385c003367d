"""Requests that arrive from several threads, gathered into batches for one function."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Ticket(Generic[T, R]):
    """An item on its way: in the queue, in a batch, or done."""

    def __init__(self, item: T, key: Hashable) -> None:
        self.item = item
        self.key = key
        self.done = False
        self.results: list[R] = []
        self.error: Exception | None = None

    def finish(self, results: Sequence[R] = (), error: Exception | None = None) -> None:
        self.results, self.error, self.done = list(results), error, True


class Batcher(Generic[T, R]):
    """Gathers what callers submit at the same time, and calls a function once for many.

    There is no thread of its own: a caller that finds nobody at work takes the oldest items of one key, its own or not, and
    works for all their owners, who wait. One call runs at a time.

    Args:
        call: makes one result for each item, in order.
        key: what items of one batch must have in common.
        max_size: most items in a batch.
        wait: seconds to wait for a batch to fill; while a call runs the queue fills by itself.
        is_oom: whether an error means that the batch was too large: then it is halved, and so are those after it.
        recover: called before what ran out of memory is tried again.
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
        """Return the result of each item, in order, once all are there.

        Raises:
            Exception: what the function raised for the first of these items that failed when tried alone.
        """
        mine = [_Ticket[T, R](item, self._key(item)) for item in items]
        with self._changed:
            self._queue += mine
            self._changed.notify_all()
        try:
            while batch := self._turn(mine):
                self._work(batch)
        except BaseException:
            with self._changed:  # an interrupted caller wants nothing any more; what runs for it elsewhere is dropped
                self._queue = [t for t in self._queue if t not in mine]
            raise
        for ticket in mine:
            if ticket.error is not None:
                raise ticket.error
        return [ticket.results[0] for ticket in mine]

    def _turn(self, mine: list[_Ticket[T, R]]) -> list[_Ticket[T, R]]:
        """Wait until all of `mine` are done, and return nothing, or until it is this caller's turn, and return a batch."""
        with self._changed:
            while True:
                if all(ticket.done for ticket in mine):
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
        """Let another caller work; called with the lock held."""
        self._working = False
        self._changed.notify_all()

    def _work(self, batch: list[_Ticket[T, R]]) -> None:
        try:
            self._run(batch)
        finally:
            with self._changed:  # what was not done when this caller was interrupted goes to the others
                self._queue = [t for t in batch if not t.done] + self._queue
                self._stop()

    def _run(self, batch: list[_Ticket[T, R]]) -> None:
        """Call the function for a batch; in smaller parts where it fails."""
        try:
            results = self._call([t.item for t in batch])
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for {len(batch)} items")
        except Exception as error:
            if len(batch) == 1:
                batch[0].finish(error=error)
                return
            too_large = self._is_oom(error)
        else:
            for ticket, result in zip(batch, results, strict=True):
                ticket.finish([result])
            return
        # Out of the except clause: what the traceback holds is free by now, a batch's tensors among it.
        size = 1
        if too_large:
            self._recover()
            size = (len(batch) + 1) // 2
            self.max_size = min(self.max_size, size)
        for start in range(0, len(batch), size):
            self._run(batch[start : start + size])
