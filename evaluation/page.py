"""The page of a study: its table, and the prompts that tell most, with their images and what the judge said of them."""

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
from .benchmark import Answers, Benchmark, JudgeAnswer, Metric, Sample
from .bootstrap import estimate_metric
from .judges.answer_log import LogLine
from .judges.collecting import answers_to
from .records import Key, SampleRecord
from .results import rows_of
from .scoring import Scored, answers_of
from .study import StudyResult
from .tables import SECONDS, StudyReport, TableCell, caption, judge_title, leading_metric, main_table, published_table

MOST = 12
"""Prompts of each kind, and failed runs: the page stays small, however many prompts there are."""

EDGE = 160
"""Largest width and height of an image, in pixels."""

LONG = 280
"""Characters of a question or an answer that are shown."""

MANY = 24
"""Questions about an image that are shown."""

PAGE = "gallery.html"

Found = Mapping[tuple[str, str], Mapping[str, Mapping[int, JudgeAnswer]]]
"""Answers by prompt and image, then by the key of the question and the number of the attempt."""


@dataclass(frozen=True)
class RecordedAnswer:
    """A question about an image, and what the judge answered."""

    question: str
    answer: str
    chances: tuple[tuple[str, float], ...]
    """The likeliest first tokens of a word, with their probabilities."""
    wrong: bool
    """Whether the answer scored nothing: the numbers are the same without it."""


@dataclass(frozen=True)
class VariantSide:
    """What a variant made of a prompt."""

    variant: str
    value: str
    """Of the prompt, over all its images."""
    others: Sequence[tuple[str, str]]
    """The other judges, each with the value that it gives."""
    record: SampleRecord | None
    """The image of lowest value, or the run that failed where there is none; None where it was not made yet."""
    images: int
    """Of the prompt, those that failed included."""
    said: Sequence[RecordedAnswer]
    more: int
    """Questions that are not shown."""

    @property
    def error(self) -> str:
        """Why there is no image, without the folders of this disk."""
        return without_paths(self.record.error) if self.record else ""


@dataclass(frozen=True)
class PromptEntry:
    """A prompt."""

    sample: Sample
    difference: str
    """Of the variant to the base; empty where one of them has no value."""
    others: Sequence[tuple[str, str]]
    """The other variants' values."""
    sides: Sequence[VariantSide]
    """The base, and the variant that is looked at; one where there is no other."""


@dataclass(frozen=True)
class PagePart:
    """Prompts of a kind."""

    id: str
    title: str
    about: str
    entries: Sequence[PromptEntry]


def write_page(outcome: StudyResult, report: StudyReport) -> Path:
    """Write the page into the folder of the study, and return where it is."""
    path = outcome.folder / PAGE
    replace_file(path, render_page(outcome, report).encode("utf-8", "replace"))
    return path


def render_page(outcome: StudyResult, report: StudyReport) -> str:
    """Return the page: one file with its images and its styles, without any script."""
    shown = _Shown(outcome, report)
    found = shown.parts()
    refs = {r.image.sha256: r.image for p in found for e in p.entries for s in e.sides if (r := s.record) and r.image}
    failed = [record for _, record in sorted(outcome.records.items()) if record.error]
    plot = outcome.folder / "plot.png"
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
            caption=caption(report) + SECONDS,
            published=None if published is None else _as_table(*published),
            facts=report.facts,
            plot=_plot(plot) if plot.exists() else None,
            parts=found,
            base=outcome.base,
            failed=[(record, without_paths(record.error)) for record in failed[:MOST]],
            failures=len(failed),
            metric=shown.metric,
            thumbs={
                name: inline_image(ref, outcome.store.read, alt="", edge=EDGE, light=0, density=1) for name, ref in refs.items()
            },
        )
    )


