"""The state of a run: what is checkpointed is what is remembered.

This module never moves and holds every type that a checkpoint may revive (`STATE_TYPES`): the module path is part of
a stored blob. All items are frozen; a change is a new item.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from pydantic import BaseModel, Field, field_validator

from ..frozen import Frozen
from .quotes import quoted_strings as quoted_strings

MAX_PROMPT_CHARACTERS = 8_000
"""Longest request taken, in characters."""

CheckKind = Literal["object", "count", "attribute", "relation", "text", "style", "knowledge"]
Decision = Literal["accept", "refine", "give up"]
Stage = Literal["plan", "image"]
Action = Literal["accept", "go on", "reject", "edit"]
Edited = Literal["prompt", "checks", "verdicts"]


class Item(Frozen):
    """Base of everything in the state: frozen, and strict about unknown fields."""


class ImageRef(Item):
    """A picture by its content: the pixels live in the image store, never in the state."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hash of the file's bytes; also its name in the store.")
    media_type: str = "image/png"
    width: int = Field(gt=0, description="Pixels.")
    height: int = Field(gt=0, description="Pixels.")


class Check(Item):
    """One atomic question about the image, with the answer the request asks for."""

    id: str = Field(min_length=1, description="Short and unique in a run: c1, c2, ...")
    kind: CheckKind
    question: str = Field(min_length=1)
    expected: str = Field(default="yes", description='The answer that passes: "yes", a number, or the text to be read.')
    depends_on: tuple[str, ...] = Field(default=(), description="Ids of checks that must pass for this one to mean anything.")


class Verdict(Item):
    """What the verifier found for one check. `passed` is None where it could not tell: unknown, never failed."""

    check: str = Field(description="Id of the check.")
    passed: bool | None = None
    answer: str = ""
    probability: float | None = Field(default=None, ge=0, le=1, description="P(the check passes), where the model gives it.")
    reason: str = ""
    skipped: bool = Field(default=False, description="Not asked, because a check it depends on has failed; `passed` is None.")

    @property
    def mark(self) -> str:
        """The sign shown to people: ✓, ✗, ? or – where it was not asked."""
        return "–" if self.skipped else {True: "✓", False: "✗", None: "?"}[self.passed]


class Score(Item):
    """How good an attempt is. Attempts compare by `key`: checks passed, then the two means of the probabilities."""

    passed: int = Field(ge=0)
    total: int = Field(ge=0)
    geometric: float = Field(ge=0, le=1, description="Geometric mean of the probabilities.")
    arithmetic: float = Field(ge=0, le=1, description="Arithmetic mean of the probabilities.")

    @property
    def key(self) -> tuple[int, float, float]:
        """The order of attempts, larger is better; of equals the earlier attempt wins."""
        return (self.passed, self.geometric, self.arithmetic)

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> Score:
        """Score verdicts. Without a probability a pass counts 1, a failure 0 and an unknown 0.5; one that was skipped 0."""
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


