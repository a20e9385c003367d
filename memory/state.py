"""The state of a run: the memory of the agent is the state that LangGraph checkpoints.

This module never moves, and the types in `STATE_TYPES` keep their names: checkpoints store both, and a renamed type would come
back as a plain dict. All types are frozen; a change is a new object.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from pydantic import BaseModel, Field, field_validator

from ..frozen_model import Frozen
from .check_kinds import KINDS

MAX_PROMPT_CHARACTERS = 8_000
"""Characters of the longest request."""

if TYPE_CHECKING:
    CheckKind = str
else:  # so that a new kind is one entry of KINDS, and schemas still list them
    CheckKind = Literal[tuple(KINDS)]
Decision = Literal["accept", "refine", "give up"]
Stage = Literal["plan", "image"]
Action = Literal["accept", "go on", "reject", "edit"]
Edited = Literal["prompt", "checks", "verdicts"]


class ImageRef(Frozen):
    """An image by the hash of its content; its pixels are in the image store, never in the state.

    Example:
        ```python
        ref = gems.ImageRef(sha256="0" * 64, width=1024, height=768)
        ```
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hash of the file's bytes; also its name in the store.")
    media_type: str = "image/png"
    width: int = Field(gt=0, description="Pixels.")
    height: int = Field(gt=0, description="Pixels.")


class Check(Frozen):
    """An atomic question about the image, with the expected answer.

    Example:
        ```python
        gems.Check(id="c2", kind="count", question="How many foxes are there?", expected="one", depends_on=("c1",))
        ```
    """

    id: str = Field(min_length=1, description="Unique in a run: c1, c2, ...")
    kind: CheckKind
    question: str = Field(min_length=1)
    expected: str = Field(default="yes", description='The answer that passes: "yes", a number, or the text in the image.')
    depends_on: tuple[str, ...] = Field(default=(), description="Ids of the checks without which this one has no meaning.")


class Verdict(Frozen):
    """The verifier's answer to a check. `passed` is None if it is unknown, which is neither passed nor failed.

    Example:
        ```python
        verdict = gems.Verdict(check="c2", passed=False, answer="two", reason="a second fox is at the left")
        verdict.mark  # "✗"
        ```
    """

    check: str = Field(description="Id of the check.")
    passed: bool | None = None
    answer: str = ""
    probability: float | None = Field(default=None, ge=0, le=1, description="P(the check passes), if known.")
    reason: str = ""
    skipped: bool = Field(default=False, description="Not asked, because a check it depends on failed; `passed` is None.")

    @property
    def mark(self) -> str:
        """The sign shown to people: ✓, ✗, ? for unknown, – for skipped."""
        return "–" if self.skipped else {True: "✓", False: "✗", None: "?"}[self.passed]


class Score(Frozen):
    """The score of an attempt. Attempts are compared by `key`: checks passed, then the means of P(a check passes).

    Example:
        ```python
        score = gems.Score.of([gems.Verdict(check="c1", passed=True), gems.Verdict(check="c2", passed=None)])
        score.key  # (1, 0.707..., 0.75)
        ```
    """

    passed: int = Field(ge=0)
    total: int = Field(ge=0)
    geometric: float = Field(ge=0, le=1, description="Geometric mean of the probabilities.")
    arithmetic: float = Field(ge=0, le=1, description="Arithmetic mean of the probabilities.")

    @property
    def key(self) -> tuple[int, float, float]:
        """Sort key of attempts: larger is better; of equal ones the earlier attempt wins."""
        return (self.passed, self.geometric, self.arithmetic)

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> Score:
        """Return the score of verdicts. Without a probability, passed counts 1, unknown 0.5, failed and skipped 0."""
        values = [_probability(v) for v in verdicts]
        if not values:
            return cls(passed=0, total=0, geometric=1.0, arithmetic=1.0)
        geometric = 0.0 if min(values) == 0 else math.exp(sum(map(math.log, values)) / len(values))
        return cls(
            passed=sum(v.passed is True for v in verdicts),
            total=len(values),
            geometric=min(1.0, geometric),
            arithmetic=sum(values) / len(values),
        )


def _probability(verdict: Verdict) -> float:
    if verdict.probability is not None:
        return verdict.probability
    return {True: 1.0, False: 0.0, None: 0.0 if verdict.skipped else 0.5}[verdict.passed]


