"""The graphs of `langgraph.json`, without a checkpointer and a store: the server has its own."""

from __future__ import annotations

from typing import Any

from ..graph.build import Graph, build_graph
from ..runs.manifest import SERVER_GRAPH
from . import setup
from .pixel_verifier import pixel_verifier

_images = setup.image_store()

SWAPPED_ROLES = {"gems": (), "gems-pixels": ("verifier",)}
"""Roles that a graph of GEMS has swapped, by the id of the graph; the threads of these graphs are runs."""


def swapped_roles(graph: str) -> tuple[str, ...]:
    """Return the swapped roles of a graph, as the manifest of its runs has them."""
    return SWAPPED_ROLES.get(graph, (SERVER_GRAPH + graph,))


def graph_id_of(roles: tuple[str, ...]) -> str:
    """Return the id of the graph with these roles swapped, of the plain graph if there is none."""
    own = [role.removeprefix(SERVER_GRAPH) for role in roles if role.startswith(SERVER_GRAPH)]
    return next((graph for graph, swapped in SWAPPED_ROLES.items() if swapped == roles), own[0] if own else "gems")


def _server_graph(name: str, **swap: Any) -> Graph:
    built = build_graph(
        setup.models.chats,
        setup.models.image,
        skills=setup.skills,
        image_store=_images,
        prices=setup.models.options,
        context_schema=setup.Settings,
        **swap,
    )
    built.name = name  # the name of its assistant and MCP tool
    return built


graph = _server_graph("gems")
pixels = _server_graph("gems-pixels", verifier=pixel_verifier(_images))
