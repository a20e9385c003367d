"""The command `gems graph`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..terminal import echo
from .options import path_option

BOX, INK, EDGE, LINE = "#f2f0ff", "#1f2328", "#8250df", "#818698"
"""Colours that can be read on light and on dark pages: of boxes, text, the edges of boxes, and the lines between them."""


def graph_command(
    out: Annotated[Path | None, path_option(help="File to write, .mmd or .md; by default standard output.")] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Write Mermaid text, which is the default.")] = True,
) -> None:
    """Write the graph of roles and their order as Mermaid text, which GitHub, JupyterLab and mermaid.live draw."""
    if out is None:
        echo(mermaid_text(), end="")
    elif out.suffix == ".mmd":
        out.write_text(mermaid_text(), encoding="utf-8")
    elif out.suffix == ".md":
        out.write_text(f"```mermaid\n{mermaid_text()}```\n", encoding="utf-8")
    else:
        raise typer.BadParameter(f"--out {out}: the graph is Mermaid text, for a .mmd or .md; mermaid.live makes pictures of it")


def mermaid_text() -> str:
    """Return the graph as LangGraph draws it in Mermaid's language."""
    from langchain_core.runnables.graph import CurveStyle, NodeStyles

    from ..graph.build import build_graph

    end = f"fill:#ddd6fe,color:{INK},stroke:{EDGE}"
    styles = NodeStyles(default=f"fill:{BOX},color:{INK},stroke:{EDGE}", first=end, last=end)
    colors = {"lineColor": LINE, "edgeLabelBackground": BOX, "textColor": INK}
    config = {"theme": "base", "themeVariables": colors, "flowchart": {"nodeSpacing": 30, "rankSpacing": 28}}
    graph = build_graph().get_graph()
    return graph.draw_mermaid(curve_style=CurveStyle.BASIS, node_colors=styles, frontmatter_config={"config": config})
