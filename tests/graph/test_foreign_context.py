"""The graph as a part of other graphs, which have a context of their own or none."""

from dataclasses import dataclass, field
from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic import BaseModel

from gems import GemsError, ImageStore, RunContext, build_graph, preset
from gems.context import settings_in


@dataclass
class Plain:
    user: str = "me"
    seed: str = "of a plant"  # a name that one of our settings has


class Model(BaseModel):
    plan: int = 7


class Typed(TypedDict):
    max_rounds: str
    user: str


@dataclass
class Naming:
    gems: Any = field(default_factory=lambda: {"max_images": 1, "preset": None})


class Outer(TypedDict):
    prompt: str
    result: Any
    attempts: Any


CONTEXTS = [
    (Plain, Plain()),
    (Model, Model()),
    (Typed, {"max_rounds": "many", "user": "me"}),
    (dict, {"colour": "red"}),
    (None, None),
]


@pytest.fixture
def graph(make_sketcher, tmp_path):
    return build_graph(image=make_sketcher(1.0), image_store=ImageStore(tmp_path))


def drawn_by(node, schema, context):
    outer = StateGraph(Outer, context_schema=schema)
    outer.add_node("draw", node)
    outer.add_edge(START, "draw")
    outer.add_edge("draw", END)
    return outer.compile().invoke({"prompt": "two red circles"}, context=context)


@pytest.mark.parametrize(("schema", "context"), CONTEXTS, ids=["dataclass", "pydantic", "typed dict", "dict", "none"])
def test_as_a_node_of_a_graph_with_another_context_it_has_the_default_settings(graph, schema, context):
    out = drawn_by(graph, schema, context)
    assert out["result"].decision == "give up"
    assert out["result"].round == RunContext().max_rounds == 5


def test_called_in_a_node_it_has_the_default_settings_or_those_it_is_given(graph):
    for given, rounds in ({}, 5), ({"context": preset("loop", max_rounds=2)}, 2), ({"context": {"max_rounds": 3}}, 3):
        out = drawn_by(lambda state, given=given: graph.invoke({"prompt": state["prompt"]}, **given), Plain, Plain())
        assert out["result"].round == rounds


def test_called_in_a_tool_it_has_the_default_settings(graph):
    @tool
    def draw(prompt: str) -> str:
        """Draw."""
        return f"round {graph.invoke({'prompt': prompt})['result'].round}"

    outer = StateGraph(MessagesState, context_schema=Plain)
    outer.add_node("tools", ToolNode([draw]))
    outer.add_edge(START, "tools")
    call = AIMessage("", tool_calls=[{"name": "draw", "args": {"prompt": "two red circles"}, "id": "1"}])
    out = outer.compile().invoke({"messages": [call]}, context=Plain())
    assert out["messages"][-1].content == "round 5"


@pytest.mark.parametrize(
    ("schema", "context"),
    [
        (Naming, Naming(preset("loop", max_rounds=2))),
        (Naming, Naming({"max_rounds": 2})),
        (dict, {"user": "me", "gems": {"max_rounds": 2}}),
        (dict, {"max_rounds": 2}),
        (RunContext, RunContext(max_rounds=2)),
    ],
)
def test_a_context_of_another_graph_can_name_our_settings(graph, schema, context):
    assert drawn_by(graph, schema, context)["result"].round == 2


def test_settings_that_are_named_and_wrong_are_refused(graph):
    with pytest.raises(GemsError, match="setting preset: there is no such setting"):
        drawn_by(graph, Naming, Naming())
    with pytest.raises(GemsError, match="setting max_rounds: Input should be greater"):
        settings_in({"max_rounds": 0})
