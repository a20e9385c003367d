"""Progress of a study: bars with the remaining time, images, calls and cost; lines without a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ..evaluation.run_records import SampleRecord
from ..evaluation.runner import StudyProgress
from ..terminal import Console

LINE_INTERVAL = 30.0
"""Seconds between two lines without a terminal."""

JUDGE = "judge"


@dataclass
class _Totals:
    """Sums over the runs of this process."""

    images: int = 0
    calls: int = 0
    failed: int = 0
    cost: float | None = None

    @classmethod
    def of(cls, parts: Iterable[_Totals]) -> _Totals:
        parts = list(parts)
        costs = [p.cost for p in parts if p.cost is not None]
        images, calls, failed = (sum(getattr(p, name) for p in parts) for name in ("images", "calls", "failed"))
        return cls(images, calls, failed, sum(costs) if costs else None)

    def add(self, record: SampleRecord) -> None:
        self.images, self.calls = self.images + record.images, self.calls + record.calls
        self.failed += bool(record.error)
        if record.cost is not None:
            self.cost = (self.cost or 0.0) + record.cost

    def summary(self) -> str:
        cost = "" if self.cost is None else f", cost {self.cost:.2f}"
        failed = f", [red]{self.failed} failed[/]" if self.failed else ""
        return f"{self.images} images, {self.calls} calls{cost}{failed}"


class _StudyDisplay:
    """Counts records, and shows the counts."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._sums: dict[str, _Totals] = {}
        self._printed_at = time.monotonic()

    def start(self, name: str, total: int, reused: int) -> None:
        with self._lock:  # a part may begin more than once, from several threads
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(escape(name), total=0, summary="")
                self._sums[name] = _Totals()
            task = self._bars.tasks[self._bars.task_ids.index(self._tasks[name])]
            self._bars.update(self._tasks[name], total=(task.total or 0) + total, completed=task.completed + reused)

    def done(self, record: SampleRecord) -> None:
        with self._lock:
            mine = self._sums[record.variant]
            mine.add(record)
            self._bars.update(self._tasks[record.variant], advance=1, summary=mine.summary())
            self._print_line()

    def asking(self, total: int) -> None:
        self.start(JUDGE, total, 0)

    def answered(self, known: bool) -> None:
        with self._lock:
            self._bars.advance(self._tasks[JUDGE])
            self._print_line()

    def _print_line(self) -> None:
        """Print a line from time to time if bars cannot be shown."""
        if self._bars.console.is_terminal or time.monotonic() - self._printed_at < LINE_INTERVAL:
            return
        self._printed_at = time.monotonic()
        parts = [f"{task.description} {task.completed:.0f}/{task.total:.0f}" for task in self._bars.tasks]
        left = [task.time_remaining for task in self._bars.tasks if not task.finished and task.time_remaining is not None]
        ends = f"; about {max(left) / 60:.0f} min left" if left else ""
        self._bars.console.print(
            f"{', '.join(parts)}; {_Totals.of(self._sums.values()).summary()}{ends}", soft_wrap=True, highlight=False
        )


@contextmanager
def progress_bars() -> Iterator[StudyProgress]:
    """Show the progress of a study; after Ctrl-C print how to resume it."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()),
        TextColumn("{task.fields[summary]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as shown:
        watch = _StudyDisplay(shown)
        try:
            yield StudyProgress(watch.start, watch.done, watch.asking, watch.answered)
        except KeyboardInterrupt:
            shown.console.print("interrupted: the same command goes on with what is left")
            raise typer.Exit(130) from None
