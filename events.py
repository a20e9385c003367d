"""Typed events of a run: the same from `stream()`, from LangGraph's stream of a graph, and in the terminal.

An event is a frozen pydantic model; in JSON too, `event` names its type.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from langgraph.config import get_stream_writer
from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError, field_serializer
from pydantic_core import to_jsonable_python

from .frozen_model import Frozen
from .memory.state import (
    Attempt,
    Check,
    CheckKind,
    Decision,
    GemsState,
    ImageRef,
    Result,
    Review,
    RoleUsage,
    Score,
    ShownLesson,
    Verdict,
)

if TYPE_CHECKING:
    from .runs.result import RunResult


class EventBase(Frozen):
    """Base of all events."""

    event: str


class RoleEvent(EventBase):
    """Base of the events of a role: of a node of the graph."""

    role: str


class RunStarted(EventBase):
    """The run starts or is resumed. Only from `stream()` and `on_event`: a graph knows nothing of runs."""

    event: Literal["run_started"] = "run_started"
    thread: str = Field(description="The run's name.")
    prompt: str = Field(description="The request.")
    resumed: bool = Field(default=False, description="Whether some of its steps were done before.")
    checks: tuple[Check, ...] = Field(default=(), description="The checks, if the run has them already.")
    images: int = Field(default=0, description="Number of images that the run has already.")


class RoleStarted(RoleEvent):
    """A role starts.

    Example:
        ```python
        for event in gems.Gems().stream("a red circle"):
            if isinstance(event, gems.RoleStarted):
                print(event.role)
        ```
    """

    event: Literal["role_started"] = "role_started"


class RoleEnded(RoleEvent):
    """A role has ended. From `stream()` and `on_event` it comes once its result is stored: a kill does not undo it.

    Example:
        ```python
        for event in gems.Gems().stream("a red circle"):
            if isinstance(event, gems.RoleEnded):
                print(f"{event.role}: {event.seconds:.1f} s, {event.usage.calls} calls")
        ```
    """

    event: Literal["role_ended"] = "role_ended"
    seconds: float = Field(description="Duration, including the time of its model calls.")
    usage: RoleUsage = Field(default=RoleUsage(), description="What it used in this step.")


class SkillsLoaded(RoleEvent):
    """The planner has loaded skills."""

    event: Literal["skills_loaded"] = "skills_loaded"
    names: tuple[str, ...]


class ChecksWritten(RoleEvent):
    """The checks, as the decomposer wrote them or a person changed them."""

    event: Literal["checks_written"] = "checks_written"
    checks: tuple[Check, ...]


class LessonsShown(RoleEvent):
    """Lessons of earlier runs were shown to the role that writes a round's prompt."""

    event: Literal["lessons_shown"] = "lessons_shown"
    lessons: tuple[ShownLesson, ...]


class LessonLearned(RoleEvent):
    """A lesson was stored for later runs, or proposed: what turned a failed check into a passed one."""

    event: Literal["lesson_learned"] = "lesson_learned"
    id: str
    kind: CheckKind
    text: str
    status: Literal["kept", "proposed"] = Field(description="proposed: it waits for a person's approval.")


class PromptWritten(RoleEvent):
    """The prompt of the next round was written."""

    event: Literal["prompt_written"] = "prompt_written"
    prompt: str
    thought: str = Field(default="", description="The reasoning behind it.")
    edit: bool = Field(default=False, description="Whether it says what to change in the best image, not all of it.")


class ImageMade(RoleEvent):
    """An image was generated and stored; of several candidates, each as soon as it is stored.

    Example:
        ```python
        for event in gems.Gems().stream("a red circle"):
            if isinstance(event, gems.ImageMade):
                print(event.round, event.candidate, event.image.sha256)
        ```
    """

    event: Literal["image_made"] = "image_made"
    round: int
    candidate: int
    prompt: str
    seed: int
    image: ImageRef
    path: str = Field(description="Path of its URL on the server of `langgraph dev`: /images/<sha256>.png. Not a file.")

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


class CheckAnswered(RoleEvent):
    """The verdict on a check of an image, once all readings of that image are done.

    Example:
        ```python
        for event in gems.Gems().stream("a red circle"):
            if isinstance(event, gems.CheckAnswered):
                print(event.verdict.passed, event.question)
        ```
    """

    event: Literal["check_answered"] = "check_answered"
    round: int
    candidate: int
    question: str = Field(default="", description="The check's question; empty if a swapped verifier answers no check of the list.")
    verdict: Verdict

    @classmethod
    def each(cls, attempt: Attempt, checks: Iterable[Check], role: str) -> list[CheckAnswered]:
        """Return an event for each verdict of an attempt."""
        questions = {check.id: check.question for check in checks}
        return [
            cls(role=role, round=attempt.round, candidate=attempt.candidate, question=questions.get(v.check, ""), verdict=v)
            for v in attempt.verdicts
        ]


class Decided(RoleEvent):
    """The selector has decided how to continue."""

    event: Literal["decided"] = "decided"
    decision: Decision
    reason: str
    round: int = Field(description="The latest round.")
    best_round: int
    best_candidate: int
    score: Score | None = Field(default=None, description="Score of the best image, if it is new.")

    @classmethod
    def of(cls, result: Result, scored: Iterable[Attempt], role: str) -> Decided:
        """Return the event of a decision and the attempts that were scored for it."""
        best = (result.best_round, result.best_candidate)
        told = result.model_dump(include={"decision", "reason", "round", "best_round", "best_candidate"})
        return cls(role=role, score=next((a.score for a in scored if a.key == best), None), **told)


