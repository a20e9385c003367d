"""Engines, which run the prompts of a study: in threads of this process, or by workers of a cluster."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import NamedTuple

from .run_records import SampleRecord
from .sample_run import WorkItem, run_sample
from .variants import Variant, VariantGraph


class Job(NamedTuple):
    """A work item, and the variants to run on it one after the other, as they may ask for the same images."""

    item: WorkItem
    variants: tuple[Variant, ...]


class Engine(ABC):
    """Runs jobs."""

    @abstractmethod
    def run(self, jobs: Sequence[Job], on_record: Callable[[SampleRecord], None], stop: threading.Event) -> None:
        """Run all jobs, and give each record once, as soon as its run has ended, from one of several threads.

        When `stop` is set, or at an exception such as Ctrl-C, nothing new begins, and records of what was under way may still
        come before this returns. What `on_record` raises ends everything, and passes through.
        """


class LocalEngine(Engine):
    """Threads of this process. Images of concurrent prompts are generated in one batch, if the model can.

    Args:
        graphs: of each variant, by its name; their image store is that of the study.
        concurrency: prompts at the same time.
    """

    def __init__(self, graphs: Mapping[str, VariantGraph], concurrency: int = 1) -> None:
        self._graphs, self._concurrency = graphs, concurrency

    def run(self, jobs: Sequence[Job], on_record: Callable[[SampleRecord], None], stop: threading.Event) -> None:
        """Run all jobs. One thread runs all variants of an item, so that no two generate the same image at once."""
        ended = threading.Event()

        def work(job: Job) -> None:
            for variant in job.variants:
                if ended.is_set() or stop.is_set():
                    return
                try:
                    on_record(run_sample(self._graphs[variant.name], variant, job.item))
                except BaseException:
                    ended.set()  # here, since this thread would begin its next job before another one notices
                    raise

        with ThreadPoolExecutor(self._concurrency) as pool:
            tasks = [pool.submit(work, job) for job in jobs]
            try:
                done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
            finally:  # after an error or Ctrl-C current runs end and are recorded, and no new ones begin
                ended.set()
                pool.shutdown(wait=True, cancel_futures=True)
        for task in done:
            task.result()
