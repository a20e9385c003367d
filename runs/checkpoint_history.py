"""Read from the checkpoints of a run its steps with their times, and what the refiner was shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

from langgraph.checkpoint.base import CheckpointTuple

from ..context import RunContext
from ..graph.build import ROLES
from ..graph.langgraph_internals import has_paused, nodes_between
from ..memory.state import GemsState, Usage
from ..nodes.refiner import shown_memory
from ..report.history import RefinerInput, Step


def steps_of(history: Iterable[CheckpointTuple]) -> list[Step]:
    """Return the steps of a run, oldest first.

    A state that was written from outside (the first one of a fork, or an edit) is no step.

    Args:
        history: checkpoints as a saver lists them, the latest first.
    """
    return [
        _step_between(before, after)
        for before, after in pairwise(_latest_branch(history))
        if after.metadata.get("source") == "loop" and "prompt" in before.checkpoint["channel_values"]
    ]


def shown_to_refiner(history: Iterable[CheckpointTuple], context: RunContext) -> list[RefinerInput]:
    """Return what the built-in refiner was shown each time, oldest first, rendered again from the state it was given.

    Args:
        history: checkpoints as a saver lists them, the latest first.
        context: the settings of the run.
    """
    inputs = []
    for before, after in pairwise(_latest_branch(history)):
        if "refiner" in _roles_between(before, after):
            state = _state_at(before)
            lessons = next((value for _, channel, value in before.pending_writes or () if channel == "lessons"), ())
            inputs.append(RefinerInput(state.round + 1, tuple(shown_memory(state, context, lessons))))
    return inputs


def _latest_branch(history: Iterable[CheckpointTuple]) -> list[CheckpointTuple]:
    """Return the ancestors of the latest checkpoint and itself, oldest first: a thread may have other branches."""
    branch: list[CheckpointTuple] = []
    for item in history:
        if not branch or item.checkpoint["id"] == ((branch[-1].parent_config or {}).get("configurable") or {}).get("checkpoint_id"):
            branch.append(item)
    return branch[::-1]


def _step_between(before: CheckpointTuple, after: CheckpointTuple) -> Step:
    old, new = _state_at(before), _state_at(after)
    roles = _roles_between(before, after)
    began, ended = _time_of(before), _time_of(after)
    seconds = max(0.0, (ended - began).total_seconds())
    used = new.usage.since(old.usage)
    spent = Usage(roles={role: usage for role, usage in used.roles.items() if usage.calls or usage.images or usage.seconds})
    idle = max(0.0, seconds - spent.total.seconds) if has_paused(before, after) else 0.0
    return Step(new.round if "generator" in roles else old.round, roles, began, seconds, idle, spent)


def _roles_between(before: CheckpointTuple, after: CheckpointTuple) -> tuple[str, ...]:
    """Return the roles that ran between two checkpoints, in the order of `ROLES`."""
    if after.metadata.get("source") != "loop":
        return ()
    nodes = nodes_between(before, after)
    return tuple(role for role in ROLES if role in nodes)


def _state_at(item: CheckpointTuple) -> GemsState:
    values = item.checkpoint["channel_values"]
    return GemsState.model_validate({name: values[name] for name in GemsState.model_fields if name in values})


def _time_of(item: CheckpointTuple) -> datetime:
    return datetime.fromisoformat(item.checkpoint["ts"]).astimezone(UTC)
