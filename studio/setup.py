"""Models, skills and workspace of LangGraph's server, read from the environment when this module is imported.

The server imports the graphs by name and calls nothing first, so all of it is made at import. `GEMS_CONFIG` is a file as for
`--config`; its settings of runs are the defaults of the forms.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, create_model

from ..config import Environment, load_config
from ..context import PROMPT_SETTINGS, RunContext, preset
from ..models.registry import Models
from ..nodes import decomposer, learner, planner, refiner, summarizer, verifier
from ..runs.client import Gems
from ..server.origin_check import parse_allowed_hosts
from ..skills import SkillLibrary
from ..storage.image_store import ImageStore
from ..storage.workspace import Workspace

BUILT_IN_PROMPTS = {
    f"{file.__name__.rpartition('.')[2]}_prompt": file.SYSTEM
    for file in (planner, decomposer, verifier, summarizer, refiner, learner)
}
"""The system prompts of the roles, by the setting that replaces each."""

environment = Environment()
config = load_config(environment.config, environment.chat, environment.image)
workspace = Workspace(environment.runs, store=environment.store, image_store=environment.image_store)
models = Models.choose(config.chats, config.image)
skills = SkillLibrary.load()
client = Gems(config.chats, config.image, runs=workspace, skills=skills)
allowed_hosts = parse_allowed_hosts(environment.allowed_hosts)


def image_store() -> ImageStore:
    """Return the image store that the server's graphs write to.

    Raises:
        CheckpointError: the store may be shared, and the database, whose id separates its runs, cannot be opened.
    """
    if not workspace.image_store:
        return workspace.images
    with workspace.database.open() as connection:
        return workspace.images_for(connection)


def settings_form(defaults: RunContext) -> type[RunContext]:
    """Return the model of the settings with these defaults, and the built-in text as the default of each prompt."""
    fields: dict[str, Any] = {}
    for name, field in RunContext.model_fields.items():
        value = getattr(defaults, name) or BUILT_IN_PROMPTS[name] if name in PROMPT_SETTINGS else getattr(defaults, name)
        if value != field.default:
            changed_field: Any = Field(value, description=field.description, json_schema_extra=field.json_schema_extra)
            fields[name] = (Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation, changed_field)
    return create_model("RunContext", __base__=RunContext, **fields)


def without_built_in_prompts(context: RunContext) -> RunContext:
    """Return settings with prompts that equal the built-in ones left empty, as a run's manifest has them."""
    empty = {name: "" for name in PROMPT_SETTINGS if getattr(context, name).strip() == BUILT_IN_PROMPTS[name].strip()}
    return RunContext(**{**context.model_dump(include=set(RunContext.model_fields)), **empty})


Settings = settings_form(preset(config.preset, **config.run))
"""The context schema of the server's graphs."""
