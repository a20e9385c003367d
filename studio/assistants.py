"""The presets as assistants of LangGraph's server."""

from __future__ import annotations

import uuid
from typing import Any

from langgraph_sdk.client import LangGraphClient

from ..context import ABOUT, PRESETS, RunContext, preset
from ..runs.manifest import STUDIO_NAMESPACE
from . import setup


def changed_settings(context: RunContext) -> dict[str, Any]:
    """Return the settings that differ from the defaults of the forms."""
    defaults = setup.without_built_in_prompts(setup.Settings())
    return {name: value for name, value in context.model_dump().items() if value != getattr(defaults, name)}


async def create_preset_assistants(client: LangGraphClient) -> None:
    """Create or update an assistant of the graph for each preset."""
    for name in PRESETS:
        # Settings of the configuration file override every preset.
        context, about = changed_settings(preset(name, **setup.config.run)), ABOUT[name]
        id = str(uuid.uuid5(STUDIO_NAMESPACE, f"preset/{name}"))
        assistant = await client.assistants.create(
            "gems", assistant_id=id, name=f"gems {name}", description=about, context=context, if_exists="do_nothing"
        )
        if assistant.get("context") != context or assistant.get("description") != about:
            await client.assistants.update(id, context=context, description=about)