class Attempt(Item):
    """One image: the prompt and seed that made it, and what the verifier said of it."""

    round: int = Field(ge=1)
    candidate: int = Field(default=0, ge=0)
    prompt: str
    seed: int
    image: ImageRef
    source: ImageRef | None = Field(default=None, description="The image it was edited from; the prompt then says what to change.")
    thought: str = Field(default="", description="The reasoning that led to the prompt.")
    verdicts: tuple[Verdict, ...] = ()
    score: Score | None = Field(default=None, description="Set by the selector.")
    said: tuple[Verdict, ...] = Field(default=(), description="Verdicts of a person: they stand, whatever a verifier finds.")
    rejected: bool = Field(default=False, description="A person rejected it: see `best_of`, which weighs it.")

    @property
    def key(self) -> tuple[int, int]:
        """Round and candidate: what names an attempt within its run."""
        return (self.round, self.candidate)

    def judged(self, verdicts: Iterable[Verdict]) -> Attempt:
        """Return this attempt with the verifier's verdicts; where a person has said otherwise, that stands."""
        said = {v.check: v for v in self.said}
        return self.model_copy(update={"verdicts": tuple(said.get(v.check, v) for v in verdicts)})

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Verdicts that did not pass: failed and unknown."""
        return tuple(v for v in self.verdicts if v.passed is not True)


class Experience(Item):
    """What one round taught, in at most a hundred words."""

    round: int = Field(ge=1)
    text: str


class Review(Item):
    """What a person answered when asked about the plan or an image."""

    stage: Stage
    round: int = Field(ge=0, description="The latest round then; 0 before the first image.")
    about: int = Field(default=0, ge=0, description="Round of the image that it is about; 0 for the plan.")
    action: Action
    words: str = ""
    edited: tuple[Edited, ...] = ()
    verdicts: tuple[Verdict, ...] = Field(default=(), description="The verdicts that were given.")
    prompt: str = Field(default="", description="The prompt that was shown.")

    def __str__(self) -> str:
        """Say it in a line: what was done to what, and the words."""
        edited = f"edited {' and '.join(self.edited)}"
        if self.verdicts:
            edited += f" ({', '.join(f'{v.check} {v.mark}' for v in self.verdicts)})"
        done = {"accept": "accepted", "go on": "left as decided", "reject": "rejected", "edit": edited}
        what = "plan" if self.stage == "plan" else f"image of round {self.about}"
        return f"{what}: {done[self.action]}" + (f": {self.words}" if self.words else "")


class ShownLesson(Item):
    """A lesson of earlier runs, as the role that wrote a round's prompt was shown it."""

    round: int = Field(ge=1, description="The round whose prompt was written with it.")
    id: str
    kind: CheckKind
    text: str
    tried: int | None = Field(default=None, ge=0, description="Its counts then; None in runs of a version that did not note them.")
    helped: int | None = Field(default=None, ge=0)


class RoleUsage(Item):
    """What one role has used so far."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    seconds: float = 0.0

    def __add__(self, other: RoleUsage) -> RoleUsage:
        """Add up, field by field."""
        return RoleUsage(**{name: getattr(self, name) + getattr(other, name) for name in RoleUsage.model_fields})

    def __sub__(self, other: RoleUsage) -> RoleUsage:
        """Take away, field by field."""
        return RoleUsage(**{name: getattr(self, name) - getattr(other, name) for name in RoleUsage.model_fields})


class Usage(Item):
    """What the run has used so far, by role."""

    roles: dict[str, RoleUsage] = {}

    def __add__(self, other: Usage) -> Usage:
        """Add up, role by role."""
        names = [*self.roles, *(name for name in other.roles if name not in self.roles)]
        empty = RoleUsage()
        return Usage(roles={n: self.roles.get(n, empty) + other.roles.get(n, empty) for n in names})

    def since(self, earlier: Usage) -> Usage:
        """Return what was used after an earlier moment of the same run."""
        empty = RoleUsage()
        return Usage(roles={name: used - earlier.roles.get(name, empty) for name, used in self.roles.items()})

    @property
    def total(self) -> RoleUsage:
        """The sum over the roles."""
        return sum(self.roles.values(), RoleUsage())

    @property
    def chat_calls(self) -> int:
        """Chat model calls so far."""
        return self.total.calls

    @property
    def images(self) -> int:
        """Images made so far."""
        return self.total.images


class Result(Item):
    """The selector's word on the run so far."""

    decision: Decision
    reason: str
    best_round: int = Field(ge=1)
    best_candidate: int = Field(default=0, ge=0)
    usage: Usage = Field(default=Usage(), description="What the run had used by then: what comes on top is the next round's.")
    round: int = Field(default=0, ge=0, description="The latest round then.")
    before: Usage = Field(default=Usage(), description="What the run had used at the decision on the round before.")
    heard: int = Field(default=0, ge=0, description="How many reviews there were then: later ones are answers to it.")


def merge_attempts(old: list[Attempt], new: list[Attempt]) -> list[Attempt]:
    """Append new attempts; one of the same round and candidate takes the place of the old one. Plain JSON is taken too."""
    merged = {a.key: a for a in map(Attempt.model_validate, [*old, *new])}
    return [merged[key] for key in sorted(merged)]