BudgetName = Literal["rounds", "images", "calls", "tokens", "seconds", "cost"]


class Budget(Frozen):
    """What the run has used of a budget, and its limit."""

    name: BudgetName
    used: float
    limit: float | None = Field(default=None, description="None if there is no limit.")


class BudgetUsed(RoleEvent):
    """What the run has used so far, with each decision; `cost` is included if a price is known."""

    event: Literal["budget_used"] = "budget_used"
    budgets: tuple[Budget, ...]


class ExperienceWritten(RoleEvent):
    """The summary of a round was written."""

    event: Literal["experience_written"] = "experience_written"
    round: int
    text: str


class PersonAsked(EventBase):
    """The run waits for a person's answer. Only from `stream()` and `on_event`: in a graph it is LangGraph's interrupt."""

    event: Literal["person_asked"] = "person_asked"
    question: Any = Field(description="The question, as plain JSON: see docs/review.md.")


class PersonSaid(RoleEvent):
    """A person has answered."""

    event: Literal["person_said"] = "person_said"
    review: Review


class Noted(RoleEvent):
    """Something was done differently than requested: a fallback, a truncated prompt, a skipped check. Each is noted once."""

    event: Literal["noted"] = "noted"
    note: str


class Custom(EventBase):
    """What a swapped node wrote to the stream."""

    event: Literal["custom"] = "custom"
    data: Any = Field(description="As it was written; in JSON, values that are not JSON become text.")

    @field_serializer("data", when_used="json")
    def _as_json(self, data: Any) -> Any:
        return to_jsonable_python(data, serialize_unknown=True)


class RunEnded(EventBase):
    """The run has ended, or waits for a person. The last event of `stream()`; `result` is what `run` returns.

    Example:
        ```python
        for event in gems.Gems().stream("a red circle"):
            if isinstance(event, gems.RunEnded):
                print(event.decision, event.reason)
                event.result.image.show()
        ```
    """

    event: Literal["run_ended"] = "run_ended"
    thread: str
    decision: Decision | None = Field(description='"accept" or "give up"; None if the run waits for a person.')
    reason: str = ""
    image: ImageRef | None = Field(default=None, description="The best image.")
    usage: RoleUsage = Field(description="What the run has used.")
    _result: Any = PrivateAttr(default=None)

    @property
    def result(self) -> RunResult:
        """What `run` returns. It is not part of the JSON.

        Raises:
            AttributeError: the event was read from JSON.
        """
        if self._result is None:
            raise AttributeError("an event that was read from JSON has no result: see `Gems.get(event.thread)`")
        result: RunResult = self._result
        return result

    @classmethod
    def of(cls, result: RunResult) -> RunEnded:
        """Return the event of a run that has ended or waits."""
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
"""Any event, roughly in the order in which they come.

Example:
    ```python
    def show(event: gems.Event) -> None:
        print(event.model_dump_json())

    gems.run("a red circle", on_event=show)
    ```
"""

_READER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def read_event(data: Any) -> Event:
    """Return an event from its JSON form, as on the custom stream; anything else becomes `Custom`.

    Example:
        ```python
        graph = gems.build_graph()
        for part in graph.stream({"prompt": "a red circle"}, stream_mode="custom"):
            print(gems.read_event(part))
        ```
    """
    try:
        return _READER.validate_python(data)
    except ValidationError:
        return Custom(data=data)


def events_of(state: GemsState) -> Iterator[Event]:
    """Yield the events that led to a state, without times, costs and earlier decisions."""
    if state.skills:
        yield SkillsLoaded(role="load_skill", names=tuple(state.skills))
    if state.checks:
        yield ChecksWritten(role="decomposer", checks=tuple(state.checks))
    yield from _reviews_of_round(state, 0)
    if state.draft and not state.attempts:
        yield from _prompt_events(state, 1, state.draft)
    for round in sorted({a.round for a in state.attempts}):
        attempts = [a for a in state.attempts if a.round == round]
        yield from _prompt_events(state, round, attempts[0].prompt, attempts[0].thought, attempts[0].source is not None)
        for attempt in attempts:
            yield ImageMade.of(attempt, "generator")
        for attempt in attempts:
            yield from CheckAnswered.each(attempt, state.checks, "verifier")
        yield from _reviews_of_round(state, round)
        for experience in state.experiences:
            if experience.round == round:
                yield ExperienceWritten(role="summarizer", round=round, text=experience.text)


def _reviews_of_round(state: GemsState, round: int) -> Iterator[Event]:
    for review in state.reviews:
        if review.round == round:
            yield PersonSaid(role="review", review=review)


def _prompt_events(state: GemsState, round: int, prompt: str, thought: str = "", edit: bool = False) -> Iterator[Event]:
    role = "planner" if round == 1 else "refiner"
    if lessons := tuple(lesson for lesson in state.lessons if lesson.round == round):
        yield LessonsShown(role=role, lessons=lessons)
    yield PromptWritten(role=role, prompt=prompt, thought=thought, edit=edit)


def emit(event: Event) -> None:
    """Write an event to the custom stream from a node that should not wait for its end; a no-op outside of a graph.

    The events of a node's update need not be emitted: `events_from_stream` reads them from the update, and none twice.
    """
    try:
        writer = get_stream_writer()
    except (RuntimeError, KeyError):
        return
    writer(event.model_dump(mode="json"))


def __getattr__(name: str) -> Any:
    """Return `emit` by the name that docs/events.md has shown before."""
    if name != "tell":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("gems.events.tell is called gems.events.emit now", DeprecationWarning, stacklevel=2)
    return emit
