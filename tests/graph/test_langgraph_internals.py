"""What is read by private names of LangGraph, compared with what a real graph does: a failure says that an upgrade changed them."""

import operator
from typing import Annotated, NamedTuple, TypedDict

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from gems.graph import langgraph_internals as internals

CHANGED = "LangGraph has changed what graph/langgraph_internals.py reads by a private name: "
CONFIG = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    words: Annotated[list[str], operator.add]


class Settings(TypedDict):
    colour: str


class RecordingSaver(InMemorySaver):
    """Records the context of the run for which it is called."""

    def put(self, config, *args):
        self.context = internals.run_context(config)
        return super().put(config, *args)


class Run(NamedTuple):
    graph: object
    saver: RecordingSaver
    waiting: list  # checkpoints while it waits for an answer, the latest first
    done: list
    parts: list


@pytest.fixture(scope="module")
def run():
    """A run of two steps; the second one asks, is answered, and writes twice to one channel."""
    builder = StateGraph(State, context_schema=Settings)
    builder.add_node("first", lambda state: {"words": ["one"]})
    builder.add_node("asking", lambda state: [Command(update={"words": [interrupt("which?")]}), Command(update={"words": ["end"]})])
    builder.add_edge(START, "first")
    builder.add_edge("first", "asking")
    builder.add_edge("asking", END)
    saver = RecordingSaver()
    graph = builder.compile(checkpointer=saver)
    how = {"context": {"colour": "red"}, "stream_mode": "tasks", "version": "v2"}
    parts = [part["data"] for part in graph.stream({"words": []}, CONFIG, **how)]
    waiting = list(saver.list(CONFIG))
    parts += [part["data"] for part in graph.stream(Command(resume="two"), CONFIG, **how)]
    assert graph.get_state(CONFIG).values == {"words": ["one", "two", "end"]}
    return Run(graph, saver, waiting, list(saver.list(CONFIG)), parts)


def test_a_question_is_read_while_it_waits_and_not_after_its_answer(run):
    assert internals.pending_question(run.waiting[0]) == "which?", CHANGED + "__interrupt__"
    assert [internals.pending_question(checkpoint) for checkpoint in run.done] == [None] * len(run.done), CHANGED + "__resume__"


def test_the_next_node_and_the_nodes_of_a_graph_are_read_from_its_checkpoints(run):
    assert internals.has_next_node(run.waiting[0]), CHANGED + "branch:to:"
    assert not internals.has_next_node(run.done[0]), CHANGED + "branch:to:"
    names = ("first", "asking", "other")
    assert [internals.has_node(run.done[0].checkpoint, name) for name in names] == [True, True, False], CHANGED + "branch:to:"


def test_the_nodes_of_each_step_and_a_pause_are_read_from_the_versions_that_they_have_seen(run):
    last, before, start = run.done[:3]
    assert internals.nodes_between(start, before) == {"first"}, CHANGED + "versions_seen"
    assert "asking" in internals.nodes_between(before, last), CHANGED + "versions_seen"
    assert internals.has_paused(before, last), CHANGED + "__interrupt__ in pending_writes"
    assert internals.has_paused(before._replace(pending_writes=[]), last), CHANGED + "__interrupt__ in versions_seen"
    assert not internals.has_paused(start, before), CHANGED + "__interrupt__ in versions_seen"


def test_a_saver_reads_the_context_of_the_run_that_calls_it(run):
    assert run.saver.context == {"colour": "red"}, CHANGED + "__pregel_runtime"
    run.graph.update_state(run.done[0].config, {"words": ["more"]})
    assert run.saver.context is None, CHANGED + "__pregel_runtime"


def test_what_a_task_has_written_is_read_from_the_stream_of_tasks(run):
    results = {part["name"]: part["result"] for part in run.parts if "result" in part}
    assert internals.channel_writes(results["first"], "words") == [["one"]], CHANGED + "result"
    assert internals.channel_writes(results["asking"], "words") == [["two"], ["end"]], CHANGED + "$writes"
    assert internals.channel_writes(results["asking"], "other") == []


def test_a_graph_has_a_limit_of_steps_of_its_own():
    builder = StateGraph(State)
    builder.add_node("count", lambda state: {"words": ["more"]})
    builder.add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: "count" if len(state["words"]) < 40 else END, ["count", END])
    graph = builder.compile()
    outer = RunnableLambda(lambda _: graph.invoke({"words": []}))  # passes on LangChain's limit of 25
    with pytest.raises(GraphRecursionError):
        outer.invoke(None)
    internals.set_recursion_limit(graph, 50)
    assert len(outer.invoke(None)["words"]) == 40, CHANGED + "config"
