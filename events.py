"""What happens in a run, as typed events: the same on LangGraph's custom stream, from `stream()`, and in the terminal.

Every event is a frozen model with the name of its type in `event`, so that a page in a browser can tell them apart as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError, field_serializer
from pydantic_core import to_jsonable_python

from .frozen import Frozen
from .memory.state import (
    Attempt,
    Check,
    CheckKind,
    Decision,
    GemsState,
    ImageRef,
    Review,
    RoleUsage,
    Score,
    ShownLesson,
    Verdict,
)

if TYPE_CHECKING:
    from .runs.result import RunResult


class EventBase(Frozen):
    """What all events share."""


class RunStarted(EventBase):
    """The run begins, or is gone on with. It comes from `stream()` and `on_event` only, as a graph knows nothing of its runs."""

    event: Literal["run_started"] = "run_started"
    thread: str = Field(description="The run's name.")
    prompt: str = Field(description="The request.")
    resumed: bool = Field(default=False, description="Whether some of it was done before.")
    checks: tuple[Check, ...] = Field(default=(), description="The checks, where the run has them already.")
    images: int = Field(default=0, description="Images that are there already.")


class RoleStarted(EventBase):
    """A role begins."""

    event: Literal["role_started"] = "role_started"
    role: str


class RoleEnded(EventBase):
    """A role has ended. From `stream()` and `on_event` it comes when its result is stored: a kill does not undo it."""

    event: Literal["role_ended"] = "role_ended"
    role: str
    seconds: float = Field(description="How long it took, waiting for models included.")
    usage: RoleUsage = Field(default=RoleUsage(), description="What it used in this step.")


class SkillsLoaded(EventBase):
    """The planner has loaded skills."""

    event: Literal["skills_loaded"] = "skills_loaded"
    role: str
    names: tuple[str, ...]


class ChecksWritten(EventBase):
    """What the image must show, as the decomposer wrote it, or as a person changed it."""

    event: Literal["checks_written"] = "checks_written"
    role: str
    checks: tuple[Check, ...]


class LessonsShown(EventBase):
    """Lessons of earlier runs were shown to the role that writes a round's prompt."""

    event: Literal["lessons_shown"] = "lessons_shown"
    role: str
    lessons: tuple[ShownLesson, ...]


class LessonLearned(EventBase):
    """What turned a failed check into a passed one was kept for later runs, or proposed to be."""

    event: Literal["lesson_learned"] = "lesson_learned"
    role: str
    id: str
    kind: CheckKind
    text: str
    status: Literal["kept", "proposed"] = Field(description="proposed: it waits for a person's approval.")


class PromptWritten(EventBase):
    """The prompt of the next round."""

    event: Literal["prompt_written"] = "prompt_written"
    role: str
    prompt: str
    thought: str = Field(default="", description="The reasoning behind it.")
    edit: bool = Field(default=False, description="Whether it says what to change in the best image, instead of all of it.")


class ImageMade(EventBase):
    """An image was drawn and stored; with several candidates, each as soon as it is there."""

    event: Literal["image_made"] = "image_made"
    role: str
    round: int
    candidate: int
    prompt: str
    seed: int
    image: ImageRef
    path: str = Field(description="Path of its URL on the server of `langgraph dev`: /images/<sha256>.png. It is no file.")

    @classmethod
    def of(cls, attempt: Attempt, role: str) -> ImageMade:
        """Return the event of a new attempt."""
        return cls(
            role=role,
            round=attempt.round,
            candidate=attempt.candidate,
            prompt=attempt.prompt,
            seed=attempt.seed,
            image=attempt.image,
            path=f"/images/{attempt.image.sha256}.png",
        )


class CheckAnswered(EventBase):
    """The verdict on a check of an image, when all readings of that image are done."""

    event: Literal["check_answered"] = "check_answered"
    role: str
    round: int
    candidate: int
    question: str = Field(default="", description="The check's question; empty where a verifier of one's own reads no checks.")
    verdict: Verdict

    @classmethod
    def each(cls, attempt: Attempt, checks: Iterable[Check], role: str) -> list[CheckAnswered]:
        """Return the events of an attempt that has its verdicts."""
        questions = {check.id: check.question for check in checks}
        return [
            cls(role=role, round=attempt.round, candidate=attempt.candidate, question=questions.get(v.check, ""), verdict=v)
            for v in attempt.verdicts
        ]


class Decided(EventBase):
    """The selector has decided."""

    event: Literal["decided"] = "decided"
    role: str
    decision: Decision
    reason: str
    round: int = Field(description="The latest round.")
    best_round: int
    best_candidate: int
    score: Score | None = Field(default=None, description="Of the best image, where it is new.")


BudgetName = Literal["rounds", "images", "calls", "tokens", "seconds", "cost"]


class Budget(Frozen):
    """What is used of something, and how much of it there may be."""

    name: BudgetName
    used: float
    limit: float | None = Field(default=None, description="None where there is no limit.")


class BudgetUsed(EventBase):
    """What the run has used so far, with every decision; `cost` is among them where a price is known."""

    event: Literal["budget_used"] = "budget_used"
    role: str
    budgets: tuple[Budget, ...]


