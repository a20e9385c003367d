"""Shapes: the benchmark of the shapes world, made after GenEval2: prompts of atomicity 3 to 10, judged question by question.

The questions are made from the scene a prompt was written from, and a run never sees them: its decomposer writes its own
from the prompt. What judge and verifier do share is the eyes: both look through `models.shapes.perception`. A mistake of
the perception is therefore made by both, and the scores say how well a method gets what the perception can see.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image

from ...errors import BenchmarkError, OutsideWorldError
from ...frozen_model import Frozen
from ...models.shapes.answers import ShapesAnswer as Found
from ...models.shapes.answers import answer, matches_expected
from ...models.shapes.grammar import ParsedRequest, layouts, parse_request
from ...models.shapes.language import NUMBERS, describe_side, describe_spec, name_cell, name_group, plural
from ...models.shapes.perception import perceive
from ...models.shapes.world import COLORS, MAX_THINGS, RELATIONS, SHAPES, Relation, SceneSpec, ThingGroup
from ..dataset_files import read_text
from .base import Answers, Benchmark, JudgeQuestion, Metric, Source
from .base import Sample as AnySample
from .geneval2 import soft_tifa, soft_tifa_metrics

ATOMICITIES = tuple(range(3, 11))
_TRIES = 200_000
"""Draws at most for one prompt, so that asking for more prompts than there are ends in an error."""

ProbeSkill = Literal["object", "count", "attribute", "position"]


class Probe(Frozen):
    """One question of the benchmark, the answer that scores, and the skill it tests."""

    question: str
    expected: str
    skill: ProbeSkill


class ShapesSample(AnySample):
    """One prompt and its questions. The questions are for judging only."""

    @property
    def atomicity(self) -> int:
        """Objects, named colours, counts above one, relations and places of the prompt."""
        return int(self.truth["atomicity"])

    @property
    def questions(self) -> tuple[Probe, ...]:
        """Questions about the image, with the answers that score."""
        return tuple(Probe.model_validate(probe) for probe in self.truth["questions"])


class Shapes(Benchmark):
    """The probes of each prompt, answered by perception, and scored as GenEval2 is."""

    name = "shapes"
    title = "Shapes"
    official_judge = "shapes-perception"
    judges = ("perception",)
    sources = (Source(file="prompts.txt", licence="Apache-2.0", origin="GEMS", optional=True),)
    remarks = ("The judge sees through the same perception as the embedded verifier. This is a toy world.",)

    def read(self, files: Mapping[str, Path]) -> list[AnySample]:
        """Return the fixed benchmark, or the requests of a file of one's own."""
        path = files.get("prompts.txt")
        return list(make_benchmark() if path is None else samples_from_file(path))

    def questions(self, sample: AnySample) -> list[JudgeQuestion]:
        """Ask every probe."""
        return [JudgeQuestion(key=str(n), text=probe["question"]) for n, probe in enumerate(sample.truth["questions"])]

    def score(self, sample: AnySample, answers: Answers) -> dict[str, float]:
        """Score 1 for each probe that is answered as expected, else 0; their means as Soft-TIFA has them."""
        probes = sample.truth["questions"]
        return soft_tifa([_score_probe(answers, n, p["expected"]) for n, p in enumerate(probes)], [p["skill"] for p in probes])

    def metrics(self, samples: Sequence[AnySample]) -> list[Metric]:
        """GM and AM; AM by skill over all questions of it, GM by atomicity."""
        skills = sorted({probe["skill"] for sample in samples for probe in sample.truth["questions"]})
        return soft_tifa_metrics(skills, sorted({sample.group for sample in samples}))


def _score_probe(answers: Answers, number: int, expected: str) -> float:
    text = answers[str(number)][0].text if answers.get(str(number)) else ""
    return float(matches_expected(Found(text, text not in ("", "unknown"), ""), expected) or False)


def make_benchmark(n: int = 200, seed: int = 0) -> list[ShapesSample]:
    """Return the fixed benchmark: different prompts, as many of each atomicity from 3 to 10, lowest first.

    A prompt has at most three kinds of things, each with a shape of its own, at most six things in all, and can be laid
    out on the grid. The same seed gives the same prompts, everywhere; a smaller benchmark is a part of a larger one.

    Raises:
        ValueError: `n` is below one, or there are not so many different prompts.
    """
    if n < 1:
        raise ValueError(f"a benchmark of {n} prompts: ask for one at least")
    prompts: set[str] = set()
    samples = []
    for index, atomicity in enumerate(ATOMICITIES):
        rng = random.Random(f"shapes benchmark/{seed}/{atomicity}")
        share = n // len(ATOMICITIES) + (index < n % len(ATOMICITIES))
        for k in range(share):
            spec = _draw_new_spec(rng, atomicity, prompts)
            samples.append(_make_sample(f"shapes-{atomicity:02d}-{k + 1:03d}", describe_spec(spec), _parse_spec(spec)))
            prompts.add(samples[-1].prompt)
    return samples


