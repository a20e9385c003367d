"""HTML page of a study: its table, and the best, worst and most improved prompts with images and judge's answers."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader

from ..memory.state import ImageRef
from ..privacy import without_paths
from ..report.inline_images import InlineImage, inline_image
from ..report.page import environment
from ..storage.files import replace_file
from ..storage.json_lines import read_lines
from .benchmarks.base import Answers, Benchmark, JudgeAnswer, Metric, Sample
from .bootstrap import estimate_metric
from .image_scores import ImageScore, answers_path
from .judges.answer_collection import counted_answers
from .judges.answer_log import LogLine
from .run_records import RecordKey, SampleRecord
from .study import StudyResult
from .study_tables import SECONDS_NOTE, StudyReport, TableCell, caption, judge_title, leading_metric, main_table, published_table
from .variant_results import prompt_rows

MAX_PROMPTS = 12
"""Prompts in each section, and failed runs: the page stays small, however many prompts there are."""

MAX_IMAGE_EDGE = 160
"""Largest width and height of an image, in pixels."""

MAX_TEXT = 280
"""Characters of a question or an answer that are shown."""

MAX_QUESTIONS = 24
"""Questions about an image that are shown."""

PAGE_FILE = "gallery.html"

AnswersByImage = Mapping[tuple[str, str], Mapping[str, Mapping[int, JudgeAnswer]]]
"""Answers by prompt and image, then by the key of the question and the number of the attempt."""


@dataclass(frozen=True)
class RecordedAnswer:
    """A question about an image, and the judge's answer."""

    question: str
    answer: str
    chances: tuple[tuple[str, float], ...]
    """The likeliest first tokens of a word, with their probabilities."""
    wrong: bool
    """Whether the answer scored nothing: the numbers are the same without it."""


@dataclass(frozen=True)
class VariantSide:
    """The images of a prompt by one variant."""

    variant: str
    value: str
    """Of the prompt, over all its images."""
    others: Sequence[tuple[str, str]]
    """The other judges, each with the value that it gives."""
    record: SampleRecord | None
    """The image of lowest value, else a failed run; None if nothing was run yet."""
    images: int
    """Of the prompt, failed runs included."""
    answers: Sequence[RecordedAnswer]
    more: int
    """Questions that are not shown."""

    @property
    def error(self) -> str:
        """Why there is no image, without paths of this machine."""
        return without_paths(self.record.error) if self.record else ""


@dataclass(frozen=True)
class PromptEntry:
    """A prompt in a section of the page."""

    sample: Sample
    difference: str
    """Of the variant to the base; empty if one of them has no value."""
    others: Sequence[tuple[str, str]]
    """The other variants' values."""
    sides: Sequence[VariantSide]
    """The base and the leading variant; one if they are the same."""


@dataclass(frozen=True)
class PagePart:
    """A section of the page."""

    id: str
    title: str
    about: str
    entries: Sequence[PromptEntry]


def write_study_page(result: StudyResult, report: StudyReport) -> Path:
    """Write the page into the folder of the study, and return its path."""
    path = result.folder / PAGE_FILE
    replace_file(path, render_study_page(result, report).encode("utf-8", "replace"))
    return path


def render_study_page(result: StudyResult, report: StudyReport) -> str:
    """Render the page: one HTML file with images and styles, without any script."""
    shown = _PromptSelection(result, report)
    sections = shown.parts()
    refs = {r.image.sha256: r.image for p in sections for e in p.entries for s in e.sides if (r := s.record) and r.image}
    failed = [record for _, record in sorted(result.records.items()) if record.error]
    plot = result.folder / "plot.png"
    headings, rows = main_table(report)
    published = published_table(report)
    return (
        _templates()
        .get_template("page.html")
        .render(
            title=report.title,
            warnings=report.warnings,
            headings=headings,
            rows=rows,
            caption=caption(report) + SECONDS_NOTE,
            published=None if published is None else _table_cells(*published),
            facts=report.facts,
            plot=_plot_image(plot) if plot.exists() else None,
            parts=sections,
            base=result.base,
            failed=[(record, without_paths(record.error)) for record in failed[:MAX_PROMPTS]],
            failures=len(failed),
            metric=shown.metric,
            thumbs={
                name: inline_image(ref, result.store.read, alt="", edge=MAX_IMAGE_EDGE, light=0, density=1)
                for name, ref in refs.items()
            },
        )
    )


