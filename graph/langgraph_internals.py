"""What GEMS reads by names that are private to LangGraph. Its test compares it with what a real graph does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple
from langgraph.graph.state import CompiledStateGraph

NEXT_NODE = "branch:to:"
"""Prefix of the channels that trigger a node."""
INTERRUPT, RESUME = "__interrupt__", "__resume__"
"""Channels of a question to a person and of its answer; `versions_seen` also has what a run had seen when it was last resumed."""
RUNTIME = "__pregel_runtime"
"""Key in a config for the runtime of a run."""
SEVERAL_WRITES = "$writes"
"""Key in a task's result for the writes to one channel, if there are several."""


def pending_question(checkpoint: CheckpointTuple) -> Any:
    """Return the question that the last step asks and nobody has answered yet; None if there is none."""
    writes = checkpoint.pending_writes or ()
    answered = {task for task, channel, _ in writes if channel == RESUME}
    questions = [value for task, channel, value in writes if channel == INTERRUPT and task not in answered]
    return questions[0][0].value if questions else None


def has_next_node(checkpoint: CheckpointTuple) -> bool:
    """Return whether a node is to run next."""
    return any(channel.startswith(NEXT_NODE) for channel in checkpoint.checkpoint["channel_values"])


def has_node(checkpoint: Checkpoint, node: str) -> bool:
    """Return whether a node of this name is to run or has run in the graph of a checkpoint."""
    return f"{NEXT_NODE}{node}" in checkpoint["channel_versions"]


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


def run_context(config: RunnableConfig) -> Any:
    """Return the context of the run for which a saver is called with a config; None if it is called outside of a run."""
    return getattr(config["configurable"].get(RUNTIME), "context", None)


def channel_writes(result: Mapping[str, Any], channel: str) -> list[Any]:
    """Return what a task has written to a channel, from its result in LangGraph's stream of tasks."""
    if channel not in result:
        return []
    value = result[channel]
    return list(value[SEVERAL_WRITES]) if isinstance(value, dict) and value.keys() == {SEVERAL_WRITES} else [value]


class _CheckOfUpdate(Runnable[Any, Any]):
    """Passes an update on once `check` has let it through. LangGraph needs it hashable, which a `RunnableLambda` is not."""

    def __init__(self, check: Callable[[Any], None]) -> None:
        self.check = check

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        self.check(input)
        return input


def check_before_write(graph: CompiledStateGraph[Any, Any, Any, Any], node: str, check: Callable[[Any], None]) -> None:
    """Call `check` with each update of a node before it is written to the state: its error is one of the node."""
    old = graph.nodes[node]
    graph.nodes[node] = old.copy({"writers": [_CheckOfUpdate(check), *old.writers]})


def set_recursion_limit(graph: CompiledStateGraph[Any, Any, Any, Any], limit: int) -> None:
    """Set a graph's own limit of steps. The copy that `with_config` makes would return its output as a dict, not as a state."""
    graph.config = {"recursion_limit": limit}
