"""The command `gems presets`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ..terminal import Console, echo
from .options import AsJson


def presets_command(
    checks: Annotated[int, typer.Option(min=1, help="How many checks of a request to reckon with.")] = 8,
    as_json: AsJson = False,
) -> None:
    """List the presets: what each is, and what it may take."""
    from .estimates import presets_table, presets_told

    if as_json:
        echo(json.dumps(presets_told(checks), indent=1, ensure_ascii=False))
    else:
        Console().print(presets_table(checks))
