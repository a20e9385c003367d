"""SVG of a run in a terminal: `python docs/_ext/terminal.py docs/terminal.svg`."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMAND = 'gems run "three red circles above a blue square" --preset loop-memory --seed 2 --thread first'
WIDTH = 98
"""Columns of the terminal."""


def terminal_svg(command: str) -> str:
    """Run a `gems` command and return its output as SVG.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    # Rich prints colours as in a terminal, but no spinner.
    terminal = {"FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    call = [sys.executable, "-m", "gems.cli", *shlex.split(command)[1:]]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(call, cwd=folder, env={**os.environ, **terminal}, capture_output=True, check=True, text=True)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(f"[bold green]$[/] {command}", highlight=False, soft_wrap=True)
    console.print(Text.from_ansi(done.stdout))
    svg = console.export_svg(title="gems run", unique_id="gems")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # the font would be loaded from the network


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(terminal_svg(COMMAND), encoding="utf-8")