class ExperienceWritten(EventBase):
    """What a round taught."""

    event: Literal["experience_written"] = "experience_written"
    role: str
    round: int
    text: str


class PersonAsked(EventBase):
    """The run waits for a person's answer. It comes from `stream()` and `on_event` only: in a graph it is LangGraph's interrupt."""

    event: Literal["person_asked"] = "person_asked"
    question: Any = Field(description="The question, as plain JSON: see docs/review.md.")


class PersonSaid(EventBase):
    """A person has answered."""

    event: Literal["person_said"] = "person_said"
    role: str
    review: Review


class Noted(EventBase):
    """Something was done differently than asked: a fallback, a cut prompt, a skipped check. It is said once."""

    event: Literal["noted"] = "noted"
    role: str
    note: str


class Custom(EventBase):
    """What a node of one's own wrote to the stream."""

    event: Literal["custom"] = "custom"
    data: Any = Field(description="As it was written; in JSON, what is no JSON becomes text.")

    @field_serializer("data", when_used="json")
    def _as_json(self, data: Any) -> Any:
        return to_jsonable_python(data, serialize_unknown=True)


class RunEnded(EventBase):
    """The run has ended, or waits for a person. The last event of `stream()`; `result` is what `run` returns."""

    event: Literal["run_ended"] = "run_ended"
    thread: str
    decision: Decision | None = Field(description='"accept" or "give up"; None where the run waits for a person.')
    reason: str = ""
    image: ImageRef | None = Field(default=None, description="The best image.")
    usage: RoleUsage = Field(description="What the run has used.")
    _result: Any = PrivateAttr(default=None)

    @property
    def result(self) -> RunResult:
        """What `run` returns. It does not travel as JSON.

        Raises:
            AttributeError: the event was read from JSON.
        """
        if self._result is None:
            raise AttributeError("an event that was read from JSON has no result: see `get_run(event.thread)`")
        found: RunResult = self._result
        return found

    @classmethod
    def of(cls, result: RunResult) -> RunEnded:
        """Return the end of a run."""
        last, best = result.state.result, result.state.best
        event = cls(
            thread=result.thread,
            decision=result.decision,
            reason=last.reason if last else "",
            image=best.image if best else None,
            usage=result.usage.total,
        )
        event._result = result
        return event


Event = (
    RunStarted
    | RoleStarted
    | RoleEnded
    | SkillsLoaded
    | ChecksWritten
    | LessonsShown
    | PromptWritten
    | ImageMade
    | CheckAnswered
    | Decided
    | BudgetUsed
    | ExperienceWritten
    | LessonLearned
    | PersonAsked
    | PersonSaid
    | Noted
    | Custom
    | RunEnded
)
"""Any event. The order is about that of their appearance."""

_READER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def read_event(data: Any) -> Event:
    """Return an event from its JSON form, as the custom stream has it; anything else becomes `Custom`."""
    try:
        return _READER.validate_python(data)
    except ValidationError:
        return Custom(data=data)


def events_of(state: GemsState) -> Iterator[Event]:
    """Give what a run that was made before has come to, as the events that it had, without times, costs and old decisions."""
    if state.skills:
        yield SkillsLoaded(role="load_skill", names=tuple(state.skills))
    if state.checks:
        yield ChecksWritten(role="decomposer", checks=tuple(state.checks))
    yield from _said_in(state, 0)
    if state.draft and not state.attempts:
        yield from _written(state, 1, state.draft)
    for round in sorted({a.round for a in state.attempts}):
        attempts = [a for a in state.attempts if a.round == round]
        yield from _written(state, round, attempts[0].prompt, attempts[0].thought, attempts[0].source is not None)
        for attempt in attempts:
            yield ImageMade.of(attempt, "generator")
        for attempt in attempts:
            yield from CheckAnswered.each(attempt, state.checks, "verifier")
        yield from _said_in(state, round)
        for experience in state.experiences:
            if experience.round == round:
                yield ExperienceWritten(role="summarizer", round=round, text=experience.text)


def _said_in(state: GemsState, round: int) -> Iterator[Event]:
    for review in state.reviews:
        if review.round == round:
            yield PersonSaid(role="review", review=review)


def _written(state: GemsState, round: int, prompt: str, thought: str = "", edit: bool = False) -> Iterator[Event]:
    role = "planner" if round == 1 else "refiner"
    if lessons := tuple(lesson for lesson in state.lessons if lesson.round == round):
        yield LessonsShown(role=role, lessons=lessons)
    yield PromptWritten(role=role, prompt=prompt, thought=thought, edit=edit)


_TOLD: ContextVar[set[Event] | None] = ContextVar("told", default=None)


@contextmanager
def telling() -> Iterator[None]:
    """Let what runs within tell events, each of them once."""
    token = _TOLD.set(set())
    try:
        yield
    finally:
        _TOLD.reset(token)


def tell(event: Event) -> None:
    """Write an event to the custom stream, once; outside of a graph of ours nobody listens.

    A node tells what others want to know before it ends. The graph itself tells whatever a node's update says on top.
    """
    from langgraph.config import get_stream_writer

    told = _TOLD.get()
    if told is not None and event not in told:
        told.add(event)
        get_stream_writer()(event.model_dump(mode="json"))
