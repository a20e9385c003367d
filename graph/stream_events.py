"""Read the typed events of a run from LangGraph's stream of the graph: of its tasks, and of what nodes emit themselves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import reduce
from typing import Any

from pydantic import ValidationError

from ..events import (
    CheckAnswered,
    ChecksWritten,
    Custom,
    Decided,
    Event,
    ExperienceWritten,
    ImageMade,
    LessonsShown,
    Noted,
    PersonSaid,
    PromptWritten,
    RoleEnded,
    RoleEvent,
    RoleStarted,
    SkillsLoaded,
    read_event,
)
from ..memory.state import Attempt, Check, Experience, Result, RoleUsage, Usage, add_usage
from .build import ROLES
from .langgraph_internals import channel_writes


def events_from_stream(parts: Iterable[Any], *, finished: Collection[str] = ()) -> Iterator[Event]:
    """Yield the typed events of a graph of `build_graph`, each as soon as LangGraph's stream has it.

    Args:
        parts: the stream of the graph with `stream_mode=["tasks", "custom"]` and `version="v2"`; of LangGraph's client too.
        finished: ids of tasks that are not executed again, since their results are stored: of a run that resumes.

    Raises:
        TypeError: the stream is not of version v2.

    Example:
        ```python
        graph = gems.build_graph()
        parts = graph.stream({"prompt": "a red circle"}, stream_mode=["tasks", "custom"], version="v2")
        for event in gems.events_from_stream(parts):
            print(event)
        ```
    """
    reader = _StreamReader(finished)
    for part in parts:
        yield from reader.events(part)


async def aevents_from_stream(parts: AsyncIterable[Any], *, finished: Collection[str] = ()) -> AsyncIterator[Event]:
    """Yield the same as `events_from_stream`, from `graph.astream(...)`.

    Example:
        ```python
        async def show(graph):
            parts = graph.astream({"prompt": "a red circle"}, stream_mode=["tasks", "custom"], version="v2")
            async for event in gems.aevents_from_stream(parts):
                print(event)
        ```
    """
    reader = _StreamReader(finished)
    async for part in parts:
        for event in reader.events(part):
            yield event


class _StreamReader:
    """Turns the parts of one stream into events."""

    def __init__(self, finished: Collection[str]) -> None:
        self.finished = finished
        self.running: dict[str, tuple[Any, float]] = {}  # by task: its input, and when it started
        self.yielded: set[Event] = set()  # of the tasks that run now: what a node emitted is not repeated with its update

    def events(self, part: Any) -> Iterator[Event]:
        """Yield the events of a part of the stream."""
        if not isinstance(part, Mapping):
            raise TypeError('events are read from `graph.stream(..., stream_mode=["tasks", "custom"], version="v2")`')
        data = part["data"]
        if part["type"] == "custom":
            event = read_event(data)
            if isinstance(event, RoleEvent) and not isinstance(event, RoleStarted | RoleEnded):
                yield from self._new([event])
            else:  # a node that writes an event of a run or of LangGraph's tasks means something else
                yield Custom(data=data)
        elif part["type"] == "tasks" and data["name"] in ROLES and data["id"] not in self.finished:
            if "result" in data:
                yield from self._end(data)
            else:
                self.running[data["id"]] = (data["input"], time.perf_counter())
                yield RoleStarted(role=data["name"])

    def _end(self, task: Mapping[str, Any]) -> Iterator[Event]:
        """Yield the events of a task's update and its end; none if it has failed or asks a person."""
        role, writes = task["name"], task["result"]
        state, began = self.running.pop(task["id"], (None, time.perf_counter()))  # of a stream joined late
        if not task["error"] and not task["interrupts"]:
            yield from self._new(_events_of_update(role, writes, state))
            yield RoleEnded(role=role, seconds=time.perf_counter() - began, usage=_usage(writes))
        if not self.running:
            self.yielded.clear()

    def _new(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            if event not in self.yielded:
                self.yielded.add(event)
                yield event


def _usage(writes: Mapping[str, Any]) -> RoleUsage:
    with suppress(ValidationError):
        return reduce(add_usage, channel_writes(writes, "usage"), Usage()).total
    return RoleUsage()


def _events_of_update(role: str, writes: Mapping[str, Any], state: Any) -> Iterator[Event]:
    """Yield the events of what a task has written to the state.

    Values of the wrong type are skipped: LangGraph or the next node raises a better error about them.
    """
    update: dict[str, Any] = {}
    for field in writes:
        lists = [value for value in channel_writes(writes, field) if isinstance(value, list)]
        update[field] = [item for value in lists for item in value] if lists else channel_writes(writes, field)[-1]
    for field, events in _EVENTS_OF_FIELD.items():
        if update.get(field):
            with suppress(ValidationError, TypeError, ValueError):
                yield from events(role, update, state)


def _images_or_verdicts(role: str, update: Mapping[str, Any], state: Any) -> list[Event]:
    attempts = [Attempt.model_validate(a) for a in update["attempts"]]
    if role == "generator":
        return [ImageMade.of(attempt, role) for attempt in attempts]
    given = state.get("checks", ()) if isinstance(state, Mapping) else getattr(state, "checks", ())
    checks = [Check.model_validate(check) for check in given]
    return [event for a in attempts for event in CheckAnswered.each(a, checks, role)] if role == "verifier" else []


def _decision(role: str, update: Mapping[str, Any], _: Any) -> list[Event]:
    return [Decided.of(Result.model_validate(update["result"]), map(Attempt.model_validate, update.get("attempts", ())), role)]


_EVENTS_OF_FIELD: dict[str, Callable[[str, Mapping[str, Any], Any], Iterable[Event]]] = {
    "skills": lambda role, update, _: [SkillsLoaded(role=role, names=update["skills"])],
    "lessons": lambda role, update, _: [LessonsShown(role=role, lessons=update["lessons"])],
    "experiences": lambda role, update, _: [
        ExperienceWritten(role=role, round=e.round, text=e.text) for e in map(Experience.model_validate, update["experiences"])
    ],
    "reviews": lambda role, update, _: [PersonSaid(role=role, review=review) for review in update["reviews"]],
    "checks": lambda role, update, _: [ChecksWritten(role=role, checks=update["checks"])],
    "draft": lambda role, update, _: [
        PromptWritten(role=role, prompt=update["draft"], thought=update.get("thought", ""), edit=update.get("edit", False))
    ],
    "attempts": _images_or_verdicts,
    "result": _decision,
    "notes": lambda role, update, _: [Noted(role=role, note=note) for note in update["notes"]],
}
"""Makes the events of a field of an update; they come in this order."""
