"""Saved settings: the presets as assistants of the server."""

from __future__ import annotations

import uuid
from typing import Any

from langgraph_sdk.client import LangGraphClient

from ..context import ABOUT, PRESETS, RunContext, preset
from ..runs.manifest import STUDIO_NAMESPACE
from . import setup


def differing(context: RunContext) -> dict[str, Any]:
    """Return the settings that are not as the forms show them by default, for an assistant or a run."""
    shown = setup.plain(setup.Settings())
    return {name: value for name, value in context.model_dump().items() if value != getattr(shown, name)}


async def offer_presets(client: LangGraphClient) -> None:
    """Make each preset an assistant of the graph, or bring it up to date; done again, it changes nothing."""
    for name in PRESETS:
        context, about = differing(preset(name, **setup.config.run)), ABOUT[name]  # the file's settings go over any preset
        id = str(uuid.uuid5(STUDIO_NAMESPACE, f"preset/{name}"))
        made = await client.assistants.create(
            "gems", assistant_id=id, name=f"gems {name}", description=about, context=context, if_exists="do_nothing"
        )
        if made.get("context") != context or made.get("description") != about:
            await client.assistants.update(id, context=context, description=about)
