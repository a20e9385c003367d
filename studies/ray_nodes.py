"""What workers of a Ray cluster bring on this machine, and what a lost node costs: `python -m studies.ray_nodes`.

    python -m studies.ray_nodes [--prompts 16] [--repeats 3] [--seconds 0.5] [--seed 0] [--out docs/measured/ray.md]

The preset `original` on shapes prompts, in one run: the local engine and the Ray engine in turn, with 1, 2 and 4 prompts at the
same time. Once with the embedded image model, which needs the cores, and once with one that waits before it draws, as for a
remote server. Then a cluster of two nodes, of which one is killed in the middle of a study: its records are compared with
the local engine's. Run from the root of the repository.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ray
from PIL import Image
from ray.cluster_utils import Cluster

from gems.evaluation.prompts import Prompts
from gems.evaluation.ray_engine import ray_engine
from gems.evaluation.run_records import RecordKey, SampleRecord, read_records
from gems.evaluation.runner import StudyExecution, StudyPlan, StudyProgress, plan_study, run_study
from gems.evaluation.variants import make_variants
from gems.models.image.base import ImageModel, ImageRequest
from gems.terminal import echo

WORKERS = (1, 2, 4)

NOTES = """    python -m studies.ray_nodes --repeats {repeats}

On {cores} CPU cores that other work shared: only ratios within this
run mean something. No GPU and no second machine was used; see [Scale](../scale.md#what-was-measured).

Prompts per second of `original` (an image, and the chat calls that check it) on {prompts} shapes prompts: the median of
{repeats} repeats, the least and the most in brackets. *Workers* are prompts at the same time (`--concurrency`); Ray has one painter
throughout, and its workers are up before the clock starts, which it does when as many records are there as there are workers.
"""

CPU = """Everything is computed on the {cores} cores here, for which the processes of Ray compete as threads do: painter, workers
and driver have no less to compute, so the cores are the limit, however many workers there are. What the engine is for is the
other case, below: where prompts wait for models elsewhere, they wait side by side, until what the embedded chat model computes
fills the cores. On one machine threads of one process do as well; Ray is for more GPUs or machines than one process has.
"""


class DelayedImageModel(ImageModel):
    """The embedded image model behind a wait, as for a server: calls wait at the same time.

    Args:
        seconds: of the wait; 0 for the bare model.
    """

    name = "waiting"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._model: ImageModel | None = None

    def __reduce__(self) -> tuple[type[DelayedImageModel], tuple[float]]:
        """Be sent to workers without the model, which cannot be."""
        return (DelayedImageModel, (self._seconds,))

    def prepare(self) -> None:
        """Make the model."""
        from gems.models.shapes import shapes_image

        self._model = self._model or shapes_image()

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Wait, and draw."""
        self.prepare()
        assert self._model is not None
        time.sleep(self._seconds)
        return self._model.generate(requests)


class Throughput(NamedTuple):
    """Prompts per second of some repeats."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, found: Sequence[float]) -> Throughput:
        """Return what repeats came to."""
        return cls(statistics.median(found), min(found), max(found))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


class KilledNode(NamedTuple):
    """A study of which a node was killed."""

    wanted: int
    records: int
    lines: int
    equal: int
    before: int
    """Records that were there when the node was killed."""
    pause: float
    """Longest time without a new record after that, in seconds."""


def plan_shapes(seconds: float, prompts: int, seed: int, presets: Sequence[str] = ("original",)) -> StudyPlan:
    """Return a study of shapes prompts."""
    return plan_study(make_variants(presets), Prompts(limit=prompts, seed=seed), image=DelayedImageModel(seconds))


def measure_speed(study: StudyPlan, workers: int, on_ray: bool) -> float:
    """Return the prompts per second of one run, from the record on until which each worker has had one, with the start in it."""
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        engine = ray_engine(concurrency=workers) if on_ray else None
        progress = StudyProgress(done=lambda record: ends.append(time.perf_counter()))
        run_study(study, Path(folder), StudyExecution(engine, workers, progress=progress))
    return (len(ends) - workers) / (ends[-1] - ends[workers - 1])


def measure_engines(seconds: float, options: argparse.Namespace) -> dict[tuple[str, int], Throughput]:
    """Return the prompts per second by engine and workers; what is compared is run in turn."""
    study = plan_shapes(seconds, options.prompts, options.seed)
    for on_ray in (False, True):  # modules are imported and weights loaded where that is done once in a process
        measure_speed(study, max(WORKERS), on_ray)
    found: dict[tuple[str, int], list[float]] = {}
    for repeat in range(options.repeats):
        for workers in WORKERS if repeat % 2 == 0 else reversed(WORKERS):
            for engine in ("local", "ray"):
                found.setdefault((engine, workers), []).append(measure_speed(study, workers, engine == "ray"))
    return {key: Throughput.of(speeds) for key, speeds in found.items()}


def kill_a_node(cluster: Cluster, options: argparse.Namespace) -> KilledNode:
    """Run a study on two nodes, kill one after a quarter of the records, and compare with the local engine's."""
    study = plan_shapes(options.seconds, options.prompts, options.seed, ("original", "loop"))
    wanted = len(study.items) * len(study.variants)
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    times: list[float] = []
    keys: list[RecordKey] = []
    killed = threading.Event()

    def done(record: SampleRecord) -> None:
        times.append(time.perf_counter())
        keys.append(record.key)
        if len(times) >= wanted // 4 and not killed.is_set():
            killed.set()
            cluster.remove_node(node, allow_graceful=False)

    with tempfile.TemporaryDirectory() as folder:
        lost, local = Path(folder, "lost"), Path(folder, "local")
        engine = ray_engine(painters=2, concurrency=4)
        run_study(study, lost, StudyExecution(engine, progress=StudyProgress(done=done)))
        run_study(study, local, StudyExecution(concurrency=4))
        mine, theirs = _untimed(lost), _untimed(local)
        lines = len((lost / "samples.jsonl").read_text().splitlines())
    before = wanted // 4
    pauses = [later - earlier for earlier, later in zip(times[before - 1 :], times[before:], strict=False)]
    assert Counter(keys).most_common(1)[0][1] == 1, "a record came twice"
    equal = sum(mine.get(key) == record for key, record in theirs.items())
    return KilledNode(wanted, len(mine), lines, equal, before, max(pauses))


def _untimed(folder: Path) -> dict[RecordKey, SampleRecord]:
    return {key: record.model_copy(update={"seconds": 0.0}) for key, record in read_records(folder).items()}


def throughput_table(found: dict[tuple[str, int], Throughput]) -> str:
    """Return a table: engines against workers, with ratios to one worker and to the local engine."""
    lines = ["| workers | local | ray | ray to its one worker | ray to local |", "|---|---|---|---|---|"]
    for workers in WORKERS:
        local, on_ray = found["local", workers], found["ray", workers]
        alone, beside = on_ray.median / found["ray", 1].median, on_ray.median / local.median
        lines.append(f"| {workers} | {local} | {on_ray} | {alone:.2f} | {beside:.2f} |")
    return "\n".join(lines)


def render_page(bare: str, waiting: str, killed: KilledNode, options: argparse.Namespace) -> str:
    """Return what is written."""
    cores = os.cpu_count()
    return "\n".join(
        [
            "# Ray workers and a killed node\n",
            NOTES.format(cores=cores, prompts=options.prompts, repeats=options.repeats, seconds=options.seconds),
            f"## The embedded image model, which needs the cores\n\n{bare}\n",
            CPU.format(cores=cores),
            f"## An image model that waits {options.seconds:g} seconds\n\n{waiting}\n",
            "## A node killed in the middle\n",
            f"`original` and `loop` on {options.prompts} prompts, two nodes on this machine, two painters, four prompts at a",
            f"time; the second node was killed (SIGKILL) after {killed.before} of {killed.wanted} records.\n",
            "| wanted | records | lines in the file | equal to the local engine's but for seconds | longest pause, s |",
            "|---|---|---|---|---|",
            f"| {killed.wanted} | {killed.records} | {killed.lines} | {killed.equal} | {killed.pause:.1f} |",
            "\nThe pause is the time that Ray takes to see that a node is gone, and to begin what was lost anew.\n",
        ]
    )


def main() -> None:
    """Measure, print and write a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=16, help="prompts of a run")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("--seconds", type=float, default=0.5, help="of waiting for an image, as for a remote server")
    parser.add_argument("--seed", type=int, default=0, help="of the first prompt's image")
    parser.add_argument("--out", type=Path, help="write the page to this file too")
    options = parser.parse_args()
    # Ray keeps as many idle workers as it is told of cores.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": max(WORKERS), "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        bare, waiting = (throughput_table(measure_engines(seconds, options)) for seconds in (0.0, options.seconds))
        text = render_page(bare, waiting, kill_a_node(cluster, options), options)
    finally:
        ray.shutdown()
        cluster.shutdown()
    echo(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
