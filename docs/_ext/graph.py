"""The picture of the graph, from the text of `gems graph`: `python docs/_ext/graph.py MERMAID_JS docs/graph.svg`.

`MERMAID_JS` is `package/dist/mermaid.min.js` of `npm pack mermaid`. Chromium draws, without a network.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from html import escape
from pathlib import Path

from playwright.sync_api import sync_playwright

from gems.commands.graph import mermaid_text

DRAW = "async text => new XMLSerializer().serializeToString(await draw(text))"
SCRIPT = """
async function draw(text) {
  mermaid.initialize({startOnLoad: false, flowchart: {useMaxWidth: false}});
  document.body.innerHTML = (await mermaid.render("gems-graph", text)).svg;
  return document.querySelector("svg");
}
"""


def graph_svg(mermaid_js: str, text: str) -> str:
    """Return Mermaid text as SVG; its `metadata` has the text."""
    browser_path = os.environ.get("GEMS_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser_path).new_page()
        page.add_script_tag(path=mermaid_js)
        page.add_script_tag(content=SCRIPT)
        svg: str = page.evaluate(DRAW, text)
    start = svg.index(">") + 1
    rounded = re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}", svg[start:])
    return f"{svg[:start]}<metadata>{escape(text)}</metadata>{rounded}\n"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(graph_svg(sys.argv[1], mermaid_text()), encoding="utf-8")
