"""How many runs go on at once in one process: `python -m studies.concurrent_runs [--runs 1000] [--store sqlite] [--json FILE]`.

All runs begin at the same moment, each in a thread of its own, on one folder of runs, in a process that may have as many files
open as most systems allow. The chat model is the embedded one; pictures are drawn by a few lines of Pillow, which leave out half
of the things at even seeds; a run takes --rounds at most. Afterwards every run must be there once, ended, with each of its
pictures drawn once. Run from the root of the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from rich.table import Table

from gems import Gems
from gems.errors import GemsError, OutsideWorldError
from gems.evaluation.benchmarks.shapes import make_benchmark
from gems.models.image.base import ImageModel, ImageRequest
from gems.models.registry import Models
from gems.models.shapes.grammar import parse_request
from gems.models.shapes.world import DrawnThing, center_of, draw
from gems.storage.workspace import Workspace
from gems.terminal import Console

from .kill_soak.__main__ import database_of


class QuickImageModel(ImageModel):
    """Draws what a prompt names, and leaves out every second thing where the seed is even."""

    name = "hasty"

    def __init__(self) -> None:
        self.drawn: Counter[str] = Counter()

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Draw, and note what was drawn."""
        self.drawn.update(request.model_dump_json() for request in requests)
        return [self._draw(request) for request in requests]

    def _draw(self, request: ImageRequest) -> Image.Image:
        try:
            groups = parse_request(request.prompt).groups
        except OutsideWorldError:
            return draw([])
        named = [group for group in groups for _ in range(group.count)][:: 2 - request.seed % 2]
        things = [
            DrawnThing(group.shape, group.color or "red", cell, *center_of(cell), 14.0, cell)
            for cell, group in enumerate(named[:9])
        ]
        return draw(things)


class ResourceMonitor(threading.Thread):
    """Notes the most handles and threads of this process while it goes on."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.handles = self.threads = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Look again and again."""
        folder = "/proc/self/fd" if Path("/proc/self/fd").is_dir() else "/dev/fd"
        while not self.ended.wait(0.05):
            self.handles = max(self.handles, len(os.listdir(folder)))  # noqa: PTH208
            self.threads = max(self.threads, threading.active_count())


@contextmanager
def at_most(handles: int) -> Iterator[None]:
    """Allow this process so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(handles, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def measure_runs(home: Workspace, runs: int, handles: int, rounds: int) -> dict[str, Any]:
    """Start all runs at once, wait for their end, and return the figures."""
    every = make_benchmark()
    prompts = [every[number % len(every)].prompt for number in range(runs)]
    models = [QuickImageModel() for _ in prompts]
    errors: list[BaseException] = []
    begin = threading.Barrier(runs)
    chat = Models.choose().chats["planner"]

    def work(number: int) -> None:
        begin.wait()
        try:
            client = Gems(chat, models[number], runs=home)
            client.run(prompts[number], thread=f"t{number}", preset="loop", max_rounds=rounds, seed=number)
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(runs)]
    watch = ResourceMonitor()
    began = time.perf_counter()
    with at_most(handles):
        watch.start()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - began
        watch.ended.set()
        watch.join()
    client = Gems(runs=home)
    listed = Counter(past.thread for past in client.list() if past.state in ("accepted", "gave up"))
    ended = [thread for thread in listed if len(client.get(thread).attempts) == sum(models[int(thread[1:])].drawn.values())]
    return {
        "runs": runs,
        "ok": len(ended),
        "failed": runs - len(listed),
        "doubled": sum(number > 1 for number in listed.values()) + len(listed) - len(ended),
        "errors": dict(Counter(f"{type(error).__name__}: {error}"[:160] for error in errors)),
        "images": sum(sum(model.drawn.values()) for model in models),
        "handles": watch.handles,
        "threads": watch.threads,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024**2),
        "seconds": round(seconds, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table; exit with 1 where a run failed or did something twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="runs at the same time")
    parser.add_argument(
        "--store", default="sqlite", help="sqlite; postgresql, for a server that is started for this; or the URL of an empty one"
    )
    parser.add_argument("--rounds", type=int, default=1, help="most rounds of a run")
    parser.add_argument("--handles", type=int, default=1024, help="most open files, as `ulimit -n` says it")
    parser.add_argument("--json", type=Path, help="write the figures to a file too")
    given = parser.parse_args(arguments)
    kind, _, url = given.store.partition(":")
    if kind not in ("sqlite", "postgresql", "postgres"):
        raise SystemExit(f"--store {given.store}: write sqlite, postgresql or the URL of an empty database")
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            database_of("sqlite" if kind == "sqlite" else "postgresql", given.store if url else None) as store,
        ):
            told = measure_runs(Workspace(Path(folder) / "runs", store=store), given.runs, given.handles, given.rounds)
    except GemsError as error:
        raise SystemExit(str(error)) from error
    table = Table("", kind, title=f"{given.runs} runs at once in one process, at most {given.handles} open files")
    for name, label in LABELS.items():
        table.add_row(label, str(told[name]))
    console = Console()
    console.print(table)
    for words, number in told["errors"].items():
        console.print(f"{number} times: {words}", markup=False)
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if told["ok"] < given.runs:
        raise SystemExit(1)


LABELS = {
    "ok": "ended, with every picture drawn once",
    "failed": "failed",
    "doubled": "did something twice",
    "images": "pictures",
    "handles": "most open files",
    "threads": "most threads",
    "mib": "most memory, MiB",
    "seconds": "seconds",
}

if __name__ == "__main__":
    main()
