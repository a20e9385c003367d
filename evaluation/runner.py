"""Run a study: every variant on every prompt and seed, a run of the graph each, written down as it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from langgraph.store.base import BaseStore

from ..context import PRESETS
from ..errors import SettingError, StudyError
from ..models.registry import ChatChoices, ImageChoice, Models
from ..storage.files import replace_file
from ..storage.image_store import ImageStore
from .benchmarks.base import Benchmark, Sample
from .engine import Engine, Job, LocalEngine
from .prompts import Prompts, spread_evenly
from .run_records import RecordKey, SampleRecord, open_journal, read_definition
from .sample_run import WorkItem, with_image_path
from .shards import WHOLE, Shard
from .study_definition import StudyDefinition, define_study, prompts_digest
from .variants import Variant, VariantGraph

SEED_STEP = 1_000
"""Distance of the seeds of two prompts' runs: more than the images of one run, so that no two share their noise."""

REPEAT_STEP = 1_000_000
"""Distance of the seeds of two runs of one prompt, or more, so that the seeds of all prompts are between."""

PROMPTS_FILE = "prompts.jsonl"

IMAGES_FOLDER = "images"

MAX_FAILURES = 20
"""Runs in a row that may fail before a study is stopped: then it is not the prompts that are to blame."""


class StudyProgress(NamedTuple):
    """Callbacks of a running study."""

    start: Callable[[str, int, int], None] = lambda variant, total, reused: None
    """Called for each variant with its name, the number of its runs, and of those that are recorded already."""
    done: Callable[[SampleRecord], None] = lambda record: None
    """Called with each new record, from one of several threads."""
    asking: Callable[[int], None] = lambda total: None
    """Called with the number of answers that are needed of the judge."""
    answered: Callable[[bool], None] = lambda known: None
    """Called for each of them, with whether it was recorded already."""


NO_PROGRESS = StudyProgress()


class StudyPlan(NamedTuple):
    """Everything that a study will run, decided before it begins."""

    benchmark: Benchmark
    samples: list[Sample]
    items: list[WorkItem]
    variants: tuple[Variant, ...]
    models: Models
    study: StudyDefinition
    chat: ChatChoices
    """As passed by the caller: a worker on another machine creates its own."""
    image: ImageChoice

    def models_of(self, variant: Variant) -> Models:
        """Return the models of a variant: those of the study, unless it has some of its own.

        Raises:
            ModelSpecError: a spec is not understood, or a key is missing.
        """
        return variant.choose_models(self.chat, self.image) if variant.models else self.models


@dataclass(frozen=True)
class StudyExecution:
    """How a study is run.

    Args:
        engine: builds the engine from the plan and the image store; threads of this process by default.
        concurrency: of those threads: prompts at the same time; and then questions to the judge.
        shard: the part of the prompts that is run.
        progress: callbacks.
        stop: once set, current runs end and no new ones begin.
        max_failures: consecutive failures after which the study stops.
    """

    engine: Callable[[StudyPlan, ImageStore], Engine] | None = None
    concurrency: int = 1
    shard: Shard = WHOLE
    progress: StudyProgress = NO_PROGRESS
    stop: threading.Event = field(default_factory=threading.Event)
    max_failures: int = MAX_FAILURES


IN_THIS_THREAD = StudyExecution()
"""One prompt after the other."""


def plan_study(
    variants: Sequence[Variant], prompts: Prompts | None = None, *, chat: ChatChoices = "shapes", image: ImageChoice = "shapes"
) -> StudyPlan:
    """Plan a study.

    Args:
        variants: what is compared.
        prompts: what it is compared on; all of the shapes benchmark by default.
        chat: the chat models, as for `build_graph`.
        image: the image model.

    Raises:
        GemsError: there is nothing to compare, a file cannot be read, or a model cannot be made.
    """
    prompts = prompts or Prompts()
    if not variants:
        raise SettingError(f"no preset to measure: name some of {', '.join(PRESETS)}")
    if asking := [v.name for v in variants if v.context.review != "none"]:
        raise SettingError(f"{asking[0]}: setting review: nobody is there to answer in a study; leave it none")
    models = Models.choose(chat, image)
    available = prompts.read()
    samples = spread_evenly(available, prompts.limit)
    study = define_study(prompts, samples, len(available), variants, models)
    items = work_items(samples, prompts.seed, prompts.seeds * prompts.images)
    return StudyPlan(prompts.bench, samples, items, tuple(variants), models, study, chat, image)


def work_items(samples: Sequence[Sample], seed: int, images: int) -> list[WorkItem]:
    """Return the work items of a study: each prompt with the seed of each of its images."""
    repeat = max(REPEAT_STEP, len(samples) * SEED_STEP)
    return [
        WorkItem.of(sample, index, (seed + index * repeat + number * SEED_STEP) % 2**31)
        for number, sample in enumerate(samples)
        for index in range(images)
    ]


