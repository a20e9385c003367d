"""The command `gems graph`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..terminal import echo
from .options import path_option


def graph_command(
    out: Annotated[Path | None, path_option(help="File to write; by default standard output.")] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Write Mermaid text instead of SVG.")] = False,
) -> None:
    """Draw the graph of roles and their order, as the code defines it."""
    from langgraph.checkpoint.memory import InMemorySaver

    from ..graph.build import build_graph
    from ..graph.graph_svg import draw

    graph = build_graph(checkpointer=InMemorySaver())  # a run has one, in its database
    text = graph.get_graph().draw_mermaid() if mermaid else draw(graph)
    if out is None:
        echo(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