def merge_names(old: list[str], new: list[str]) -> list[str]:
    """Append names that are not there yet."""
    return list(dict.fromkeys([*old, *new]))


def merge_shown(old: list[ShownLesson], new: list[ShownLesson]) -> list[ShownLesson]:
    """Append shown lessons; one of the same round and id takes the place of the old one. Plain JSON is taken too."""
    return list({(s.round, s.id): s for s in map(ShownLesson.model_validate, [*old, *new])}.values())


def add_usage(old: Usage, new: Usage) -> Usage:
    """Add up usage, role by role. Plain JSON is taken too."""
    return Usage.model_validate(old) + Usage.model_validate(new)


class Request(BaseModel):
    """The input of a run."""

    prompt: str = Field(description="What to draw, in plain words. Text to appear in the picture goes in double quotes.")

    @field_validator("prompt")
    @classmethod
    def _usable(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("the prompt is empty: say in plain words what to draw")
        if prompt != prompt.encode("utf-8", "replace").decode():
            raise ValueError("the prompt is not valid Unicode text: write it in UTF-8")
        if "\0" in prompt:  # PostgreSQL takes it in no text
            raise ValueError("the prompt has a NUL character, which no model reads and not every database keeps: take it out")
        if len(prompt) > MAX_PROMPT_CHARACTERS:
            raise ValueError(f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT_CHARACTERS} are taken: shorten it")
        return prompt


class GemsState(Request):
    """Everything a run knows."""

    skills: Annotated[list[str], merge_names] = Field(default=[], description="Names of the skills loaded.")
    planning: Annotated[list[AnyMessage], add_messages] = Field(
        default=[], description="The planner's talk with its skill tools; emptied when the plan is made."
    )
    draft: str = Field(default="", description="The current generation prompt.")
    thought: str = Field(default="", description="The reasoning behind the draft.")
    edit: bool = Field(default=False, description="Whether the draft says what to change in the best image, instead of all of it.")
    checks: list[Check] = Field(default=[], description="What the image must show.")
    attempts: Annotated[list[Attempt], merge_attempts] = Field(default=[], description="Every image so far, oldest first.")
    experiences: Annotated[list[Experience], operator.add] = Field(default=[], description="What each round taught.")
    reviews: Annotated[list[Review], operator.add] = Field(default=[], description="What a person said, oldest first.")
    lessons: Annotated[list[ShownLesson], merge_shown] = Field(
        default=[], description="Lessons of earlier runs that the planner (round 1) and the refiner were shown."
    )
    notes: Annotated[list[str], merge_names] = Field(
        default=[], description="Things done differently than asked, said once: fallbacks, truncations, skipped checks."
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
        """The attempts that have no verdicts yet."""
        return [a for a in self.attempts if not a.verdicts and a.score is None]

    @property
    def answer(self) -> Review | None:
        """What a person said last of the plan, or of the latest decision; None if nobody said anything yet."""
        since = self.reviews[self.result.heard if self.result else 0 :]
        return since[-1] if since and since[-1].round == self.round else None

    @property
    def best(self) -> Attempt | None:
        """The best attempt so far, None before the selector has spoken."""
        if self.result is None:
            return None
        key = (self.result.best_round, self.result.best_candidate)
        return next((a for a in self.attempts if a.key == key), None)


def best_of(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the best scored attempt, the earlier one of equals; None where nothing is scored.

    A person's rejection weighs as one failed check, unless it brought a check that has failed: that one weighs already. Of two
    that then have as many passed, the rejected one loses.
    """

    def order(pair: tuple[Attempt, Score]) -> tuple[int, bool, tuple[int, float, float]]:
        attempt, score = pair
        weighs = attempt.rejected and all(v.passed is not False for v in attempt.said)
        return (score.passed - weighs, not attempt.rejected, score.key)

    scored = [(a, a.score) for a in attempts if a.score is not None]
    return max(scored, key=order)[0] if scored else None


STATE_TYPES: tuple[type[BaseModel], ...] = (
    ImageRef, Check, Verdict, Score, Attempt, Experience, Review, ShownLesson, RoleUsage, Usage, Result,
)  # fmt: skip
"""The only types of ours that a checkpoint may revive."""