class _Shown:
    """Chooses prompts by the first judge's leading metric, for the variant that has most of it."""

    def __init__(self, outcome: StudyResult, report: StudyReport) -> None:
        self._outcome, self.metric = outcome, leading_metric(report)
        self._judge = report.results[0].judge if report.results else ""
        self._scored = outcome.scored.get(self._judge, {})
        self._by_judge = {
            judge_title(judge, report.official_judge): {
                v.name: values_of(self.metric, v.name, outcome.samples, scored) for v in outcome.variants
            }
            for judge, scored in outcome.scored.items()
        }
        self._title = judge_title(self._judge, report.official_judge)
        self._values = self._by_judge.get(self._title) or {v.name: {} for v in outcome.variants}
        self._made: defaultdict[tuple[str, str], list[SampleRecord]] = defaultdict(list)
        for (variant, id, _), record in sorted(outcome.records.items()):
            self._made[variant, id].append(record)
        means = {r.name: r.metrics[self.metric.name].mean for r in report.results
                 if r.judge == self._judge and r.name != outcome.base and self.metric.name in r.metrics}  # fmt: skip
        self._leader = max(means, key=lambda name: means[name]) if means else outcome.base

    def parts(self) -> list[PagePart]:
        """Return the prompts that are shown, the most improved first; kinds without any are left out."""
        mine, base = self._values[self._leader], self._values[self._outcome.base]
        by = f" by {self._title}" if len(self._by_judge) > 1 else ""
        of, title = f"of {self._leader}{by}", self.metric.title
        gained = {id: value - base[id] for id, value in mine.items() if value > base.get(id, value)}
        worst = sorted(mine, key=lambda id: mine[id])[: min(MOST, -(-len(mine) // 2))]
        best = sorted((id for id in mine if id not in worst), key=lambda id: -mine[id])[:MOST]
        chosen = {
            ("improved", "Most improved", f"{title} {of} is most above that of {self._outcome.base}."): sorted(
                gained, key=lambda id: -gained[id]
            )[:MOST],
            ("worst", "Worst", f"{title} {of} is lowest."): worst,
            ("best", "Best", f"{title} {of} is highest."): best,
        }
        answers = self._answers({id for ids in chosen.values() for id in ids})
        samples = {sample.id: sample for sample in self._outcome.samples}
        return [PagePart(*told, [self._entry(samples[id], answers) for id in ids]) for told, ids in chosen.items() if ids]

    def _entry(self, sample: Sample, answers: Found) -> PromptEntry:
        names = list(dict.fromkeys((self._outcome.base, self._leader)))
        base, mine = (self._values[name].get(sample.id) for name in (names[0], names[-1]))
        others = [v.name for v in self._outcome.variants if v.name not in names and sample.id in self._values[v.name]]
        return PromptEntry(
            sample=sample,
            difference=f"{mine - base + 0.0:+.{self.metric.digits}f}"
            if len(names) > 1 and mine is not None and base is not None
            else "",
            others=[(name, self._said(self._values[name][sample.id])) for name in others],
            sides=[self._side(name, sample, answers) for name in names],
        )

    def _side(self, variant: str, sample: Sample, answers: Found) -> VariantSide:
        made = self._made[variant, sample.id]
        record = min((r for r in made if r.image), key=lambda r: self._own(r, sample), default=next(iter(made), None))
        bench, found = self._outcome.benchmark, answers.get((sample.id, record.image.sha256), {}) if record and record.image else {}
        each = ((q.key, answers_to(q, found.get(q.key, {}).get, bench.readable)) for q in bench.questions(sample))
        said = list(said_of(bench, sample, {key: told for key, told in each if told}))
        return VariantSide(
            variant=variant,
            value=self._said(self._values[variant].get(sample.id)),
            others=[
                (judge, self._said(values[variant][sample.id]))
                for judge, values in self._by_judge.items()
                if judge != self._title and sample.id in values[variant]
            ],
            record=record,
            images=len(made),
            said=said[:MANY],
            more=max(0, len(said) - MANY),
        )

    def _own(self, record: SampleRecord, sample: Sample) -> float:
        """Return the value of one image; of several of a prompt the lowest shows what is wrong."""
        score = self._scored.get(record.key)
        found = estimate_metric(self.metric, [score.values], [sample.group]) if score else None
        return math.inf if found is None else found.mean

    def _said(self, value: float | None) -> str:
        return "not judged" if value is None else f"{value:.{self.metric.digits}f}"

    def _answers(self, samples: set[str]) -> Found:
        path = answers_of(self._outcome.folder, self._judge)
        return recorded_answers(path, samples) if path.exists() else {}


def values_of(metric: Metric, variant: str, samples: Sequence[Sample], scored: Mapping[Key, Scored]) -> dict[str, float]:
    """Return a metric of each prompt by itself; prompts that do not give it alone are left out."""
    groups = {sample.id: sample.group for sample in samples}
    found = {id: estimate_metric(metric, [row], [groups[id]]) for id, row in rows_of(variant, samples, scored).items()}
    return {id: value.mean for id, value in found.items() if value is not None}


def said_of(benchmark: Benchmark, sample: Sample, answers: Answers) -> Iterator[RecordedAnswer]:
    """Give the questions about an image that have an answer, and whether it scored.

    An answer is wrong if the numbers of the image are the same without it. Of a word the likeliest token alone is tried.
    """
    for question in benchmark.questions(sample):
        told = answers.get(question.key)
        if not told:
            continue
        rest = {key: given for key, given in answers.items() if key != question.key}
        sure = {**answers, question.key: [_sure(one) for one in told]}
        with_it, without = benchmark.score(sample, sure), benchmark.score(sample, rest)
        wrong = all(with_it.get(name) == value for name, value in without.items() if name not in benchmark.of_judge)
        text = " · ".join(dict.fromkeys(one.text or "no answer" for one in told))
        yield RecordedAnswer(_short(question.text), _short(text), tuple(told[0].top[:3]), wrong)


def recorded_answers(path: Path, samples: set[str]) -> Found:
    """Return the answers in a judge's file by prompt and image, then by question and number.

    Where a question was asked anew in other words, the latest.
    """
    found: defaultdict[tuple[str, str], dict[str, dict[int, JudgeAnswer]]] = defaultdict(dict)
    asked: dict[tuple[str, str, str], str] = {}
    data = path.read_bytes()
    for text in data[: data.rfind(b"\n") + 1].splitlines():
        if json.loads(text)["sample"] not in samples:
            continue
        line = LogLine.model_validate_json(text)
        place = (line.sample, line.image, line.key)
        if asked.get(place) != line.question:
            asked[place] = line.question
            found[line.sample, line.image][line.key] = {}
        found[line.sample, line.image][line.key][line.rollout] = JudgeAnswer(text=line.text, top=line.top)
    return found


def _sure(answer: JudgeAnswer) -> JudgeAnswer:
    if not answer.top:
        return answer
    likeliest, _ = max(answer.top, key=lambda token: token[1])
    return JudgeAnswer(text=answer.text, top=((likeliest, 1.0),))


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"


def _as_table(heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, list[str], list[list[TableCell]]]:
    return heading, ["", *columns], [[TableCell(text) for text in row] for row in rows]


def _plot(path: Path) -> InlineImage:
    width, height = 1100, 480
    ref = ImageRef(sha256="0" * 64, width=width, height=height)
    return inline_image(
        ref, lambda _: path.read_bytes(), alt="The leading metric against images and against chat calls", edge=width
    )


@cache
def _templates() -> Environment:
    """Return what renders the page: its own template, and the parts and styles of the pages of runs."""
    shared = environment()
    own = FileSystemLoader(Path(__file__).parent)
    return shared.overlay(loader=ChoiceLoader([own, *([shared.loader] if shared.loader else [])]))
