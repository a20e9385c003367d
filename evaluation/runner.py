"""Run a study: every variant on every prompt and seed, a run of the graph each, judged and written down as it ends."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from ..context import PRESETS, RunContext, SettingError
from ..graph.build import Graph, build_graph
from ..memory.images import ImageStore
from ..memory.state import GemsState, Usage
from ..models.image import ImageModel
from ..models.registry import chat_model, image_model
from .records import Checked, Journal, Marks, Record, journal
from .results import VariantResult, results_of
from .scores import arithmetic_mean, geometric_mean
from .shapes import Sample, benchmark, judge, samples_from_file
from .studies import Study, Variant, code_digest

SEED_STEP = 1_000
"""Distance of the seeds of two prompts' runs: more than the images of one run, so that no two share their noise."""

REPEAT_STEP = 1_000_000
"""Distance of the seeds of two runs of one prompt: more than the prompts of a benchmark take."""


class Cell(NamedTuple):
    """A prompt and the seed of its runs."""

    sample: Sample
    seed: int


class Outcome(NamedTuple):
    """A finished study."""

    study: Study
    results: list[VariantResult]
    folder: Path
    found: int
    """How many of its runs were in the records already."""


def compare(
    variants: Sequence[Variant],
    *,
    name: str = "shapes",
    out: Path | None = None,
    limit: int | None = None,
    prompts: Path | None = None,
    seed: int = 0,
    seeds: int = 1,
    concurrency: int = 1,
    against: str | None = None,
    runs: Path = Path("runs"),
    image: ImageModel | None = None,
    on_start: Callable[[str, int, int], None] = lambda variant, total, found: None,
    on_done: Callable[[str], None] = lambda variant: None,
) -> Outcome:
    """Run variants on the benchmark's prompts and judge their best images.

    All variants draw from the same seeds, and share an image store: a picture that two of them ask for is drawn once,
    and counted for both. Each finished run is written down at once: the same call goes on where a killed one stopped.

    Args:
        variants: settings by name.
        name: of the study, for its folder.
        out: folder of the records; by default one in `runs/eval`, named after the study and its definition.
        limit: only so many prompts, spread evenly over the benchmark.
        prompts: a file of requests to use instead of the benchmark's.
        seed: seed of the first prompt's first image.
        seeds: runs of each prompt and variant, each with seeds of its own.
        concurrency: prompts at the same time; their pictures are drawn together where the image model can.
        against: the variant that the others are compared with; the first by default.
        runs: images are kept in its folder `eval`.
        image: the image model; the embedded one by default. Its pictures are found again by its name and settings.
        on_start: called for each variant with the number of its runs, and of those found.
        on_done: called with the variant's name when a run ends, from one of several threads.

    Raises:
        GemsError: there is nothing to compare, the file cannot be used, or the folder holds another study.
    """
    if not variants:
        raise SettingError(f"no preset to measure: name some of {', '.join(PRESETS)}")
    if asking := [v.name for v in variants if v.context.review != "none"]:
        raise SettingError(f"{asking[0]}: setting review: nobody is there to answer in a study; leave it none")
    if against is not None and against not in [v.name for v in variants]:
        raise SettingError(f"--against {against}: there is no such variant; choose one of {', '.join(v.name for v in variants)}")
    samples = samples_of(prompts, limit)
    drawer = image or image_model("shapes")
    study = define(variants, samples, seed, seeds, drawer)
    folder = out or runs / "eval" / f"{name}-{study.digest}"
    cells = cells_of(samples, seed, seeds)
    records, found = measure(
        variants, cells, study, folder, drawer, concurrency=concurrency, runs=runs, on_start=on_start, on_done=on_done
    )
    return Outcome(study, results_of(variants, samples, records, against or variants[0].name), folder, found)


def samples_of(prompts: Path | None, limit: int | None) -> list[Sample]:
    """Return the prompts of a study: the benchmark's or a file's, or so many of them, spread evenly.

    Raises:
        SamplesError: the file cannot be used.
    """
    return _spread(benchmark() if prompts is None else samples_from_file(prompts), limit)


def cells_of(samples: Sequence[Sample], seed: int, seeds: int) -> list[Cell]:
    """Return the cells of a study: each prompt with the seed of each of its runs."""
    return [
        Cell(sample, (seed + repeat * REPEAT_STEP + number * SEED_STEP) % 2**31)
        for repeat in range(seeds)
        for number, sample in enumerate(samples)
    ]


def measure(
    variants: Sequence[Variant],
    cells: Sequence[Cell],
    study: Study,
    folder: Path,
    image: ImageModel,
    *,
    concurrency: int = 1,
    runs: Path = Path("runs"),
    lessons: BaseStore | None = None,
    on_start: Callable[[str, int, int], None] = lambda variant, total, found: None,
    on_done: Callable[[str], None] = lambda variant: None,
    stop: threading.Event | None = None,
) -> tuple[dict[tuple[str, str, int], Record], int]:
    """Run variants on cells, but for those that the folder has records of.

    Args:
        variants: settings by name.
        cells: prompts and seeds.
        study: what decides the records.
        folder: of the records.
        image: the image model.
        concurrency: cells at the same time.
        runs: images are kept in its folder `eval`.
        lessons: LangGraph's store for the runs that use lessons; without it each run has an empty one of its own, so that
            no run of a study knows of another.
        on_start: called for each variant with the number of its runs, and of those found.
        on_done: called with the variant's name when a run ends, from one of several threads.
        stop: when it is set, the runs under way end and nothing new begins.

    Returns:
        The records, and how many of them were found.

    Raises:
        GemsError: the folder holds another study.
    """
    store = ImageStore(runs / "eval" / "images")
    graph = build_graph(chat_model("shapes"), image, image_store=store, store=lessons)
    with journal(folder, study) as book:
        found = len(book.records)
        for variant in variants:
            on_start(variant.name, len(cells), sum(r.variant == variant.name for r in book.records.values()))
        _run_all(graph, store, runs, variants, cells, book, concurrency, on_done, stop)
        return dict(book.records), found


