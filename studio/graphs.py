"""The graphs that `langgraph.json` names: without a checkpointer and a store, since the server brings those."""

from __future__ import annotations

from typing import Any

from ..graph.build import Graph, build_graph
from ..runs.manifest import SERVER_GRAPH
from . import setup
from .pixel_verifier import pixel_verifier

_images = setup.images()

SWAPPED = {"gems": (), "gems-pixels": ("verifier",)}
"""The graphs of GEMS whose threads are runs, and the roles that each has swapped."""


def roles_of(graph: str) -> tuple[str, ...]:
    """Return the swapped roles that the record of a run of a graph names."""
    return SWAPPED.get(graph, (SERVER_GRAPH + graph,))


def graph_of(roles: tuple[str, ...]) -> str:
    """Return the graph that a run with these roles swapped is a thread of; the plain one where there is none."""
    own = [role.removeprefix(SERVER_GRAPH) for role in roles if role.startswith(SERVER_GRAPH)]
    return next((graph for graph, swapped in SWAPPED.items() if swapped == roles), own[0] if own else "gems")


def _graph(name: str, **swap: Any) -> Graph:
    built = build_graph(
        setup.models.chats,
        setup.models.image,
        skills=setup.skills,
        image_store=_images,
        prices=setup.models.options,
        context_schema=setup.Settings,
        **swap,
    )
    built.name = name  # it names the assistant and the MCP tool
    return built


graph = _graph("gems")
pixels = _graph("gems-pixels", verifier=pixel_verifier(_images))