class Attempt(Frozen):
    """One image with the prompt and seed that made it, and its verdicts.

    Example:
        ```python
        ref = gems.ImageRef(sha256="0" * 64, width=1024, height=1024)
        attempt = gems.Attempt(round=1, prompt="a red fox", seed=7, image=ref)
        attempt = attempt.judged([gems.Verdict(check="c1", passed=True)])
        ```
    """

    round: int = Field(ge=1)
    candidate: int = Field(default=0, ge=0)
    prompt: str
    seed: int
    image: ImageRef
    source: ImageRef | None = Field(default=None, description="The image that was edited; the prompt says what to change.")
    thought: str = Field(default="", description="The reasoning that led to the prompt.")
    verdicts: tuple[Verdict, ...] = ()
    score: Score | None = Field(default=None, description="Set by the selector.")
    said: tuple[Verdict, ...] = Field(default=(), description="Verdicts of a person, which override the verifier's.")
    rejected: bool = Field(default=False, description="Whether a person rejected it; see `best_of`.")

    @property
    def key(self) -> tuple[int, int]:
        """Round and candidate, which identify an attempt in its run."""
        return (self.round, self.candidate)

    def judged(self, verdicts: Iterable[Verdict]) -> Attempt:
        """Return this attempt with the verifier's verdicts; those of a person override them."""
        said = {v.check: v for v in self.said}
        return self.model_copy(update={"verdicts": tuple(said.get(v.check, v) for v in verdicts)})

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Verdicts that did not pass: failed and unknown."""
        return tuple(v for v in self.verdicts if v.passed is not True)


class Experience(Frozen):
    """What one round taught, in at most a hundred words.

    Example:
        ```python
        gems.Experience(round=1, text="'a fox reading' gave an open book: name the newspaper first")
        ```
    """

    round: int = Field(ge=1)
    text: str


class Review(Frozen):
    """A person's answer in a review of the plan or an image.

    Example:
        ```python
        review = gems.Review(stage="image", round=2, about=2, action="reject", words="the fox has no newspaper")
        str(review)  # "image of round 2: rejected: the fox has no newspaper"
        ```
    """

    stage: Stage
    round: int = Field(ge=0, description="The latest round at that time; 0 before the first image.")
    about: int = Field(default=0, ge=0, description="Round of the reviewed image; 0 for the plan.")
    action: Action
    words: str = ""
    edited: tuple[Edited, ...] = ()
    verdicts: tuple[Verdict, ...] = Field(default=(), description="The person's verdicts.")
    prompt: str = Field(default="", description="The prompt that was shown.")

    def __str__(self) -> str:
        """Return the review as one line: the plan or image, the action and the comment."""
        edited = f"edited {' and '.join(self.edited)}"
        if self.verdicts:
            edited += f" ({', '.join(f'{v.check} {v.mark}' for v in self.verdicts)})"
        actions = {"accept": "accepted", "go on": "left as decided", "reject": "rejected", "edit": edited}
        subject = "plan" if self.stage == "plan" else f"image of round {self.about}"
        return f"{subject}: {actions[self.action]}" + (f": {self.words}" if self.words else "")


class ShownLesson(Frozen):
    """A lesson of earlier runs, as it was shown to the role that wrote the prompt of a round."""

    round: int = Field(ge=1, description="The round of that prompt.")
    id: str
    kind: CheckKind
    text: str
    tried: int | None = Field(default=None, ge=0, description="Its counts at that time; None in runs of older versions.")
    helped: int | None = Field(default=None, ge=0)


class RoleUsage(Frozen):
    """The usage of one role."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    seconds: float = 0.0

    def __add__(self, other: RoleUsage) -> RoleUsage:
        """Add each field."""
        return RoleUsage(**{name: getattr(self, name) + getattr(other, name) for name in RoleUsage.model_fields})

    def __sub__(self, other: RoleUsage) -> RoleUsage:
        """Subtract each field."""
        return RoleUsage(**{name: getattr(self, name) - getattr(other, name) for name in RoleUsage.model_fields})


class Usage(Frozen):
    """Calls, tokens, images and seconds of a run, by role.

    Example:
        ```python
        result = gems.run("a red circle")
        usage = result.usage
        usage.roles["verifier"].calls, usage.chat_calls, usage.images
        ```
    """

    roles: dict[str, RoleUsage] = {}

    def __add__(self, other: Usage) -> Usage:
        """Add each role."""
        names = [*self.roles, *(name for name in other.roles if name not in self.roles)]
        empty = RoleUsage()
        return Usage(roles={n: self.roles.get(n, empty) + other.roles.get(n, empty) for n in names})

    def since(self, earlier: Usage) -> Usage:
        """Return the usage since an earlier time of the same run."""
        empty = RoleUsage()
        return Usage(roles={name: usage - earlier.roles.get(name, empty) for name, usage in self.roles.items()})

    @property
    def total(self) -> RoleUsage:
        """The sum over the roles."""
        return sum(self.roles.values(), RoleUsage())

    @property
    def chat_calls(self) -> int:
        """Calls of chat models."""
        return self.total.calls

    @property
    def images(self) -> int:
        """Images generated."""
        return self.total.images


class Result(Frozen):
    """The decision of the selector after a round.

    Example:
        ```python
        gems.Result(decision="accept", reason="all 5 checks passed", best_round=2)
        ```
    """

    decision: Decision
    reason: str
    best_round: int = Field(ge=1)
    best_candidate: int = Field(default=0, ge=0)
    usage: Usage = Field(default=Usage(), description="Usage of the run at the decision; later usage is of the next round.")
    round: int = Field(default=0, ge=0, description="The latest round at the decision.")
    before: Usage = Field(default=Usage(), description="Usage of the run at the decision on the previous round.")
    heard: int = Field(default=0, ge=0, description="Number of reviews at the decision; later ones are answers to it.")


