"""What batching brings on this machine: `python -m studies.batching [--runs 16] [--repeats 3] [--json FILE]`.

So many runs of the shapes pair at the same time share one image model, with batches and without, in turn. Of interest is
the ratio: both are measured in one process, one after the other. Run from the root of the repository.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.table import Table

from gems.context import preset
from gems.evaluation.benchmarks.shapes import make_benchmark
from gems.graph.build import build_graph
from gems.models.image.base import ImageModel, ImageRequest
from gems.models.shapes import shapes_image
from gems.storage.image_store import ImageStore
from gems.terminal import Console

BATCH_SIZES = (1, 8)
"""Most pictures in one call of the pipeline: without batches, and with."""


def run_graphs(image: ImageModel, prompts: Sequence[str]) -> int:
    """Run every request at the same time, up to its acceptance; return how many pictures were made."""
    with tempfile.TemporaryDirectory() as folder:
        graph = build_graph("shapes", image, image_store=ImageStore(Path(folder)))

        def one(number: int) -> int:
            out = graph.invoke({"prompt": prompts[number]}, context=preset("loop", seed=1000 * number))
            return int(out["usage"].images)

        with ThreadPoolExecutor(len(prompts)) as pool:
            return sum(pool.map(one, range(len(prompts))))


def generate_alone(image: ImageModel, prompts: Sequence[str]) -> int:
    """Ask for one picture of every request at the same time, without the loop around it; return how many were made."""
    with ThreadPoolExecutor(len(prompts)) as pool:
        jobs = [ImageRequest(prompt=prompt, seed=number) for number, prompt in enumerate(prompts)]
        return len(list(pool.map(lambda job: image.generate([job]), jobs)))


def measure_throughput(work: Callable[[ImageModel, Sequence[str]], int], prompts: Sequence[str], repeats: int) -> dict[int, float]:
    """Return the median of pictures per second by batch size."""
    models = {size: shapes_image(batch=size) for size in BATCH_SIZES}
    for model in models.values():
        model.generate([ImageRequest(prompt="a red circle", seed=0)])  # loads the weights
    speeds: dict[int, list[float]] = {size: [] for size in BATCH_SIZES}
    for repeat in range(repeats):
        for size in BATCH_SIZES if repeat % 2 == 0 else reversed(BATCH_SIZES):
            began = time.perf_counter()
            made = work(models[size], prompts)
            speeds[size].append(made / (time.perf_counter() - began))
    return {size: statistics.median(found) for size, found in speeds.items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=16, help="runs at the same time")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("--json", type=Path, help="write the figures to a file too")
    options = parser.parse_args()
    every = make_benchmark()
    prompts = [every[number * len(every) // options.runs].prompt for number in range(options.runs)]
    table = Table(title=f"{options.runs} at the same time: pictures per second, median of {options.repeats}")
    for heading in ("", *(f"batches of up to {size}" for size in BATCH_SIZES), "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    results: dict[str, Any] = {"runs": options.runs, "repeats": options.repeats}
    for name, work in (("whole runs (loop)", run_graphs), ("the image model alone", generate_alone)):
        speed = measure_throughput(work, prompts, options.repeats)
        ratio = speed[BATCH_SIZES[1]] / speed[BATCH_SIZES[0]]
        table.add_row(name, *(f"{speed[size]:.2f}" for size in BATCH_SIZES), f"{ratio:.2f}")
        results[name] = {"pictures_per_second": speed, "ratio": ratio}
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
