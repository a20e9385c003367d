"""The study of cross-run experience: lessons learned on one half of the prompts, measured on the other, and the reverse."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.store.base import BaseStore
from rich.table import Table

from ..errors import SettingError
from ..memory.lessons import Lessons, StoredLesson
from ..models.registry import ImageChoice
from ..storage.image_store import ImageStore
from ..storage.sqlite import SqliteDatabase
from .benchmarks.base import Sample
from .benchmarks.shapes import Shapes
from .bootstrap import LEVEL, Estimate, estimate
from .downloads import Fetched
from .image_scores import ImageScore, answers_path, score_images
from .judges.answer_log import open_answer_log
from .judges.registry import judge_of
from .run_records import RecordKey, SampleRecord
from .runner import IMAGES_FOLDER, NO_PROGRESS, StudyPlan, StudyProgress, default_folder, plan_study, run_study
from .sample_run import WorkItem
from .study_definition import StudyDefinition
from .study_tables import estimate_cell, new_table
from .variant_results import VariantResult, interval_bounds, prompt_costs, prompt_rows, result_fields, summarize_variants
from .variants import Variant

WITHOUT, WITH, LEARNING = "without lessons", "with lessons", "learning"
FOLDS = ("a", "b")
"""Lessons are learned on the half of this name and measured on the other."""
MEASURES = ("gm", "images", "rounds", "calls", "tokens")
CAPTION = (
    f"means per prompt; the differences are paired, with {LEVEL} % bootstrap intervals over the prompts. The calls and tokens are "
    "those of the measured runs, without the learning."
)

Records = Mapping[RecordKey, SampleRecord]


class LessonsComparison(NamedTuple):
    """One preset with and without lessons, on all prompts: each half with the lessons of the other."""

    name: str
    without: VariantResult
    with_: VariantResult
    differences: dict[str, Estimate]
    """With minus without, prompt by prompt, of each of `MEASURES`."""
    learned: tuple[list[StoredLesson], ...]
    """The lessons of each half, the most promising first."""
    learning: Estimate
    """Chat calls per prompt while learning."""


class LessonsResult(NamedTuple):
    """A finished study."""

    study: StudyDefinition
    compared: list[LessonsComparison]
    folder: Path

    @property
    def prompts(self) -> int:
        """Number of prompts in both halves."""
        return self.compared[0].without.prompts


def split_halves(samples: Sequence[Sample], seed: int) -> dict[str, list[Sample]]:
    """Split prompts in two by a seed, as many of each atomicity in both; each half is in random order."""
    rng = random.Random(f"lessons/{seed}")
    ordered = sorted(samples, key=lambda sample: (sample.group, rng.random()))
    halves = {fold: ordered[i::2] for i, fold in enumerate(FOLDS)}
    for half in halves.values():
        rng.shuffle(half)
    return halves


def compare_lessons(
    variants: Sequence[Variant],
    *,
    out: Path | None = None,
    limit: int | None = None,
    data: Fetched | None = None,
    seed: int = 0,
    seeds: int = 1,
    concurrency: int = 1,
    runs: Path = Path("runs"),
    image: ImageChoice = "shapes",
    progress: StudyProgress = NO_PROGRESS,
) -> LessonsResult:
    """Let every variant learn on one half of the prompts, and compare it on the other with itself without lessons.

    The lessons of each half are in a database of the study's folder, which begins empty. On a half that it learns on, a variant
    runs one prompt after the other, in a fixed order, so that the same call learns the same lessons.

    Args:
        variants: settings by name; their setting `lessons` is set here.
        out: folder of the study; by default one in `runs/eval`, named after its definition.
        limit: only so many prompts, spread evenly over the benchmark.
        data: a file of requests to use instead of the benchmark's.
        seed: seed of the first prompt's first image, and of the split.
        seeds: runs of each prompt, in learning too.
        concurrency: variants that learn at the same time, and then prompts that are measured at the same time.
        runs: folder of runs.
        image: the image model; the embedded one by default.
        progress: callbacks.

    Raises:
        GemsError: there is nothing to compare, the file cannot be used, or the folder holds another study.
    """
    modes = [v for variant in variants for v in _lesson_modes(variant)]
    shapes = Shapes()
    samples = shapes.read(data.files if data else {})
    planned = plan_study(
        shapes, samples, modes, data=data.digests if data else {}, limit=limit, seed=seed, seeds=seeds, image=image
    )
    if len(planned.samples) < 2:
        raise SettingError("lessons are learned on one half of the prompts and measured on the other: give at least two")
    folder = out or default_folder(planned.study, runs, "lessons")
    items = {fold: _items_of_half(planned.items, half) for fold, half in split_halves(planned.samples, seed).items()}
    stop = threading.Event()
    images = ImageStore(folder / IMAGES_FOLDER)
    common: dict[str, Any] = {"store": images, "progress": progress, "stop": stop}

    def learn(job: tuple[Variant, str]) -> Records:
        variant, fold = job
        with _open_lessons(folder, variant, fold) as store:
            place = _half_folder(folder, variant, fold) / "learning"
            records, _ = run_study(planned, place, lessons=store, items=items[fold], variants=_lesson_modes(variant)[2:], **common)
        return records

    jobs = [(variant, fold) for variant in variants for fold in FOLDS]
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            learning = dict(zip(((v.name, fold) for v, fold in jobs), pool.map(learn, jobs), strict=True))
        except BaseException:  # also Ctrl-C: current runs end, and no new ones begin
            stop.set()
            raise

    compared = []
    for variant in variants:
        records: dict[RecordKey, SampleRecord] = {}
        learned = []
        for fold, other in zip(FOLDS, reversed(FOLDS), strict=True):
            with _open_lessons(folder, variant, fold) as store:
                learned.append(Lessons(store).ranked())
                place = _half_folder(folder, variant, fold) / "measuring"
                measured, _ = run_study(
                    planned,
                    place,
                    concurrency=concurrency,
                    lessons=store,
                    items=items[other],
                    variants=_lesson_modes(variant)[:2],
                    **common,
                )
            records.update(measured)
        calls = [r for fold in FOLDS for r in learning[variant.name, fold].values()]
        compared.append(
            _compare_modes(planned, variant, records, _score_records(planned, folder, records, images), tuple(learned), calls)
        )
    return LessonsResult(planned.study, compared, folder)


def lessons_to_json(result: LessonsResult) -> dict[str, Any]:
    """Return the results as JSON: by preset without, with, their differences, and the lessons of each half."""
    return {
        "study": result.study.model_dump(),
        "presets": {
            c.name: {
                "without": result_fields(c.without),
                "with": result_fields(c.with_),
                "differences": {what: {"mean": e.mean, "interval": interval_bounds(e)} for what, e in c.differences.items()},
                "learning_chat_calls_per_prompt": c.learning.mean,
                "lessons": {fold: [lesson.to_json() for lesson in lessons] for fold, lessons in zip(FOLDS, c.learned, strict=True)},
            }
            for c in result.compared
        },
    }


HEADINGS = ("", "GM", "images", "rounds", "chat calls", "tokens", "learned")
DIGITS = {"gm": 1, "images": 2, "rounds": 2, "calls": 2, "tokens": 0}


def comparison_rows(compared: LessonsComparison) -> list[list[str]]:
    """Return a preset's three rows of the table: without, with, and the difference."""
    without, with_ = ([f"{_measure_of(r, m).mean:.{DIGITS[m]}f}" for m in MEASURES] for r in (compared.without, compared.with_))
    differences = [_signed_difference(compared.differences[m], DIGITS[m]) for m in MEASURES]
    numbers = " and ".join(str(len(lessons)) for lessons in compared.learned)
    return [
        [f"{compared.name} without", *without, ""],
        [f"{compared.name} with", *with_, numbers],
        ["difference", *differences, ""],
    ]


