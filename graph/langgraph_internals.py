"""What GEMS reads of checkpoints by names that are private to LangGraph: the one place to check when LangGraph is upgraded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple

NEXT_NODE = "branch:to:"
"""Prefix of the channels that trigger a node."""
INTERRUPT, RESUME = "__interrupt__", "__resume__"
"""Channels of a question to a person and of its answer; `versions_seen` also has what a run had seen when it was last resumed."""

_SEVERAL = "$writes"


def pending_question(checkpoint: CheckpointTuple) -> Any:
    """Return the question that the last step asks and nobody has answered yet; None if there is none."""
    writes = checkpoint.pending_writes or ()
    answered = {task for task, channel, _ in writes if channel == RESUME}
    questions = [value for task, channel, value in writes if channel == INTERRUPT and task not in answered]
    return questions[0][0].value if questions else None


def has_next_node(checkpoint: CheckpointTuple) -> bool:
    """Return whether a node is to run next."""
    return any(channel.startswith(NEXT_NODE) for channel in checkpoint.checkpoint["channel_values"])


def nodes_between(before: CheckpointTuple, after: CheckpointTuple) -> set[str]:
    """Return the nodes that ran between two checkpoints: those that have seen new channel versions."""
    old, new = before.checkpoint["versions_seen"], after.checkpoint["versions_seen"]
    return {node for node in new if new[node] != old.get(node)}


def has_paused(before: CheckpointTuple, after: CheckpointTuple) -> bool:
    """Return whether a step asked a person, or its run was resumed before it. A state written from outside is no pause."""
    if any(channel == INTERRUPT for _, channel, _ in before.pending_writes or ()):
        return True
    old, new = (item.checkpoint["versions_seen"].get(INTERRUPT) for item in (before, after))
    return old != new and before.metadata.get("source") == "loop"


def channel_writes(result: Mapping[str, Any], channel: str) -> list[Any]:
    """Return what a task has written to a channel, from its result in the stream of tasks: a dict stands for several writes."""
    value = result.get(channel, {_SEVERAL: []})
    return list(value[_SEVERAL]) if isinstance(value, dict) and value.keys() == {_SEVERAL} else [value]