class _PromptSelection:
    """Selects prompts by the first judge's leading metric, for the variant with the highest mean."""

    def __init__(self, result: StudyResult, report: StudyReport) -> None:
        self._result, self.metric = result, leading_metric(report)
        self._judge = report.results[0].judge if report.results else ""
        self._scored = result.scored.get(self._judge, {})
        self._by_judge = {
            judge_title(judge, report.official_judge): {
                v.name: prompt_values(self.metric, v.name, result.samples, scored) for v in result.variants
            }
            for judge, scored in result.scored.items()
        }
        self._title = judge_title(self._judge, report.official_judge)
        self._values = self._by_judge.get(self._title) or {v.name: {} for v in result.variants}
        self._made: defaultdict[tuple[str, str], list[SampleRecord]] = defaultdict(list)
        for (variant, id, _), record in sorted(result.records.items()):
            self._made[variant, id].append(record)
        means = {r.name: r.metrics[self.metric.name].mean for r in report.results
                 if r.judge == self._judge and r.name != result.base and self.metric.name in r.metrics}  # fmt: skip
        self._leader = max(means, key=lambda name: means[name]) if means else result.base

    def parts(self) -> list[PagePart]:
        """Return the sections of the page, most improved first; empty ones are left out."""
        mine, base = self._values[self._leader], self._values[self._result.base]
        by = f" by {self._title}" if len(self._by_judge) > 1 else ""
        of, title = f"of {self._leader}{by}", self.metric.title
        gained = {id: value - base[id] for id, value in mine.items() if value > base.get(id, value)}
        worst = sorted(mine, key=lambda id: mine[id])[: min(MAX_PROMPTS, -(-len(mine) // 2))]
        best = sorted((id for id in mine if id not in worst), key=lambda id: -mine[id])[:MAX_PROMPTS]
        chosen = {
            ("improved", "Most improved", f"{title} {of} is most above that of {self._result.base}."): sorted(
                gained, key=lambda id: -gained[id]
            )[:MAX_PROMPTS],
            ("worst", "Worst", f"{title} {of} is lowest."): worst,
            ("best", "Best", f"{title} {of} is highest."): best,
        }
        answers = self._answers({id for ids in chosen.values() for id in ids})
        samples = {sample.id: sample for sample in self._result.samples}
        return [PagePart(*heading, [self._entry(samples[id], answers) for id in ids]) for heading, ids in chosen.items() if ids]

    def _entry(self, sample: Sample, answers: AnswersByImage) -> PromptEntry:
        names = list(dict.fromkeys((self._result.base, self._leader)))
        base, mine = (self._values[name].get(sample.id) for name in (names[0], names[-1]))
        others = [v.name for v in self._result.variants if v.name not in names and sample.id in self._values[v.name]]
        return PromptEntry(
            sample=sample,
            difference=f"{mine - base + 0.0:+.{self.metric.digits}f}"
            if len(names) > 1 and mine is not None and base is not None
            else "",
            others=[(name, self._format(self._values[name][sample.id])) for name in others],
            sides=[self._side(name, sample, answers) for name in names],
        )

    def _side(self, variant: str, sample: Sample, answers: AnswersByImage) -> VariantSide:
        made = self._made[variant, sample.id]
        record = min((r for r in made if r.image), key=lambda r: self._own(r, sample), default=next(iter(made), None))
        bench, recorded = (
            self._result.benchmark,
            answers.get((sample.id, record.image.sha256), {}) if record and record.image else {},
        )
        each = ((q.key, counted_answers(q, recorded.get(q.key, {}).get, bench.readable)) for q in bench.questions(sample))
        judged = list(judged_answers(bench, sample, {key: counted for key, counted in each if counted}))
        return VariantSide(
            variant=variant,
            value=self._format(self._values[variant].get(sample.id)),
            others=[
                (judge, self._format(values[variant][sample.id]))
                for judge, values in self._by_judge.items()
                if judge != self._title and sample.id in values[variant]
            ],
            record=record,
            images=len(made),
            answers=judged[:MAX_QUESTIONS],
            more=max(0, len(judged) - MAX_QUESTIONS),
        )

    def _own(self, record: SampleRecord, sample: Sample) -> float:
        """Return the metric of one image, infinity if it has none."""
        score = self._scored.get(record.key)
        estimate = estimate_metric(self.metric, [score.values], [sample.group]) if score else None
        return math.inf if estimate is None else estimate.mean

    def _format(self, value: float | None) -> str:
        return "not judged" if value is None else f"{value:.{self.metric.digits}f}"

    def _answers(self, samples: set[str]) -> AnswersByImage:
        path = answers_path(self._result.folder, self._judge)
        return read_answers(path, samples) if path.exists() else {}


def prompt_values(
    metric: Metric, variant: str, samples: Sequence[Sample], scored: Mapping[RecordKey, ImageScore]
) -> dict[str, float]:
    """Return a metric of each single prompt; prompts for which it is not defined are left out."""
    groups = {sample.id: sample.group for sample in samples}
    estimates = {id: estimate_metric(metric, [row], [groups[id]]) for id, row in prompt_rows(variant, samples, scored).items()}
    return {id: value.mean for id, value in estimates.items() if value is not None}


def judged_answers(benchmark: Benchmark, sample: Sample, answers: Answers) -> Iterator[RecordedAnswer]:
    """Yield the questions about an image that have an answer, and whether it scored.

    An answer is wrong if the scores of the image are the same without it. For one-word answers only the likeliest token counts.
    """
    for question in benchmark.questions(sample):
        counted = answers.get(question.key)
        if not counted:
            continue
        rest = {key: given for key, given in answers.items() if key != question.key}
        sure = {**answers, question.key: [_likeliest_only(answer) for answer in counted]}
        with_it, without = benchmark.score(sample, sure), benchmark.score(sample, rest)
        wrong = all(with_it.get(name) == value for name, value in without.items() if name not in benchmark.of_judge)
        text = " · ".join(dict.fromkeys(answer.text or "no answer" for answer in counted))
        yield RecordedAnswer(_shorten(question.text), _shorten(text), tuple(counted[0].top[:3]), wrong)


def read_answers(path: Path, samples: set[str]) -> AnswersByImage:
    """Return the answers in a judge's file by prompt and image, then by question and number.

    If a question was asked again in other words, the latest counts.
    """
    answers: defaultdict[tuple[str, str], dict[str, dict[int, JudgeAnswer]]] = defaultdict(dict)
    latest: dict[tuple[str, str, str], str] = {}
    for text in read_lines(path):
        if json.loads(text)["sample"] not in samples:
            continue
        line = LogLine.model_validate_json(text)
        place = (line.sample, line.image, line.key)
        if latest.get(place) != line.question:
            latest[place] = line.question
            answers[line.sample, line.image][line.key] = {}
        answers[line.sample, line.image][line.key][line.rollout] = JudgeAnswer(text=line.text, top=line.top)
    return answers


def _likeliest_only(answer: JudgeAnswer) -> JudgeAnswer:
    if not answer.top:
        return answer
    likeliest, _ = max(answer.top, key=lambda token: token[1])
    return JudgeAnswer(text=answer.text, top=((likeliest, 1.0),))


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _table_cells(
    heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[str, list[str], list[list[TableCell]]]:
    return heading, ["", *columns], [[TableCell(text) for text in row] for row in rows]


def _plot_image(path: Path) -> InlineImage:
    width, height = 1100, 480
    ref = ImageRef(sha256="0" * 64, width=width, height=height)
    return inline_image(
        ref, lambda _: path.read_bytes(), alt="The leading metric against images and against chat calls", edge=width
    )


@cache
def _templates() -> Environment:
    """Return the environment with the page's template, and the parts and styles of the pages of runs."""
    shared = environment()
    own = FileSystemLoader(Path(__file__).parent)
    return shared.overlay(loader=ChoiceLoader([own, *([shared.loader] if shared.loader else [])]))
