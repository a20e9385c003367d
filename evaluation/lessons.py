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
from .benchmark import Sample
from .benchmarks.shapes import Shapes
from .bootstrap import LEVEL, Estimate, estimate
from .downloads import Fetched
from .judges.answer_log import answer_book
from .judges.judging import judge_of
from .records import Key, SampleRecord
from .results import VariantResult, interval, per_prompt, results_of, rows_of, told
from .runner import IMAGES, SILENT, StudyPlan, StudyProgress, folder_of, generate, plan
from .sample_run import WorkItem
from .scoring import Scored, answers_of, judge_all
from .tables import new_table, say
from .variants import Study, Variant

WITHOUT, WITH, LEARNING = "without lessons", "with lessons", "learning"
FOLDS = ("a", "b")
"""Lessons are learned on the half of this name and measured on the other."""
MEASURES = ("gm", "images", "rounds", "calls", "tokens")
CAPTION = (
    f"means per prompt; the differences are paired, with {LEVEL} % bootstrap intervals over the prompts. The calls and tokens are "
    "those of the measured runs, without the learning."
)

Records = Mapping[Key, SampleRecord]


class Compared(NamedTuple):
    """One preset with lessons against without, on all prompts: each half with the lessons of the other."""

    name: str
    without: VariantResult
    with_: VariantResult
    differences: dict[str, Estimate]
    """With minus without, prompt by prompt, of each of `MEASURES`."""
    learned: tuple[list[StoredLesson], ...]
    """What was learned on each half, the most promising first."""
    learning: Estimate
    """Chat calls per prompt while it learned."""


class LessonsOutcome(NamedTuple):
    """A finished study."""

    study: Study
    compared: list[Compared]
    folder: Path

    @property
    def prompts(self) -> int:
        """How many prompts there were, both halves together."""
        return self.compared[0].without.prompts


def halves(samples: Sequence[Sample], seed: int) -> dict[str, list[Sample]]:
    """Split prompts in two by a seed, as many of each atomicity in both; each half is in random order."""
    rng = random.Random(f"lessons/{seed}")
    ordered = sorted(samples, key=lambda sample: (sample.group, rng.random()))
    made = {fold: ordered[i::2] for i, fold in enumerate(FOLDS)}
    for half in made.values():
        rng.shuffle(half)
    return made


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
    progress: StudyProgress = SILENT,
) -> LessonsOutcome:
    """Let every variant learn on one half of the prompts, and compare it on the other with itself without lessons.

    The lessons of each half are in a database of the study's folder, which begins empty. On a half that it learns on, a variant
    runs one prompt after the other, in a fixed order, so that the same call learns the same lessons.

    Args:
        variants: settings by name; their knob `lessons` is set here.
        out: folder of the study; by default one in `runs/eval`, named after its definition.
        limit: only so many prompts, spread evenly over the benchmark.
        data: a file of requests to use instead of the benchmark's.
        seed: seed of the first prompt's first image, and of the split.
        seeds: runs of each prompt, in learning too.
        concurrency: variants that learn at the same time, and then prompts that are measured at the same time.
        runs: folder of runs.
        image: the image model; the embedded one by default.
        progress: who is told.

    Raises:
        GemsError: there is nothing to compare, the file cannot be used, or the folder holds another study.
    """
    modes = [v for variant in variants for v in _modes(variant)]
    shapes = Shapes()
    samples = shapes.read(data.files if data else {})
    planned = plan(shapes, samples, modes, data=data.digests if data else {}, limit=limit, seed=seed, seeds=seeds, image=image)
    if len(planned.samples) < 2:
        raise SettingError("lessons are learned on one half of the prompts and measured on the other: give at least two")
    folder = out or folder_of(planned.study, runs, "lessons")
    cells = {fold: _cells_of_half(planned.cells, half) for fold, half in halves(planned.samples, seed).items()}
    stop = threading.Event()
    images = ImageStore(folder / IMAGES)
    common: dict[str, Any] = {"store": images, "progress": progress, "stop": stop}

    def learn(job: tuple[Variant, str]) -> Records:
        variant, fold = job
        with _lessons(folder, variant, fold) as store:
            place = _place(folder, variant, fold) / "learning"
            records, _ = generate(planned, place, lessons=store, cells=cells[fold], variants=_modes(variant)[2:], **common)
        return records

    jobs = [(variant, fold) for variant in variants for fold in FOLDS]
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            learning = dict(zip(((v.name, fold) for v, fold in jobs), pool.map(learn, jobs), strict=True))
        except BaseException:  # Ctrl-C too: the runs under way end, and nothing new begins
            stop.set()
            raise

    compared = []
    for variant in variants:
        records: dict[Key, SampleRecord] = {}
        learned = []
        for fold, other in zip(FOLDS, reversed(FOLDS), strict=True):
            with _lessons(folder, variant, fold) as store:
                learned.append(Lessons(store).ranked())
                place = _place(folder, variant, fold) / "measuring"
                measured, _ = generate(
                    planned,
                    place,
                    concurrency=concurrency,
                    lessons=store,
                    cells=cells[other],
                    variants=_modes(variant)[:2],
                    **common,
                )
            records.update(measured)
        calls = [r for fold in FOLDS for r in learning[variant.name, fold].values()]
        compared.append(_compared(planned, variant, records, _judged(planned, folder, records, images), tuple(learned), calls))
    return LessonsOutcome(planned.study, compared, folder)


