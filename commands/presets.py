"""The command `gems presets`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ..terminal import Console, echo
from .options import AsJson
from .signature import command


@command
def presets_command(
    checks: Annotated[int, typer.Option(min=1, help="Number of checks to assume for a request.")] = 8,
    as_json: AsJson = False,
) -> None:
    """List the presets, with the chat calls and images that each may use."""
    from .estimates import preset_estimates, presets_table

    if as_json:
        echo(json.dumps(preset_estimates(checks), indent=1, ensure_ascii=False))
    else:
        Console().print(presets_table(checks))