def default_folder(study: StudyDefinition, runs: Path, name: str | None = None) -> Path:
    """Return the default folder of a study: its name, or the benchmark's, and the digest of its definition."""
    return runs / "eval" / f"{name or study.benchmark}-{study.digest}"


def run_study(
    plan: StudyPlan,
    folder: Path,
    execution: StudyExecution = IN_THIS_THREAD,
    *,
    store: ImageStore | None = None,
    lessons: BaseStore | None = None,
) -> tuple[dict[RecordKey, SampleRecord], int]:
    """Run the part of a study that has no image in its folder yet; failed runs are tried again.

    Args:
        plan: the study.
        folder: of its records.
        execution: how it is run.
        store: the image store; in the folder by default.
        lessons: LangGraph's store for runs that use lessons, which then keep the plan's order; without it each has an empty one.

    Returns:
        The records, those of other shards too, and how many images of the plan's items existed already.

    Raises:
        StudyError: the folder holds another study, or too many runs in a row have failed.
        GemsError: a model cannot be used.
    """
    images = store or ImageStore(folder / IMAGES_FOLDER)
    mine = {sample.id for sample in execution.shard.part(plan.samples)}
    items = [item for item in plan.items if item.id in mine]
    with open_journal(folder, plan.study, execution.shard) as journal:
        save_prompts(folder, plan.samples)
        reused = 0
        for variant in plan.variants:
            there = sum(not journal.lacks((variant.name, item.id, item.index)) for item in items)
            execution.progress.start(variant.name, len(items), there)
            reused += there
        jobs = [Job(item, tuple(v for v in plan.variants if journal.lacks((v.name, item.id, item.index)))) for item in items]
        jobs = [job for job in jobs if job.variants]
        failed = set(journal.records)  # all other wanted records have their image
        if lessons is None:  # what failed before may fail again, so it comes last
            jobs.sort(key=lambda job: any((v.name, job.item.id, job.item.index) in failed for v in job.variants))
        failures = FailureLimit(execution.max_failures)

        def on_record(record: SampleRecord) -> None:
            journal.add(with_image_path(record, images, folder))
            execution.progress.done(record)
            failures.note(record, before=record.key in failed)

        if jobs:
            if execution.engine is None:
                engine: Engine = LocalEngine(build_graphs(plan, images, lessons), execution.concurrency)
            else:
                engine = execution.engine(plan, images)
            engine.run(jobs, on_record, execution.stop)
        return dict(journal.records), reused


def build_graphs(plan: StudyPlan, images: ImageStore, lessons: BaseStore | None = None) -> dict[str, VariantGraph]:
    """Return the graph of each variant by its name; variants without nodes, checkers and models of their own share one."""
    shared = Variant("shared").build(plan.models, images, lessons=lessons)
    return {v.name: v.build(plan.models_of(v), images, lessons=lessons) if v.digests else shared for v in plan.variants}


class FailureLimit:
    """Stops a study after too many consecutive failures.

    Args:
        most: consecutive failures.
    """

    def __init__(self, most: int) -> None:
        self._most, self._row, self._lock = most, 0, threading.Lock()

    def note(self, record: SampleRecord, *, before: bool = False) -> None:
        """Count the end of a run.

        Args:
            record: of the run.
            before: whether it failed in an earlier process too. Such a failure is not counted: some prompts are refused
                each time.

        Raises:
            StudyError: too many in a row have failed.
        """
        with self._lock:
            if before and record.error:
                return
            self._row = self._row + 1 if record.error else 0
            if self._row >= self._most:
                raise StudyError(
                    f"stopped, as {self._row} runs in a row have failed, the last one so: {record.error}. "
                    "Its images are kept: fix the cause and repeat the command"
                )


def save_prompts(folder: Path, samples: Sequence[Sample]) -> None:
    """Save the prompts of a study in its folder, so that it can be scored without the benchmark's files.

    Raises:
        StudyError: the folder has other prompts.
    """
    path = folder / PROMPTS_FILE
    if not path.exists():
        replace_file(path, "".join(sample.model_dump_json() + "\n" for sample in samples).encode())
    read_prompts(folder)


def read_prompts(folder: Path) -> list[Sample]:
    """Return the prompts of a study.

    Raises:
        StudyError: they are missing, damaged, or not those of the study's definition.
    """
    path = folder / PROMPTS_FILE
    wanted = read_definition(folder).prompts
    try:
        # By line feeds alone: a prompt may hold other characters that Python takes for the end of a line.
        samples = [Sample.model_validate_json(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except FileNotFoundError as error:
        raise StudyError(f"{folder} holds no study: name the folder that `gems eval` printed, or its --out") from error
    except ValueError as error:
        raise StudyError(f"{path} is damaged: {_REWRITE_ADVICE}") from error
    if prompts_digest(samples) != wanted:
        raise StudyError(f"{path} was changed, and is not what the images were generated from: {_REWRITE_ADVICE}")
    return samples


_REWRITE_ADVICE = "delete it, and repeat the command of the study, which writes it again"