def to_json(outcome: LessonsOutcome) -> dict[str, Any]:
    """Return the results for programs: by preset without, with, their differences, and what was learned on each half."""
    return {
        "study": outcome.study.model_dump(),
        "presets": {
            c.name: {
                "without": told(c.without),
                "with": told(c.with_),
                "differences": {what: {"mean": e.mean, "interval": interval(e)} for what, e in c.differences.items()},
                "learning_chat_calls_per_prompt": c.learning.mean,
                "lessons": {fold: [lesson.to_json() for lesson in found] for fold, found in zip(FOLDS, c.learned, strict=True)},
            }
            for c in outcome.compared
        },
    }


HEADINGS = ("", "GM", "images", "rounds", "chat calls", "tokens", "learned")
DIGITS = {"gm": 1, "images": 2, "rounds": 2, "calls": 2, "tokens": 0}


def rows(compared: Compared) -> list[list[str]]:
    """Return a preset's three rows of the table: without, with, and the difference."""
    without, with_ = ([f"{_measured(r, m).mean:.{DIGITS[m]}f}" for m in MEASURES] for r in (compared.without, compared.with_))
    differences = [_signed(compared.differences[m], DIGITS[m]) for m in MEASURES]
    numbers = " and ".join(str(len(found)) for found in compared.learned)
    return [
        [f"{compared.name} without", *without, ""],
        [f"{compared.name} with", *with_, numbers],
        ["difference", *differences, ""],
    ]


def markdown(outcome: LessonsOutcome, facts: Sequence[str] = ()) -> str:
    """Return the table as Markdown, and below it the first lessons of each half."""
    lines = [f"Lessons learned on one half of {outcome.prompts} prompts and measured on the other; {CAPTION}", *facts]
    table = [HEADINGS, ["---", *("---:" for _ in HEADINGS[1:])], *(row for c in outcome.compared for row in rows(c))]
    lines.append("\n".join("| " + " | ".join(row) + " |" for row in table))
    for c in outcome.compared:
        for fold, found in zip(FOLDS, c.learned, strict=True):
            heading = f"{c.name}, learned on half {fold} ({len(found)}), the most promising:"
            lines.append("\n".join([heading, "", *(map(_line, found[:5]) if found else ["- none"])]))
    return "\n\n".join(lines) + "\n"


def table(outcome: LessonsOutcome) -> Table:
    """Return the table for the terminal."""
    made = new_table("Lessons learned on one half of the prompts, measured on the other", CAPTION)
    made.add_column("", overflow="fold")
    for heading in HEADINGS[1:]:
        made.add_column(heading, justify="right", no_wrap=True)
    for compared in outcome.compared:
        for row in rows(compared):
            made.add_row(*row)
        made.add_section()
    return made


def _line(lesson: StoredLesson) -> str:
    about = f"{lesson.kind}, {lesson.skill}" if lesson.skill else lesson.kind
    return f"- {about}, helped in {lesson.helped} of {lesson.tried}: {lesson.text}"


def _modes(variant: Variant) -> list[Variant]:
    """Return a variant without lessons, with them, and as it learns them."""
    modes = {WITHOUT: "none", WITH: "read", LEARNING: "keep"}
    return [
        Variant(name=f"{variant.name}, {name}", context=variant.context.model_copy(update={"lessons": lessons}))
        for name, lessons in modes.items()
    ]


def _cells_of_half(cells: Sequence[WorkItem], half: Sequence[Sample]) -> list[WorkItem]:
    place = {sample.id: k for k, sample in enumerate(half)}
    return sorted((c for c in cells if c.id in place), key=lambda c: place[c.id])


def _place(folder: Path, variant: Variant, fold: str) -> Path:
    return folder / variant.name.replace(" ", "-") / fold


@contextmanager
def _lessons(folder: Path, variant: Variant, fold: str) -> Iterator[BaseStore]:
    with SqliteDatabase(_place(folder, variant, fold)).open() as opened:
        yield opened.store


def _judged(planned: StudyPlan, folder: Path, records: Records, images: ImageStore) -> dict[Key, Scored]:
    judge = judge_of("perception")
    with answer_book(answers_of(folder, judge.name)) as book:
        return judge_all(planned.benchmark, planned.samples, records, judge, book, images)


def _compared(
    planned: StudyPlan,
    variant: Variant,
    records: Records,
    scored: Mapping[Key, Scored],
    learned: tuple[list[StoredLesson], ...],
    calls: Sequence[SampleRecord],
) -> Compared:
    modes, samples, shapes = _modes(variant)[:2], planned.samples, planned.benchmark
    images = planned.study.seeds * planned.study.per_prompt
    without, with_ = results_of(shapes, modes, samples, records, scored, modes[0].name, images=images)
    differences = {}
    for what in MEASURES:
        before, after = (_by_prompt(mode, samples, records, scored, what) for mode in modes)
        differences[what] = estimate([mine - theirs for mine, theirs in zip(after, before, strict=True)])
    return Compared(variant.name, without, with_, differences, learned, estimate([float(r.calls) for r in calls]))


def _by_prompt(
    variant: Variant, samples: Sequence[Sample], records: Records, scored: Mapping[Key, Scored], what: str
) -> list[float]:
    if what == "gm":
        return [100 * row["gm"] for row in rows_of(variant.name, samples, scored).values()]
    return per_prompt(variant.name, samples, records, what)


def _measured(result: VariantResult, what: str) -> Estimate:
    found: Estimate = result.metrics["gm"] if what == "gm" else getattr(result, what)
    return found


def _signed(value: Estimate, digits: int) -> str:
    said, interval = say(value, digits, sign="+")
    return f"{said} ({interval})" if interval else said