def samples_from_file(path: str | Path) -> list[ShapesSample]:
    """Read requests in the words of the shapes world, one a line; blank lines and lines starting with # are skipped.

    Raises:
        BenchmarkError: the file cannot be read, holds no request, or has a line outside the shapes world.
    """
    path = Path(path)
    samples = []
    for number, line in enumerate((line.strip() for line in read_text(path).splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        try:
            samples.append(_make_sample(f"line-{number:04d}", line, parse_request(line)))
        except OutsideWorldError as error:
            raise BenchmarkError(f"{path}, line {number}: {error}") from error
    if not samples:
        raise BenchmarkError(f"{path}: holds no request; write one a line, such as: two red circles above a blue square")
    return samples


def judge_image(sample: ShapesSample, image: Image.Image) -> list[float]:
    """Score an image on each question of a sample: 1 if its perception gives the expected answer, else 0."""
    seen = perceive(image)
    return [1.0 if matches_expected(answer(probe.question, seen), probe.expected) else 0.0 for probe in sample.questions]


def atomicity_of(parsed: ParsedRequest) -> int:
    """Count the atoms of a request as GenEval2 does: "and", "a" and "one" do not count."""
    groups = parsed.groups
    named = sum(g.color is not None for g in groups)
    counted = sum(g.count > 1 for g in groups)
    return len(groups) + named + counted + len(parsed.relations) + sum(place is not None for place in parsed.places)


def make_probes(parsed: ParsedRequest) -> list[Probe]:
    """Make the questions of a request: object, count (a single thing too) and colour of each kind, then relations and places."""
    probes: list[Probe] = []
    for kind in dict.fromkeys((g.color, g.shape) for g in parsed.groups):
        probes += _probes_about(parsed, *kind)
    for relation in parsed.relations:
        a, b = parsed.groups[relation.a], parsed.groups[relation.b]
        probes.append(
            _yes_probe(f"{_verb_and_name(parsed, a)} {describe_side(relation.side)} the {_group_name(parsed, b)}?", "position")
        )
    for group, place in zip(parsed.groups, parsed.places, strict=True):
        if place is not None:
            alike = sum(g[1:] == group[1:] for g in parsed.groups) > 1
            start = f"{_verb(group.count)} there {name_group(group)}" if alike else _verb_and_name(parsed, group)
            probes.append(_yes_probe(f"{start} {name_cell(place)} of the image?", "position"))
    return probes


def _probes_about(parsed: ParsedRequest, color: str | None, shape: str) -> list[Probe]:
    count = sum(g.count for g in parsed.groups if g.shape == shape and color in (None, g.color))
    name = _group_name(parsed, ThingGroup(2, color, shape))
    probes = [
        _yes_probe(f"Are there any {name} in the image?", "object"),
        Probe(question=f"How many {name} are in the image?", expected=NUMBERS[count], skill="count"),
    ]
    if color is not None and color not in name:
        probes.append(_yes_probe(f"{_verb_and_name(parsed, ThingGroup(count, color, shape))} {color}?", "attribute"))
    return probes


def _yes_probe(question: str, skill: ProbeSkill) -> Probe:
    return Probe(question=question, expected="yes", skill=skill)


def _verb(count: int) -> str:
    return "Is" if count == 1 else "Are"


def _verb_and_name(parsed: ParsedRequest, group: ThingGroup) -> str:
    return f"{_verb(group.count)} the {_group_name(parsed, group)}"


def _group_name(parsed: ParsedRequest, group: ThingGroup) -> str:
    """Name a group by its shape, and by its colour too where another group has the same shape in another colour."""
    noun = plural(group.shape, group.count)
    shared = any(g.shape == group.shape and g.color != group.color for g in parsed.groups)
    return f"{group.color} {noun}" if shared and group.color else noun


def _make_sample(name: str, prompt: str, parsed: ParsedRequest) -> ShapesSample:
    atomicity = atomicity_of(parsed)
    truth = {"atomicity": atomicity, "questions": [probe.model_dump() for probe in make_probes(parsed)]}
    return ShapesSample(id=name, prompt=prompt, group=f"{atomicity:02d}", truth=truth)


def _parse_spec(spec: SceneSpec) -> ParsedRequest:
    return ParsedRequest(spec.groups, spec.relations, (None,) * len(spec.groups))


def _draw_new_spec(rng: random.Random, atomicity: int, prompts: set[str]) -> SceneSpec:
    """Draw specs until one has the atomicity, fits the grid and is not among the prompts yet."""
    for _ in range(_TRIES):
        spec = _draw_spec(rng)
        parsed = _parse_spec(spec)
        if atomicity_of(parsed) != atomicity or parsed.total > MAX_THINGS or describe_spec(spec) in prompts:
            continue
        if next(layouts(parsed), None) is not None:
            return spec
    raise ValueError(f"there are not so many different prompts of atomicity {atomicity}: ask for fewer")


def _draw_spec(rng: random.Random) -> SceneSpec:
    n = rng.randint(1, 3)
    groups = tuple(
        ThingGroup(
            rng.choices((1, 2, 3, 4, 5), weights=(8, 6, 4, 2, 1))[0],
            rng.choice(sorted(COLORS)) if rng.random() < 0.6 else None,
            shape,
        )
        for shape in rng.sample(SHAPES, n)
    )
    relations = tuple(Relation(0, rng.choice(RELATIONS), b + 1) for b in range(rng.randint(0, n - 1)))
    return SceneSpec(groups, relations)


BENCHMARKS = (Shapes(),)
