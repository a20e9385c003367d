"""Count how often the weights of the image model are loaded in one process: by runs, clients and threads with equal options.

python -m studies.weight_loads --threads 16
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from gems import Gems, run
from gems.models.options import ImageOptions
from gems.terminal import Console

PROMPT = "a red circle"


class LoadCount(NamedTuple):
    """What one way of making runs took."""

    way: str
    loads: int
    seconds: tuple[float, ...]
    """Of each run, in the order in which they ended."""


@contextmanager
def counted_loads() -> Iterator[list[str]]:
    """Note each pipeline that is loaded."""
    from diffusers import DiffusionPipeline

    load, loaded = DiffusionPipeline.from_pretrained, []

    def counted(name: Any, *args: Any, **kwargs: Any) -> Any:
        loaded.append(str(name))
        return load(name, *args, **kwargs)

    DiffusionPipeline.from_pretrained = counted
    try:
        yield loaded
    finally:
        DiffusionPipeline.from_pretrained = load


def count_loads(folder: Path, threads: int) -> list[LoadCount]:
    """Make runs in each way, every way with options that no other has, and count the loads."""

    def measured(way: str, batch: int, make: Callable[[ImageOptions], list[float]]) -> LoadCount:
        with counted_loads() as loaded:
            seconds = make(ImageOptions(model="shapes", batch=batch))
        return LoadCount(way, len(loaded), tuple(seconds))

    def timed(make: Callable[..., Any], seed: int, **options: Any) -> float:
        began = time.perf_counter()
        make(PROMPT, preset="original", seed=seed, **options)
        return time.perf_counter() - began

    def three_runs(image: ImageOptions) -> list[float]:
        return [timed(run, seed, image=image.model_copy(), runs=folder) for seed in range(3)]

    def two_clients(image: ImageOptions) -> list[float]:
        clients = [Gems(image=image.model_copy(), runs=folder) for _ in range(2)]
        return [timed(client.run, seed) for seed, client in enumerate(clients)]

    def many_threads(image: ImageOptions) -> list[float]:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda seed: timed(run, seed, image=image.model_copy(), runs=folder), range(threads)))

    return [
        measured("three run()", 3, three_runs),
        measured("two clients", 4, two_clients),
        measured(f"run() in {threads} threads", 5, many_threads),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, print the table, and exit with 1 if any way has loaded the weights more than once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=16)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        counts = count_loads(Path(folder), given.threads)
    table = Table(title="Loads of weights, and the seconds of runs", title_justify="left")
    for heading in ("way", "runs", "loads", "first run", "second run"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for way, loads, seconds in counts:
        table.add_row(way, str(len(seconds)), str(loads), f"{seconds[0]:.2f}", f"{seconds[1]:.2f}")
    Console().print(table)
    sys.exit(any(count.loads != 1 for count in counts))


if __name__ == "__main__":
    main()
