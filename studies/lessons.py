"""The study of cross-run experience: lessons learned on one half of the prompts, measured on the other, and the reverse.

    python -m studies.lessons --presets loop-memory,default,paper --concurrency 8

The user's own lessons are neither read nor written.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.store.base import BaseStore

from gems.errors import SettingError
from gems.evaluation.benchmarks.base import Sample
from gems.evaluation.bootstrap import LEVEL, Estimate, estimate
from gems.evaluation.image_scores import ImageScore, answers_path, score_images
from gems.evaluation.judges.answer_log import open_answer_log
from gems.evaluation.judges.registry import judge_of
from gems.evaluation.plots import LINE_COLORS, new_figure, save_figure, style_axes
from gems.evaluation.prompts import Prompts
from gems.evaluation.run_records import RecordKey, SampleRecord
from gems.evaluation.runner import (
    IMAGES_FOLDER,
    NO_PROGRESS,
    StudyExecution,
    StudyPlan,
    StudyProgress,
    default_folder,
    plan_study,
    run_study,
)
from gems.evaluation.sample_run import WorkItem
from gems.evaluation.study_definition import StudyDefinition
from gems.evaluation.study_tables import estimate_cell
from gems.evaluation.variant_results import (
    VariantResult,
    interval_bounds,
    prompt_costs,
    prompt_rows,
    result_fields,
    summarize_variants,
)
from gems.evaluation.variants import Variant, make_variants, parse_axis, parse_changes
from gems.memory.lessons import Lessons, StoredLesson
from gems.models.registry import ImageChoice
from gems.storage.image_store import ImageStore
from gems.storage.sqlite import SqliteDatabase
from gems.terminal import echo

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
    prompts: Prompts,
    *,
    out: Path | None = None,
    runs: Path = Path("runs"),
    concurrency: int = 1,
    image: ImageChoice = "shapes",
    progress: StudyProgress = NO_PROGRESS,
) -> LessonsResult:
    """Let every variant learn on one half of the prompts, and compare it on the other with itself without lessons.

    The lessons of each half are in a database of the study's folder, which begins empty. On a half that it learns on, a variant
    runs one prompt after the other, in a fixed order, so that the same call learns the same lessons.

    Args:
        variants: what is compared; the setting `lessons` is set here.
        prompts: of the shapes benchmark; their seed splits them too.
        out: folder of the study; by default one in `runs/eval`, named after its definition.
        runs: folder of runs.
        concurrency: variants that learn at the same time, and then prompts that are measured at the same time.
        image: the image model; the embedded one by default.
        progress: callbacks.

    Raises:
        GemsError: there is nothing to compare, the file cannot be used, or the folder holds another study.
    """
    planned = plan_study([v for variant in variants for v in _lesson_modes(variant)], prompts, image=image)
    if len(planned.samples) < 2:
        raise SettingError("lessons are learned on one half of the prompts and measured on the other: give at least two")
    folder = out or default_folder(planned.study, runs, "lessons")
    items = {fold: _items_of_half(planned.items, half) for fold, half in split_halves(planned.samples, prompts.seed).items()}
    stop = threading.Event()
    images = ImageStore(folder / IMAGES_FOLDER)

    def records_of(variant: Variant, lessons_of: str, on: str, step: str, modes: Sequence[Variant], at_once: int) -> Records:
        part = planned._replace(items=items[on], variants=tuple(modes))
        with _open_lessons(folder, variant, lessons_of) as store:
            execution = StudyExecution(concurrency=at_once, progress=progress, stop=stop)
            place = _half_folder(folder, variant, lessons_of) / step
            return run_study(part, place, execution, store=images, lessons=store)[0]

    jobs = [(variant, fold) for variant in variants for fold in FOLDS]
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            learned = pool.map(lambda job: records_of(job[0], job[1], job[1], "learning", _lesson_modes(job[0])[2:], 1), jobs)
            learning = dict(zip(((v.name, fold) for v, fold in jobs), learned, strict=True))
        except BaseException:  # also Ctrl-C: current runs end, and no new ones begin
            stop.set()
            raise

    compared = []
    for variant in variants:
        records: dict[RecordKey, SampleRecord] = {}
        lessons = []
        for fold, other in zip(FOLDS, reversed(FOLDS), strict=True):
            with _open_lessons(folder, variant, fold) as store:
                lessons.append(Lessons(store).ranked())
            records.update(records_of(variant, fold, other, "measuring", _lesson_modes(variant)[:2], concurrency))
        calls = [r for fold in FOLDS for r in learning[variant.name, fold].values()]
        scored = _score_records(planned, folder, records, images)
        compared.append(_compare_modes(planned, variant, records, scored, tuple(lessons), calls))
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


def _lesson_line(lesson: StoredLesson) -> str:
    about = f"{lesson.kind}, {lesson.skill}" if lesson.skill else lesson.kind
    return f"- {about}, helped in {lesson.helped} of {lesson.tried}: {lesson.text}"


def _lesson_modes(variant: Variant) -> list[Variant]:
    """Return a variant without lessons, with them, and while it learns them."""
    modes = {WITHOUT: "none", WITH: "read", LEARNING: "keep"}
    return [
        replace(variant, name=f"{variant.name}, {name}", context=variant.context.model_copy(update={"lessons": lessons}))
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


def plot_differences(rows: Sequence[tuple[str, Mapping[str, Estimate]]], path: Path, title: str) -> None:
    """Draw differences with their intervals, a row each, a panel for each thing measured; a line marks no difference.

    Args:
        rows: name, and the differences in `images`, `calls` and `gm`; the first row is drawn on top.
        path: of the plot.
        title: of the whole.

    Raises:
        PlotError: matplotlib is not installed.
    """
    figure = new_figure(11, 1.6 + 0.45 * len(rows))
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    panels = {"images": "images per prompt", "calls": "chat calls per prompt", "gm": "Soft-TIFA GM"}
    for axes, (what, label) in zip(figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True):
        axes.axvline(0, color="#555555", linewidth=1)
        for number, (_, differences) in enumerate(rows):
            value = differences[what]
            low, high = (value.mean if end is None else end for end in (value.low, value.high))
            axes.plot([low, high], [-number, -number], color=LINE_COLORS[0], linewidth=2)
            axes.plot([value.mean], [-number], color=LINE_COLORS[0], marker="o", markersize=6)
        axes.set_yticks([-number for number in range(len(rows))], [name for name, _ in rows])
        axes.set_ylim(0.6 - len(rows), 0.6)
        axes.set_xlabel(f"difference in {label}")
        style_axes(axes)
    save_figure(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study, print its table, and write its results and plot into its folder."""
    parser = argparse.ArgumentParser(prog="python -m studies.lessons", description=__doc__.split("\n")[0])
    parser.add_argument("--presets", default="loop-memory,paper,default", help="presets to compare, separated by commas")
    parser.add_argument("--sweep", action="append", default=[], help="setting=values, as for `gems eval`")
    parser.add_argument("--set", action="append", default=[], help="setting=value, for all")
    parser.add_argument("--limit", type=int, help="number of prompts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each prompt")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder of the study")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args(arguments)
    axes = [parse_axis(text) for text in options.sweep]
    changes = parse_changes(options.set)
    if "lessons" in {*changes, *(a.setting for a in axes)}:
        raise SettingError("lessons: this study sets it by itself; compare its values with `gems eval shapes`")
    variants = make_variants(options.presets.split(","), axes, changes)
    prompts = Prompts(limit=options.limit, seed=options.seed, seeds=options.seeds)
    result = compare_lessons(variants, prompts, out=options.out, runs=options.runs, concurrency=options.concurrency)
    repeats = f"{options.seeds} run{'s' if options.seeds > 1 else ''} of each prompt"
    study = result.study
    facts = [f"gems {study.version} (code {study.code}), image model {study.image}, seed {study.seed}, {repeats}."]
    text = lessons_markdown(result, facts)
    (result.folder / "table.md").write_text(text, encoding="utf-8")
    data = json.dumps(lessons_to_json(result), indent=1, ensure_ascii=False)
    (result.folder / "result.json").write_text(data + "\n", encoding="utf-8")
    title = f"with lessons minus without: {result.prompts} prompts, {repeats}, {LEVEL} % bootstrap intervals"
    plot_differences([(c.name, c.differences) for c in result.compared], result.folder / "plot.png", title)
    echo(f"{text}\nrecords, lessons and tables: {result.folder}")


if __name__ == "__main__":
    main()