def define(variants: Sequence[Variant], samples: Sequence[Sample], seed: int, seeds: int, image: ImageModel) -> Study:
    """Return what decides the records of a study."""
    from .. import __version__

    def digest(told: object) -> str:
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]

    return Study(
        version=__version__,
        code=code_digest(),
        image=f"{image.name} {digest(image.settings)}",
        prompts=f"{len(samples)} {digest([s.model_dump() for s in samples])}",
        seed=seed,
        seeds=seeds,
        variants={v.name: v.context.model_dump(exclude={"seed"}) for v in variants},
    )


def _run_all(
    graph: Graph,
    store: ImageStore,
    runs: Path,
    variants: Sequence[Variant],
    cells: Sequence[Cell],
    book: Journal,
    concurrency: int,
    on_done: Callable[[str], None],
    stop: threading.Event | None,
) -> None:
    """Run what is not in the records. One thread runs all variants of a cell, so that no two draw the same picture at once."""
    ended = threading.Event()

    def work(cell: Cell) -> None:
        for variant in variants:
            if ended.is_set() or (stop is not None and stop.is_set()):
                return
            if (variant.name, cell.sample.id, cell.seed) not in book.records:
                book.add(_run(graph, store, runs, variant, cell))
                on_done(variant.name)

    with ThreadPoolExecutor(concurrency) as pool:
        jobs = [pool.submit(work, cell) for cell in cells]
        try:
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
        finally:  # after an error or Ctrl-C what is under way ends and is written down, and nothing new begins
            ended.set()
            pool.shutdown(wait=True, cancel_futures=True)
    for job in done:
        job.result()


def _run(graph: Graph, store: ImageStore, runs: Path, variant: Variant, cell: Cell) -> Record:
    if variant.context.lessons != "none" and graph.store is None:
        graph = graph.copy({"store": InMemoryStore()})
    began = time.perf_counter()
    state, tokens, pictures = _follow(graph, cell.sample.prompt, variant.context.model_copy(update={"seed": cell.seed}))
    seconds = time.perf_counter() - began
    best, total = state.best, state.usage.total
    assert best is not None
    assert best.score is not None
    assert state.result is not None
    scores = judge(cell.sample, store.open(best.image))
    return Record(
        id=cell.sample.id,
        prompt=cell.sample.prompt,
        variant=variant.name,
        seed=cell.seed,
        path=store.path(best.image.sha256).relative_to(runs).as_posix(),
        decision=state.result.decision,
        rounds=state.round,
        checks=Checked(total=best.score.total, passed=best.score.passed),
        scores=Marks(questions=tuple(scores), gm=geometric_mean(scores), am=arithmetic_mean(scores)),
        calls=total.calls,
        images=total.images,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        seconds=round(seconds, 3),
        refiner_input_tokens=tuple(tokens),
        refiner_pictures=tuple(pictures),
    )


def _follow(graph: Graph, prompt: str, context: RunContext) -> tuple[GemsState, list[int], list[int]]:
    """Run the graph; return its last state, and what each of the refiner's turns was sent: its input tokens and pictures.

    The state adds up the tokens by role, so they are read from the updates as they pass; pictures nobody counts.
    """
    last: Any = None
    tokens: list[int] = []
    pictures: list[int] = []
    eyes = _Eyes()
    config: RunnableConfig = {"recursion_limit": 100_000, "callbacks": [eyes]}  # the round budget is ours
    for part in graph.stream({"prompt": prompt}, config, context=context, stream_mode=["updates", "values"], version="v2"):
        if part["type"] == "values":
            last = part["data"]
        elif "refiner" in (update := cast("dict[str, Any]", part["data"])):
            usage = (update["refiner"] or {}).get("usage") or Usage()
            tokens.append(usage.total.input_tokens)
            pictures.append(eyes.pictures - sum(pictures))
    return GemsState.model_validate(last), tokens, pictures


class _Eyes(BaseCallbackHandler):
    """Counts the pictures that the refiner is shown."""

    def __init__(self) -> None:
        self.pictures = 0

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Look at what is sent."""
        if (metadata or {}).get("langgraph_node") == "refiner":
            blocks = [block for batch in messages for message in batch for block in message.content if isinstance(block, dict)]
            self.pictures += sum(block.get("type") in ("image", "image_url") for block in blocks)


def _spread(samples: list[Sample], limit: int | None) -> list[Sample]:
    """Take `limit` samples at even distances, so that a short run still sees every atomicity."""
    if limit is None or limit >= len(samples):
        return samples
    return [samples[i * len(samples) // limit] for i in range(limit)]
