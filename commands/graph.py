"""The command `gems graph`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..terminal import echo
from .options import path_option


def graph_command(
    out: Annotated[Path | None, path_option(help="File to write it to; standard output by default.")] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Mermaid text instead of an SVG picture.")] = False,
) -> None:
    """Draw the graph from the code: its roles and who follows whom."""
    from ..graph.build import build_graph
    from ..graph.graph_svg import draw

    graph = build_graph()
    drawn = graph.get_graph().draw_mermaid() if mermaid else draw(graph)
    if out is None:
        echo(drawn, end="")
    else:
        out.write_text(drawn, encoding="utf-8")
