"""Build the graph: its roles, and the edges between them. Each role is in its own file in nodes/."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore

from ..context import RunContext
from ..errors import NodeError
from ..memory.state import GemsState, Request
from ..models.options import ModelOptions
from ..models.registry import ChatChoices, ImageChoice, Models
from ..nodes.checks.checkers import Checker, installed_checkers, require_checkers
from ..nodes.decomposer import decomposer
from ..nodes.generator import generator
from ..nodes.learner import learner
from ..nodes.planner import planner
from ..nodes.refiner import refiner
from ..nodes.review import review
from ..nodes.selector import selector
from ..nodes.skill_loader import skill_loader
from ..nodes.summarizer import summarizer
from ..nodes.verifier import verifier
from ..skills import SkillLibrary
from ..storage.image_store import ImageStore
from .langgraph_internals import check_before_write, set_recursion_limit
from .node_updates import check_update
from .routing import after_planner, after_refiner, after_review, at_start

ROLES = (
    *("planner", "load_skill", "decomposer", "review", "generator"),
    *("verifier", "selector", "summarizer", "refiner", "learner"),
)

REVIEW_ROUTES: dict[Hashable, str] = {
    **{"accept": "learner", "give up": "learner", "refine": "summarizer"},
    **{"generate": "generator", "rewrite": "refiner", "verify again": "verifier", "decide again": "selector"},
}
"""Node that each outcome of the review leads to."""

RECURSION_LIMIT = 100_000
"""LangGraph's limit of steps, which no run reaches: rounds are limited by our own budget."""

Graph = CompiledStateGraph[GemsState, RunContext, Any, GemsState]  # the input: a Request or a dict of its fields


def require_nodes(nodes: Mapping[str, Any]) -> None:
    """Refuse nodes of roles that do not exist, and what LangGraph does not take as a node.

    Raises:
        NodeError: for the first of them.
    """
    if unknown := sorted(set(nodes) - set(ROLES)):
        raise NodeError(f"unknown role {', '.join(unknown)}: the roles are {', '.join(ROLES)}")
    for role, node in nodes.items():
        try:
            StateGraph(GemsState).add_node(role, node)
        except (TypeError, RuntimeError) as error:  # the latter for None
            msg = f"the role {role} is swapped for {node!r}, which is no node: give a function, an object or a graph"
            raise NodeError(msg) from error


def build_graph(
    chat: ChatChoices = "shapes",
    image: ImageChoice = "shapes",
    *,
    skills: SkillLibrary | Sequence[Path | str] | None = None,
    image_store: ImageStore | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    store: BaseStore | None = None,
    checkers: Sequence[Checker] | None = None,
    prices: ModelOptions | None = None,
    context_schema: type[RunContext] = RunContext,
    **swap: Any,
) -> Graph:
    """Build the graph of GEMS.

    Args:
        chat: the chat model of all roles, its spec such as "openai:gpt-5.2", or its options; or a dict of these by role,
            with "default" for the roles that it does not name: {"default": "openai:gpt-5.2", "verifier": my_model}.
        image: the image model, its spec such as "diffusers:Tongyi-MAI/Z-Image-Turbo", or its options.
        skills: what the planner may load: a library, or folders of skills beside the bundled ones.
        image_store: where images are stored; `runs/images` by default.
        checkpointer: LangGraph's saver; None by default, as LangGraph Studio needs it.
        store: LangGraph's store, for what outlasts a run, such as its lessons; None by default.
        prices: options with the prices of the models, for a budget of money; those of `chat` and `image` by default.
        context_schema: settings with other defaults, for forms; `RunContext` by default.
        checkers: what answers some kinds of checks in place of the verifier, such as OCR for text; the installed ones by
            default. `RunContext.checkers` turns them off for a run.
        **swap: nodes of your own by role: planner, load_skill, decomposer, review, generator, verifier, selector,
            summarizer, refiner, learner. A node is whatever LangGraph takes as one: a function of the state (and the
            runtime), an object with `__call__`, or a compiled graph (whose `output_schema` names only what it changes).
            It returns a partial update of `GemsState`.

    Raises:
        NodeError: a role to be swapped does not exist, or is swapped for what is no node.
        ModelSpecError: a model's spec is not understood.
        CheckerError: an object is no checker, or names a kind of checks that does not exist.

    Example:
        ```python
        def plain_refiner(state: gems.GemsState) -> dict[str, object]:
            return {"draft": f"{state.prompt}, in full view", "thought": "Show all of it."}

        graph = gems.build_graph(refiner=plain_refiner)
        result = graph.invoke({"prompt": "a red circle"}, context=gems.preset("default"))
        ```
    """
    require_nodes(swap)
    chats, image_model, options = Models.choose(chat, image)
    skills = SkillLibrary.of(skills)
    images = ImageStore("runs/images") if image_store is None else image_store
    checkers = installed_checkers() if checkers is None else require_checkers(checkers)

    nodes = {
        "planner": planner(chats["planner"], skills),
        "load_skill": skill_loader(skills),
        "decomposer": decomposer(chats["decomposer"]),
        "review": review(),
        "generator": generator(image_model, images),
        "verifier": verifier(chats["verifier"], images.read, checkers),
        "selector": selector(prices or options),
        "summarizer": summarizer(chats["summarizer"], images.read),
        "refiner": refiner(chats["refiner"], skills, images.read, image_model),
        "learner": learner(chats["learner"]),
    } | swap

    graph = StateGraph(GemsState, context_schema=context_schema, input_schema=Request)
    for name, node in nodes.items():
        joins_branches = name == "review"  # it waits for the planner's branch and the decomposer's
        graph.add_node(name, node, defer=joins_branches, metadata={"swapped": True} if name in swap else None)
    graph.add_conditional_edges(START, at_start, ["planner", "decomposer"])
    graph.add_conditional_edges("planner", after_planner)
    graph.add_edge("load_skill", "planner")
    graph.add_edge("decomposer", "review")
    graph.add_conditional_edges("review", after_review, REVIEW_ROUTES)
    graph.add_edge("generator", "verifier")
    graph.add_edge("verifier", "selector")
    graph.add_edge("selector", "review")
    graph.add_edge("summarizer", "refiner")
    graph.add_conditional_edges("refiner", after_refiner)
    graph.add_edge("learner", END)
    compiled = graph.compile(checkpointer=checkpointer, store=store, name="gems")
    for name, node in swap.items():
        check_before_write(compiled, name, partial(check_update, name, other_fields=isinstance(node, Pregel)))
    set_recursion_limit(compiled, RECURSION_LIMIT)  # in a tool LangChain would pass on one of 25 steps, which five rounds exceed
    return compiled
