"""Soft-TIFA, the scores of GenEval2, as pure functions over the scores of single questions.

From "GenEval 2: Addressing Benchmark Drift in Text-to-Image Evaluation" (arXiv 2512.16853, facebookresearch/GenEval2). Each
question about an image scores between 0 and 1: the probability that its answer is the expected one, or plainly 0 or 1. The
arithmetic mean per prompt says how many atoms are right, the geometric mean whether the prompt as a whole is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Judged(BaseModel):
    """One prompt's image after judging: a score and a skill for each question.

    Raises:
        pydantic.ValidationError: there is no question, a score is out of [0, 1], or scores and skills differ in number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    atomicity: int | None = Field(
        default=None, description="Objects, named attributes, counts above one and relations of the prompt."
    )
    skills: tuple[str, ...] = Field(min_length=1)
    scores: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _matching(self) -> Judged:
        if len(self.scores) != len(self.skills):
            raise ValueError(f"{self.id}: {len(self.scores)} scores for {len(self.skills)} skills")
        if not all(0 <= score <= 1 for score in self.scores):
            raise ValueError(f"{self.id}: a score lies outside 0 to 1")
        return self


class Scores(BaseModel):
    """A benchmark's scores, each from 0 to 100."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: int
    questions: int
    soft_tifa_am: float = Field(description="Mean over the prompts of the arithmetic mean of a prompt's questions.")
    soft_tifa_gm: float = Field(description="Mean over the prompts of the geometric mean of a prompt's questions.")
    by_skill: dict[str, float] = Field(default={}, description="Arithmetic mean over all questions of a skill.")
    by_atomicity: dict[int, float] = Field(default={}, description="Mean geometric mean over the prompts of an atomicity.")


def arithmetic_mean(scores: Sequence[float]) -> float:
    """Return Soft-TIFA AM of one prompt: sum(s_i) / n.

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("no scores to average: a prompt needs at least one question")
    return math.fsum(scores) / len(scores)


def geometric_mean(scores: Sequence[float]) -> float:
    """Return Soft-TIFA GM of one prompt: (s_1 * ... * s_n) ** (1 / n); a single zero makes it zero.

    Raises:
        ValueError: there are no scores.
    """
    if scores and min(scores) <= 0:
        return 0.0
    return math.exp(arithmetic_mean([math.log(score) for score in scores]))


def summarize(judged: Iterable[Judged]) -> Scores:
    """Score a benchmark as GenEval2 does: AM and GM averaged over the prompts, AM by skill, GM by atomicity, all times 100.

    By skill every question counts the same, whichever prompt it belongs to. Prompts without an atomicity are left out of
    `by_atomicity` alone.

    Raises:
        ValueError: nothing was judged.
    """
    items = list(judged)
    by_skill: defaultdict[str, list[float]] = defaultdict(list)
    by_atomicity: defaultdict[int, list[float]] = defaultdict(list)
    for item in items:
        for skill, score in zip(item.skills, item.scores, strict=True):
            by_skill[skill].append(score)
        if item.atomicity is not None:
            by_atomicity[item.atomicity].append(geometric_mean(item.scores))
    return Scores(
        prompts=len(items),
        questions=sum(len(item.scores) for item in items),
        soft_tifa_am=100 * arithmetic_mean([arithmetic_mean(item.scores) for item in items]),
        soft_tifa_gm=100 * arithmetic_mean([geometric_mean(item.scores) for item in items]),
        by_skill={skill: 100 * arithmetic_mean(values) for skill, values in sorted(by_skill.items())},
        by_atomicity={atoms: 100 * arithmetic_mean(values) for atoms, values in sorted(by_atomicity.items())},
    )
