"""What the checkpoints of a run tell beside its state: its steps with their times, and what the refiner was shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from langgraph.types import StateSnapshot

from ..context import RunContext
from ..memory.state import GemsState, ImageRef, Usage
from ..nodes.refiner import memory_of

IDLE = 30.0
"""Seconds that no model accounts for, from which on a step was not at work all the time: the run was stopped meanwhile."""


class Step(NamedTuple):
    """One step of a run: the roles that took their turn at the same time."""

    round: int
    """The round it belongs to; 0 is the plan."""
    roles: tuple[str, ...]
    began: datetime
    """In UTC."""
    seconds: float
    """From the checkpoint before it to its own."""
    idle: float
    """Of these seconds, those in which a person was waited for, or the run was stopped."""
    usage: Usage
    """What its roles used."""

    @property
    def working(self) -> float:
        """The seconds it was at work."""
        return self.seconds - self.idle


class Shown(NamedTuple):
    """What the refiner was shown before it wrote a prompt."""

    round: int
    """The round that was drawn from the prompt."""
    parts: tuple[str | ImageRef, ...]
    """Texts and pictures in their order, without the standing instructions and skills."""


def steps_of(history: Iterable[StateSnapshot]) -> list[Step]:
    """Return the steps of a run, oldest first.

    A state that a person wrote (the first one of a fork, or an edit) is no step.

    Args:
        history: as `get_state_history` gives it, the latest first.
    """
    return [
        _step(before, after)
        for before, after in pairwise(_line(history))
        if (after.metadata or {}).get("source") == "loop" and before.values.get("prompt")
    ]


def shown_to_refiner(history: Iterable[StateSnapshot], context: RunContext) -> list[Shown]:
    """Return what GEMS' own refiner was shown each time, oldest first: made by its own function from the state it was given.

    Args:
        history: as `get_state_history` gives it, the latest first.
        context: the settings of the run.
    """
    found = []
    for snapshot in _line(history):
        for task in snapshot.tasks:
            if task.name == "refiner" and isinstance(task.result, dict):
                state = GemsState.model_validate(snapshot.values)
                parts = memory_of(state, context, task.result.get("lessons", ()))
                found.append(Shown(state.round + 1, tuple(parts)))
    return found


def _line(history: Iterable[StateSnapshot]) -> list[StateSnapshot]:
    """Return the checkpoints that led to the latest one, oldest first: a thread may have other branches."""
    line: list[StateSnapshot] = []
    for snapshot in history:
        if not line or _id(snapshot) == ((line[-1].parent_config or {}).get("configurable") or {}).get("checkpoint_id"):
            line.append(snapshot)
    return line[::-1]


def _id(snapshot: StateSnapshot) -> str | None:
    return (snapshot.config.get("configurable") or {}).get("checkpoint_id")


def _step(before: StateSnapshot, after: StateSnapshot) -> Step:
    old, new = GemsState.model_validate(before.values), GemsState.model_validate(after.values)
    roles = tuple(task.name for task in before.tasks)
    began, ended = _when(before), _when(after)
    seconds = max(0.0, (ended - began).total_seconds())
    used = new.usage.since(old.usage)
    spent = Usage(roles={role: usage for role, usage in used.roles.items() if usage.calls or usage.images or usage.seconds})
    rest = seconds - spent.total.seconds
    asked = "review" in roles and len(new.reviews) > len(old.reviews)
    idle = rest if asked or rest > max(IDLE, 3 * spent.total.seconds) else 0.0
    return Step(new.round if "generator" in roles else old.round, roles, began, seconds, max(0.0, idle), spent)


def _when(snapshot: StateSnapshot) -> datetime:
    return datetime.fromisoformat(snapshot.created_at or "").astimezone(UTC)