def lessons_markdown(result: LessonsResult, facts: Sequence[str] = ()) -> str:
    """Return the table as Markdown, followed by the first lessons of each half."""
    lines = [f"Lessons learned on one half of {result.prompts} prompts and measured on the other; {CAPTION}", *facts]
    table = [HEADINGS, ["---", *("---:" for _ in HEADINGS[1:])], *(row for c in result.compared for row in comparison_rows(c))]
    lines.append("\n".join("| " + " | ".join(row) + " |" for row in table))
    for c in result.compared:
        for fold, learned in zip(FOLDS, c.learned, strict=True):
            heading = f"{c.name}, learned on half {fold} ({len(learned)}), the most promising:"
            lines.append("\n".join([heading, "", *(map(_lesson_line, learned[:5]) if learned else ["- none"])]))
    return "\n\n".join(lines) + "\n"


def lessons_table(result: LessonsResult) -> Table:
    """Return the table for the terminal."""
    table = new_table("Lessons learned on one half of the prompts, measured on the other", CAPTION)
    table.add_column("", overflow="fold")
    for heading in HEADINGS[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for compared in result.compared:
        for row in comparison_rows(compared):
            table.add_row(*row)
        table.add_section()
    return table


def _lesson_line(lesson: StoredLesson) -> str:
    about = f"{lesson.kind}, {lesson.skill}" if lesson.skill else lesson.kind
    return f"- {about}, helped in {lesson.helped} of {lesson.tried}: {lesson.text}"


def _lesson_modes(variant: Variant) -> list[Variant]:
    """Return a variant without lessons, with them, and while it learns them."""
    modes = {WITHOUT: "none", WITH: "read", LEARNING: "keep"}
    return [
        Variant(name=f"{variant.name}, {name}", context=variant.context.model_copy(update={"lessons": lessons}))
        for name, lessons in modes.items()
    ]


def _items_of_half(items: Sequence[WorkItem], half: Sequence[Sample]) -> list[WorkItem]:
    place = {sample.id: k for k, sample in enumerate(half)}
    return sorted((c for c in items if c.id in place), key=lambda c: place[c.id])


def _half_folder(folder: Path, variant: Variant, fold: str) -> Path:
    return folder / variant.name.replace(" ", "-") / fold


@contextmanager
def _open_lessons(folder: Path, variant: Variant, fold: str) -> Iterator[BaseStore]:
    with SqliteDatabase(_half_folder(folder, variant, fold)).open() as opened:
        yield opened.store


def _score_records(planned: StudyPlan, folder: Path, records: Records, images: ImageStore) -> dict[RecordKey, ImageScore]:
    judge = judge_of("perception")
    with open_answer_log(answers_path(folder, judge.name)) as log:
        return score_images(planned.benchmark, planned.samples, records, judge, log, images)


def _compare_modes(
    planned: StudyPlan,
    variant: Variant,
    records: Records,
    scored: Mapping[RecordKey, ImageScore],
    learned: tuple[list[StoredLesson], ...],
    calls: Sequence[SampleRecord],
) -> LessonsComparison:
    modes, samples, shapes = _lesson_modes(variant)[:2], planned.samples, planned.benchmark
    images = planned.study.seeds * planned.study.per_prompt
    without, with_ = summarize_variants(shapes, modes, samples, records, scored, modes[0].name, images=images)
    differences = {}
    for what in MEASURES:
        before, after = (_prompt_values(mode, samples, records, scored, what) for mode in modes)
        differences[what] = estimate([mine - theirs for mine, theirs in zip(after, before, strict=True)])
    return LessonsComparison(variant.name, without, with_, differences, learned, estimate([float(r.calls) for r in calls]))


def _prompt_values(
    variant: Variant, samples: Sequence[Sample], records: Records, scored: Mapping[RecordKey, ImageScore], what: str
) -> list[float]:
    if what == "gm":
        return [100 * row["gm"] for row in prompt_rows(variant.name, samples, scored).values()]
    return prompt_costs(variant.name, samples, records, what)


def _measure_of(result: VariantResult, what: str) -> Estimate:
    estimate: Estimate = result.metrics["gm"] if what == "gm" else getattr(result, what)
    return estimate


def _signed_difference(value: Estimate, digits: int) -> str:
    mean, interval = estimate_cell(value, digits, sign="+")
    return f"{mean} ({interval})" if interval else mean