def merge_attempts(old: list[Attempt], new: list[Attempt]) -> list[Attempt]:
    """Append new attempts; one with the same round and candidate replaces the old one. Plain JSON is accepted."""
    merged = {a.key: a for a in map(Attempt.model_validate, [*old, *new])}
    return [merged[key] for key in sorted(merged)]


def merge_names(old: list[str], new: list[str]) -> list[str]:
    """Append new names."""
    return list(dict.fromkeys([*old, *new]))


def merge_shown(old: list[ShownLesson], new: list[ShownLesson]) -> list[ShownLesson]:
    """Append shown lessons; one with the same round and id replaces the old one. Plain JSON is accepted."""
    return list({(s.round, s.id): s for s in map(ShownLesson.model_validate, [*old, *new])}.values())


def add_usage(old: Usage, new: Usage) -> Usage:
    """Add usage, role by role. Plain JSON is accepted."""
    return Usage.model_validate(old) + Usage.model_validate(new)


class Request(BaseModel):
    """The input of a run."""

    prompt: str = Field(description="What to draw, in plain words. Text that must appear in the image goes in double quotes.")

    @field_validator("prompt")
    @classmethod
    def _valid_prompt(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("the prompt is empty: say in plain words what to draw")
        if prompt != prompt.encode("utf-8", "replace").decode():
            raise ValueError("the prompt is not valid Unicode text: write it in UTF-8")
        if "\0" in prompt:  # PostgreSQL refuses it in text
            raise ValueError("the prompt has a NUL character, which no model reads and not every database stores: remove it")
        if len(prompt) > MAX_PROMPT_CHARACTERS:
            raise ValueError(f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT_CHARACTERS} are allowed: shorten it")
        return prompt


class GemsState(Request):
    """The state of a run: everything that its nodes read and write.

    Example:
        ```python
        state = gems.GemsState(prompt='a fox with a sign "OPEN"')
        state.round, state.best  # (0, None)
        ```
    """

    skills: Annotated[list[str], merge_names] = Field(default=[], description="Names of the loaded skills.")
    planning: Annotated[list[AnyMessage], add_messages] = Field(
        default=[], description="The planner's messages with its skill tools; removed when the plan is made."
    )
    draft: str = Field(default="", description="The current generation prompt.")
    thought: str = Field(default="", description="The reasoning behind the draft.")
    edit: bool = Field(default=False, description="Whether the draft is an instruction to edit the best image.")
    checks: list[Check] = Field(default=[], description="What the image must show.")
    attempts: Annotated[list[Attempt], merge_attempts] = Field(default=[], description="All images, oldest first.")
    experiences: Annotated[list[Experience], operator.add] = Field(default=[], description="What each round taught.")
    reviews: Annotated[list[Review], operator.add] = Field(default=[], description="Answers of a person, oldest first.")
    lessons: Annotated[list[ShownLesson], merge_shown] = Field(
        default=[], description="Lessons of earlier runs that the planner (round 1) and the refiner were shown."
    )
    notes: Annotated[list[str], merge_names] = Field(
        default=[], description="Deviations from the request or the settings, once each: fallbacks, truncations, skipped checks."
    )
    usage: Annotated[Usage, add_usage] = Field(default=Usage(), description="Calls, tokens, images and seconds, by role.")
    result: Result | None = Field(default=None, description="The selector's decision and the best attempt.")

    @property
    def round(self) -> int:
        """The latest round, 0 before the first image."""
        return max((a.round for a in self.attempts), default=0)

    @property
    def latest(self) -> list[Attempt]:
        """The attempts of the latest round."""
        return [a for a in self.attempts if a.round == self.round]

    @property
    def pending(self) -> list[Attempt]:
        """The attempts without verdicts."""
        return [a for a in self.attempts if not a.verdicts and a.score is None]

    @property
    def answer(self) -> Review | None:
        """The latest review of the plan or of the latest decision; None if there is none."""
        since = self.reviews[self.result.heard if self.result else 0 :]
        return since[-1] if since and since[-1].round == self.round else None

    @property
    def best(self) -> Attempt | None:
        """The best attempt so far; None before the first decision."""
        if self.result is None:
            return None
        key = (self.result.best_round, self.result.best_candidate)
        return next((a for a in self.attempts if a.key == key), None)


def best_of(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt with the best score, the earlier one of equals; None if none has a score.

    A person's rejection counts as one failed check, unless it added a check that failed, which counts already. Of two attempts
    with equally many passed checks then, the rejected one loses.
    """

    def order(pair: tuple[Attempt, Score]) -> tuple[int, bool, tuple[int, float, float]]:
        attempt, score = pair
        penalty = attempt.rejected and all(v.passed is not False for v in attempt.said)
        return (score.passed - penalty, not attempt.rejected, score.key)

    scored = [(a, a.score) for a in attempts if a.score is not None]
    return max(scored, key=order)[0] if scored else None


STATE_TYPES: tuple[type[BaseModel], ...] = (
    ImageRef, Check, Verdict, Score, Attempt, Experience, Review, ShownLesson, RoleUsage, Usage, Result,
)  # fmt: skip
"""The only types of GEMS that may be restored from a checkpoint."""
