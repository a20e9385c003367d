"""What the graph tells about its nodes, ours and others alike: that they begin and end, and what their updates say."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel
from langgraph.runtime import get_runtime
from langgraph.types import Command
from pydantic import BaseModel, ValidationError

from ..context import settings_in
from ..events import (
    Budget,
    BudgetName,
    BudgetUsed,
    CheckAnswered,
    ChecksWritten,
    Decided,
    Event,
    ExperienceWritten,
    ImageMade,
    LessonsShown,
    Noted,
    PersonSaid,
    PromptWritten,
    RoleEnded,
    RoleStarted,
    SkillsLoaded,
    tell,
    telling,
)
from ..memory.state import Attempt, Experience, Result, RoleUsage, Usage
from ..models.options import ModelOptions
from ..nodes.budget import cost_of


def with_events(role: str, node: Any, models: ModelOptions) -> Any:
    """Return a node that does what the given one does, and tells events of it to LangGraph's custom stream.

    Args:
        role: the name of the node.
        node: whatever LangGraph takes as a node. A function stays a function of the same parameters, as LangGraph reads from
            them what to pass.
        models: what the models cost.

    Raises:
        TypeError: it is no node.
    """
    if inspect.isgeneratorfunction(node) or inspect.isasyncgenfunction(node):
        node = RunnableLambda(node)  # as LangGraph has it: its pieces are added up
    elif isinstance(node, Mapping):
        node = RunnableParallel(dict(node))
    if isinstance(node, Runnable):

        def invoke(state: Any, config: RunnableConfig) -> Any:
            with _announcing(role, state, models) as told:
                return told(node.invoke(state, config))

        async def ainvoke(state: Any, config: RunnableConfig) -> Any:
            with _announcing(role, state, models) as told:
                return told(await node.ainvoke(state, config))

        return RunnableLambda(invoke, ainvoke, name=role)

    if not callable(node):
        raise TypeError(f"the role {role} is swapped for {node!r}, which is no node: give a function, an object or a graph")
    work: Callable[..., Any] = node if inspect.isroutine(node) or isinstance(node, functools.partial) else node.__call__
    if inspect.iscoroutinefunction(work):

        async def later(*args: Any, **kwargs: Any) -> Any:
            with _announcing(role, args[0] if args else None, models) as told:
                return told(await work(*args, **kwargs))

        return functools.wraps(work)(later)

    def now(*args: Any, **kwargs: Any) -> Any:
        with _announcing(role, args[0] if args else None, models) as told:
            return told(work(*args, **kwargs))

    return functools.wraps(work)(now)


@contextmanager
def _announcing(role: str, state: Any, models: ModelOptions) -> Iterator[Callable[[Any], Any]]:
    """Tell that a node begins; give what takes its update, tells of it, and returns it."""
    with telling():
        began = time.perf_counter()
        tell(RoleStarted(role=role))

        def told(update: Any) -> Any:
            plain = _fields(update)
            for event in _said(role, plain, state, models):
                tell(event)
            used = plain.get("usage")
            usage = used.total if isinstance(used, Usage) else RoleUsage()
            tell(RoleEnded(role=role, seconds=time.perf_counter() - began, usage=usage))
            return update

        yield told


def _fields(update: Any) -> dict[str, Any]:
    """Return what a node returned by fields of the state, lists of the same field put together."""
    fields: dict[str, Any] = {}
    for name, value in _pairs(update):
        both = isinstance(value, list) and isinstance(fields.get(name), list)
        fields[name] = [*fields[name], *value] if both else value
    return fields


def _pairs(update: Any) -> Iterator[tuple[str, Any]]:
    """Give the fields and values of whatever LangGraph takes as an update."""
    if isinstance(update, Command):
        yield from _pairs(update.update)
    elif isinstance(update, BaseModel):
        yield from ((name, getattr(update, name)) for name in update.model_fields_set)
    elif isinstance(update, Mapping):
        yield from update.items()
    elif isinstance(update, tuple) and len(update) == 2 and isinstance(update[0], str):
        yield update
    elif isinstance(update, list | tuple):
        for one in update:
            yield from _pairs(one)


def _said(role: str, update: Mapping[str, Any], state: Any, models: ModelOptions) -> Iterator[Event]:
    """Give the events that an update of the state amounts to.

    What is not as the state wants it is left out here: LangGraph or the next node complains of it in better words.
    """
    for field, events in _EVENTS.items():
        if update.get(field):
            with suppress(ValidationError, TypeError, ValueError):
                yield from events(role, update, state, models)


def _skills(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [SkillsLoaded(role=role, names=update["skills"])]


def _checks(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [ChecksWritten(role=role, checks=update["checks"])]


def _lessons(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [LessonsShown(role=role, lessons=update["lessons"])]


def _experiences(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    found = [Experience.model_validate(e) for e in update["experiences"]]
    return [ExperienceWritten(role=role, round=e.round, text=e.text) for e in found]


def _reviews(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [PersonSaid(role=role, review=review) for review in update["reviews"]]


def _draft(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [PromptWritten(role=role, prompt=update["draft"], thought=update.get("thought", ""), edit=update.get("edit", False))]


def _attempts(role: str, update: Mapping[str, Any], state: Any, *_: Any) -> list[Event]:
    attempts = [Attempt.model_validate(a) for a in update["attempts"]]
    if role == "generator":
        return [ImageMade.of(a, role) for a in attempts]
    checks = getattr(state, "checks", ())
    return [event for a in attempts for event in CheckAnswered.each(a, checks, role)] if role == "verifier" else []


def _result(role: str, update: Mapping[str, Any], state: Any, models: ModelOptions) -> list[Event]:
    result = Result.model_validate(update["result"])
    best = (result.best_round, result.best_candidate)
    attempts = [Attempt.model_validate(a) for a in update.get("attempts", ())]
    decided = Decided(
        role=role,
        decision=result.decision,
        reason=result.reason,
        round=result.round,
        best_round=result.best_round,
        best_candidate=result.best_candidate,
        score=next((a.score for a in attempts if a.key == best), None),
    )
    return [decided, BudgetUsed(role=role, budgets=budgets(result, models))] if role == "selector" else [decided]


def budgets(result: Result, models: ModelOptions) -> tuple[Budget, ...]:
    """Return what a run has used by a decision, and what it may use by its settings.

    Args:
        result: the decision.
        models: what the models cost.
    """
    context, used, spent = settings_in(get_runtime().context), result.usage.total, cost_of(result.usage, models)
    rows: list[tuple[BudgetName, float, float | None]] = [
        ("rounds", result.round, context.max_rounds),
        ("images", used.images, context.max_images),
        ("calls", used.calls, context.max_calls),
        ("tokens", used.input_tokens + used.output_tokens, context.max_tokens),
        ("seconds", used.seconds, context.max_seconds),
    ]
    if spent:
        rows.append(("cost", spent.amount, context.max_cost))
    return tuple(Budget(name=name, used=amount, limit=limit) for name, amount, limit in rows)


def _notes(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [Noted(role=role, note=note) for note in update["notes"]]


_EVENTS: dict[str, Callable[..., list[Event]]] = {
    "skills": _skills,
    "lessons": _lessons,
    "experiences": _experiences,
    "reviews": _reviews,
    "checks": _checks,
    "draft": _draft,
    "attempts": _attempts,
    "result": _result,
    "notes": _notes,
}
"""What a field of an update amounts to, in the order in which it is told."""
