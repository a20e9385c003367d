"""The batcher alone: plain functions for pipelines."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gems.models.image.batching import Batcher


class Slow:
    """A function that records its batches, and holds the first one until it is told."""

    def __init__(self, held=False):
        self.batches = []
        self.entered = threading.Event()
        self.go_on = threading.Event()
        if not held:
            self.go_on.set()

    def __call__(self, items):
        self.batches.append(list(items))
        self.entered.set()
        assert self.go_on.wait(20)
        return [item * 10 for item in items]


def queued(batcher, number):
    """Wait until so many items are in the queue."""
    with batcher._changed:
        assert batcher._changed.wait_for(lambda: len(batcher._queue) == number, timeout=20)


def test_items_come_back_in_order_in_batches_of_the_largest_size():
    call = Slow()
    assert Batcher(call, max_size=3, wait=0).submit([1, 2, 3, 4, 5, 6, 7]) == [10, 20, 30, 40, 50, 60, 70]
    assert call.batches == [[1, 2, 3], [4, 5, 6], [7]]
    assert Batcher(call, max_size=3).submit([]) == []


def test_what_arrives_during_a_call_shares_the_next():
    call = Slow(held=True)
    batcher = Batcher(call, max_size=8, wait=0)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(batcher.submit, [0])
        assert call.entered.wait(20)
        rest = [pool.submit(batcher.submit, [i]) for i in range(1, 6)]
        queued(batcher, 5)
        call.go_on.set()
        assert first.result(20) == [0]
        assert [f.result(20) for f in rest] == [[10], [20], [30], [40], [50]]
    assert [len(b) for b in call.batches] == [1, 5]


def test_a_full_batch_does_not_wait_any_longer():
    call = Slow()
    batcher = Batcher(call, max_size=4, wait=3600)
    with ThreadPoolExecutor(4) as pool:
        assert sorted(r for f in [pool.submit(batcher.submit, [i]) for i in range(4)] for r in f.result(20)) == [0, 10, 20, 30]
    assert [len(b) for b in call.batches] == [4]


def test_a_batch_has_one_key():
    call = Slow()
    assert Batcher(call, lambda i: i % 2, max_size=8, wait=0).submit([1, 2, 3, 4]) == [10, 20, 30, 40]
    assert call.batches == [[1, 3], [2, 4]]


def test_what_does_not_fit_into_memory_is_halved_and_the_smaller_size_remembered():
    seen, recovered = [], []

    def call(items):
        seen.append(len(items))
        if len(items) > 2:
            raise MemoryError
        return items

    batcher = Batcher(call, max_size=8, wait=0, recover=lambda: recovered.append(1))
    assert batcher.submit(list(range(8))) == list(range(8))
    assert seen == [8, 4, 2, 2, 4, 2, 2]
    assert len(recovered) == 3
    assert (batcher.max_size, batcher.first_max_size) == (2, 8)
    seen.clear()
    batcher.submit(list(range(4)))
    assert seen == [2, 2]


def test_one_that_does_not_fit_alone_is_told_so():
    def call(items):
        raise MemoryError("too large")

    with pytest.raises(MemoryError, match="too large"):
        Batcher(call, max_size=2, wait=0).submit([1, 2])


def test_a_failing_item_does_not_fail_its_neighbours():
    entered, go_on = threading.Event(), threading.Event()

    def call(items):
        entered.set()
        assert go_on.wait(20)
        if "bad" in items:
            raise ValueError("a bad item")
        return items

    batcher = Batcher(call, max_size=8, wait=0)
    with ThreadPoolExecutor(4) as pool:
        pool.submit(batcher.submit, ["first"])
        assert entered.wait(20)
        good, bad = pool.submit(batcher.submit, ["a", "b"]), pool.submit(batcher.submit, ["bad", "c"])
        queued(batcher, 4)
        go_on.set()
        assert good.result(20) == ["a", "b"]
        with pytest.raises(ValueError, match="a bad item"):
            bad.result(20)
    assert batcher.max_size == 8


def test_too_few_results_are_an_error_and_not_a_wait():
    with pytest.raises(ValueError, match="0 results for 1 items"):
        Batcher(lambda items: [], max_size=4, wait=0).submit([1, 2])


def test_an_interrupted_caller_leaves_the_others_their_turn():
    entered, go_on, calls = threading.Event(), threading.Event(), []

    def call(items):
        calls.append(list(items))
        if len(calls) == 1:
            entered.set()
            assert go_on.wait(20)
            return items
        if len(calls) == 2:
            raise KeyboardInterrupt
        return items

    batcher = Batcher(call, max_size=8, wait=0)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher.submit, ["first"])
        assert entered.wait(20)
        rest = [pool.submit(batcher.submit, [i]) for i in "abc"]
        queued(batcher, 3)
        go_on.set()
        assert first.result(20) == ["first"]
        outcomes = [type(f.exception(20)) for f in rest]
    assert sorted(o.__name__ for o in outcomes) == ["KeyboardInterrupt", "NoneType", "NoneType"]
    assert [len(c) for c in calls] == [1, 3, 2]  # the interrupted caller's own item is not made


def test_many_threads_get_their_own_results_from_one_call_at_a_time():
    running, most = [], []

    def call(items):
        running.append(1)
        most.append(len(running))
        result = [i + 1 for i in items]
        running.pop()
        return result

    batcher = Batcher(call, lambda i: i % 3, max_size=5, wait=0.001)
    before = threading.active_count()
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda i: batcher.submit([i, i + 1000]), range(200)))
    assert results == [[i + 1, i + 1001] for i in range(200)]
    assert max(most) == 1
    assert threading.active_count() == before


def test_a_batch_of_none_is_refused():
    with pytest.raises(ValueError, match="max_size must be at least 1"):
        Batcher(list, max_size=0)
