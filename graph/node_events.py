"""Wrap nodes so that they emit typed events."""

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
    emit,
    emitting_once,
)
from ..memory.state import Attempt, Experience, Result, RoleUsage, Usage
from ..models.options import ModelOptions
from ..nodes.budget import money


def with_events(role: str, node: Any, models: ModelOptions) -> Any:
    """Return a node that does the same and emits its events to LangGraph's custom stream: start, end, and those of its update.

    Args:
        role: the name of the node.
        node: whatever LangGraph takes as a node. A function keeps its parameters, from which LangGraph reads what to pass.
        models: the models' options, with their prices.

    Raises:
        TypeError: LangGraph does not take it as a node.
    """
    if inspect.isgeneratorfunction(node) or inspect.isasyncgenfunction(node):
        node = RunnableLambda(node)  # as LangGraph does: its pieces are added up
    elif isinstance(node, Mapping):
        node = RunnableParallel(dict(node))
    if isinstance(node, Runnable):

        def invoke(state: Any, config: RunnableConfig) -> Any:
            with _emit_role_events(role, state, models) as emit_update:
                return emit_update(node.invoke(state, config))

        async def ainvoke(state: Any, config: RunnableConfig) -> Any:
            with _emit_role_events(role, state, models) as emit_update:
                return emit_update(await node.ainvoke(state, config))

        return RunnableLambda(invoke, ainvoke, name=role)

    if not callable(node):
        raise TypeError(f"the role {role} is swapped for {node!r}, which is no node: give a function, an object or a graph")
    work: Callable[..., Any] = node if inspect.isroutine(node) or isinstance(node, functools.partial) else node.__call__
    if inspect.iscoroutinefunction(work):

        async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
            with _emit_role_events(role, args[0] if args else None, models) as emit_update:
                return emit_update(await work(*args, **kwargs))

        return functools.wraps(work)(async_wrapper)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with _emit_role_events(role, args[0] if args else None, models) as emit_update:
            return emit_update(work(*args, **kwargs))

    return functools.wraps(work)(wrapper)


@contextmanager
def _emit_role_events(role: str, state: Any, models: ModelOptions) -> Iterator[Callable[[Any], Any]]:
    """Emit that a role starts; yield a function that takes its update, emits the update's events, and returns it."""
    with emitting_once():
        began = time.perf_counter()
        emit(RoleStarted(role=role))

        def emit_update(update: Any) -> Any:
            plain = _update_fields(update)
            for event in _events_of_update(role, plain, state, models):
                emit(event)
            used = plain.get("usage")
            usage = used.total if isinstance(used, Usage) else RoleUsage()
            emit(RoleEnded(role=role, seconds=time.perf_counter() - began, usage=usage))
            return update

        yield emit_update


def _update_fields(update: Any) -> dict[str, Any]:
    """Return a node's update as a dict of the state's fields; several lists of one field are joined."""
    fields: dict[str, Any] = {}
    for name, value in _field_values(update):
        both = isinstance(value, list) and isinstance(fields.get(name), list)
        fields[name] = [*fields[name], *value] if both else value
    return fields


def _field_values(update: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields and values of whatever LangGraph takes as an update."""
    if isinstance(update, Command):
        yield from _field_values(update.update)
    elif isinstance(update, BaseModel):
        yield from ((name, getattr(update, name)) for name in update.model_fields_set)
    elif isinstance(update, Mapping):
        yield from update.items()
    elif isinstance(update, tuple) and len(update) == 2 and isinstance(update[0], str):
        yield update
    elif isinstance(update, list | tuple):
        for part in update:
            yield from _field_values(part)


def _events_of_update(role: str, update: Mapping[str, Any], state: Any, models: ModelOptions) -> Iterator[Event]:
    """Yield the events of an update of the state.

    Values of the wrong type are skipped: LangGraph or the next node raises a better error about them.
    """
    for field, events in _EVENTS_OF_FIELD.items():
        if update.get(field):
            with suppress(ValidationError, TypeError, ValueError):
                yield from events(role, update, state, models)


def _skills_loaded(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [SkillsLoaded(role=role, names=update["skills"])]


def _checks_written(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [ChecksWritten(role=role, checks=update["checks"])]


def _lessons_shown(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [LessonsShown(role=role, lessons=update["lessons"])]


def _experiences_written(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    experiences = [Experience.model_validate(e) for e in update["experiences"]]
    return [ExperienceWritten(role=role, round=e.round, text=e.text) for e in experiences]


def _person_said(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [PersonSaid(role=role, review=review) for review in update["reviews"]]


def _prompt_written(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [PromptWritten(role=role, prompt=update["draft"], thought=update.get("thought", ""), edit=update.get("edit", False))]


def _images_or_verdicts(role: str, update: Mapping[str, Any], state: Any, *_: Any) -> list[Event]:
    attempts = [Attempt.model_validate(a) for a in update["attempts"]]
    if role == "generator":
        return [ImageMade.of(a, role) for a in attempts]
    checks = getattr(state, "checks", ())
    return [event for a in attempts for event in CheckAnswered.each(a, checks, role)] if role == "verifier" else []


def _decision(role: str, update: Mapping[str, Any], state: Any, models: ModelOptions) -> list[Event]:
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
    """Return what a run had used at a decision, and the limits of its settings.

    Args:
        result: the decision.
        models: the models' options, with their prices.
    """
    context, used, spent = settings_in(get_runtime().context), result.usage.total, money(result.usage, models)
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


def _noted(role: str, update: Mapping[str, Any], *_: Any) -> list[Event]:
    return [Noted(role=role, note=note) for note in update["notes"]]


_EVENTS_OF_FIELD: dict[str, Callable[..., list[Event]]] = {
    "skills": _skills_loaded,
    "lessons": _lessons_shown,
    "experiences": _experiences_written,
    "reviews": _person_said,
    "checks": _checks_written,
    "draft": _prompt_written,
    "attempts": _images_or_verdicts,
    "result": _decision,
    "notes": _noted,
}
"""Makes the events of a field of an update; they are emitted in this order."""
