"""What is shown while a study runs: bars with the time that is left, images, calls and cost; lines where there is no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ..evaluation.records import Record
from ..evaluation.runner import Progress

EVERY = 30.0
"""Seconds between two lines where there is no terminal."""

JUDGE = "judge"


class _Watch:
    """Counts what is made, and shows it."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._images = self._calls = self._failed = 0
        self._cost: float | None = None
        self._said = time.monotonic()

    def start(self, name: str, total: int, found: int) -> None:
        with self._lock:  # a part may begin more than once, from several threads
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=0, told="")
            task = self._bars.tasks[self._bars.task_ids.index(self._tasks[name])]
            self._bars.update(self._tasks[name], total=(task.total or 0) + total, completed=task.completed + found)

    def done(self, record: Record) -> None:
        with self._lock:
            self._images, self._calls = self._images + record.images, self._calls + record.calls
            self._failed += bool(record.error)
            if record.cost is not None:
                self._cost = (self._cost or 0.0) + record.cost
            self._bars.update(self._tasks[record.variant], advance=1, told=self._told())
            self._say()

    def asking(self, total: int) -> None:
        self.start(JUDGE, total, 0)

    def answered(self, known: bool) -> None:
        with self._lock:
            self._bars.advance(self._tasks[JUDGE])
            self._say()

    def _told(self) -> str:
        cost = "" if self._cost is None else f", cost {self._cost:.2f}"
        failed = f", [red]{self._failed} failed[/]" if self._failed else ""
        return f"{self._images} images, {self._calls} calls{cost}{failed}"

    def _say(self) -> None:
        """Say a line from time to time where bars cannot be drawn."""
        if self._bars.console.is_terminal or time.monotonic() - self._said < EVERY:
            return
        self._said = time.monotonic()
        parts = [f"{task.description} {task.completed:.0f}/{task.total:.0f}" for task in self._bars.tasks]
        left = [task.time_remaining for task in self._bars.tasks if not task.finished and task.time_remaining is not None]
        ends = f"; about {max(left) / 60:.0f} min left" if left else ""
        self._bars.console.print(f"{', '.join(parts)}; {self._told()}{ends}", soft_wrap=True, highlight=False)


@contextmanager
def bars() -> Iterator[Progress]:
    """Show what a study is at; after Ctrl-C say how to go on."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()),
        TextColumn("{task.fields[told]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as shown:
        watch = _Watch(shown)
        try:
            yield Progress(watch.start, watch.done, watch.asking, watch.answered)
        except KeyboardInterrupt:
            shown.console.print("interrupted: the same command goes on with what is left")
            raise typer.Exit(130) from None
