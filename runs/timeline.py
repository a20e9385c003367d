"""What the checkpoints of a run tell beside its state: its steps with their times, and what the refiner was shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

from langgraph.checkpoint.base import CheckpointTuple

from ..context import RunContext
from ..graph.build import ROLES
from ..memory.state import GemsState, Usage
from ..nodes.refiner import shown_memory
from ..report.history import RefinerInput, Step

DRIVEN = "__interrupt__"
"""Where LangGraph notes what a run had seen when it was last gone on with, and what a step asks a person."""


def steps_of(history: Iterable[CheckpointTuple]) -> list[Step]:
    """Return the steps of a run, oldest first.

    A state that a person wrote (the first one of a fork, or an edit) is no step.

    Args:
        history: as a saver lists it, the latest first.
    """
    return [
        _step(before, after)
        for before, after in pairwise(_line(history))
        if after.metadata.get("source") == "loop" and "prompt" in before.checkpoint["channel_values"]
    ]


def shown_to_refiner(history: Iterable[CheckpointTuple], context: RunContext) -> list[RefinerInput]:
    """Return what GEMS' own refiner was shown each time, oldest first: made by its own function from the state it was given.

    Args:
        history: as a saver lists it, the latest first.
        context: the settings of the run.
    """
    found = []
    for before, after in pairwise(_line(history)):
        if "refiner" in _worked(before, after):
            state = _state(before)
            lessons = next((value for _, channel, value in before.pending_writes or () if channel == "lessons"), ())
            found.append(RefinerInput(state.round + 1, tuple(shown_memory(state, context, lessons))))
    return found


def _line(history: Iterable[CheckpointTuple]) -> list[CheckpointTuple]:
    """Return the checkpoints that led to the latest one, oldest first: a thread may have other branches."""
    line: list[CheckpointTuple] = []
    for one in history:
        if not line or one.checkpoint["id"] == ((line[-1].parent_config or {}).get("configurable") or {}).get("checkpoint_id"):
            line.append(one)
    return line[::-1]


def _step(before: CheckpointTuple, after: CheckpointTuple) -> Step:
    old, new = _state(before), _state(after)
    roles = _worked(before, after)
    began, ended = _when(before), _when(after)
    seconds = max(0.0, (ended - began).total_seconds())
    used = new.usage.since(old.usage)
    spent = Usage(roles={role: usage for role, usage in used.roles.items() if usage.calls or usage.images or usage.seconds})
    idle = max(0.0, seconds - spent.total.seconds) if _came_back(before, after) else 0.0
    return Step(new.round if "generator" in roles else old.round, roles, began, seconds, idle, spent)


def _came_back(before: CheckpointTuple, after: CheckpointTuple) -> bool:
    """Tell whether a step asked a person, or the run was gone on with before it: a state that was written is, at once."""
    if any(channel == DRIVEN for _, channel, _ in before.pending_writes or ()):
        return True
    was, now = (one.checkpoint["versions_seen"].get(DRIVEN) for one in (before, after))
    return was != now and before.metadata.get("source") == "loop"


def _worked(before: CheckpointTuple, after: CheckpointTuple) -> tuple[str, ...]:
    """Return the roles that took their turn between two checkpoints: those that have seen something new since."""
    if after.metadata.get("source") != "loop":
        return ()
    was, now = before.checkpoint["versions_seen"], after.checkpoint["versions_seen"]
    return tuple(role for role in ROLES if role in now and now[role] != was.get(role))


def _state(one: CheckpointTuple) -> GemsState:
    values = one.checkpoint["channel_values"]
    return GemsState.model_validate({name: values[name] for name in GemsState.model_fields if name in values})


def _when(one: CheckpointTuple) -> datetime:
    return datetime.fromisoformat(one.checkpoint["ts"]).astimezone(UTC)
