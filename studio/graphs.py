"""The graphs that `langgraph.json` names: without a checkpointer and a store, since the server brings those."""

from __future__ import annotations

from typing import Any

from ..graph.build import Graph, build_graph
from . import setup
from .pixels import pixel_verifier

_images = setup.images()

SWAPPED = {"gems": (), "gems-pixels": ("verifier",)}
"""The graphs whose threads are runs, and the roles that each has swapped."""


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
