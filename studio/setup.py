"""What the server works with, read from the environment as the command line reads it: models, skills, where runs live.

`GEMS_CONFIG` is a file as for `--config`; its settings of runs are the defaults that the forms show.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, create_model

from ..config import apply_options, load_config
from ..context import PROMPT_SETTINGS, RunContext, preset
from ..models.registry import Models
from ..nodes import decomposer, learner, planner, refiner, summarizer, verifier
from ..server.hosts import allowed_by
from ..skills import SkillLibrary
from ..storage.image_store import ImageStore
from ..storage.workspace import Workspace

BUILT_IN = {
    f"{file.__name__.rpartition('.')[2]}_prompt": file.SYSTEM
    for file in (planner, decomposer, verifier, summarizer, refiner, learner)
}
"""The texts that the roles are told where a run says nothing else."""

_told = {name: os.environ.get(f"GEMS_{name}") or None for name in ("CONFIG", "CHAT", "IMAGE", "RUNS", "STORE", "IMAGE_STORE")}

config = apply_options(load_config(_told["CONFIG"]), _told["CHAT"], _told["IMAGE"], None)
home = Workspace(Path(_told["RUNS"] or "runs"), store=_told["STORE"], image_store=_told["IMAGE_STORE"])
models = Models.choose(config.chats, config.image)
skills = SkillLibrary.load()
allowed_hosts = allowed_by(os.environ.get("GEMS_ALLOWED_HOSTS"))


def images() -> ImageStore:
    """Return the image store as the server's graphs write to it.

    Raises:
        CheckpointError: the store may be shared, and the database that says whose it is cannot be opened.
    """
    if not home.image_store:
        return home.images
    with home.database.open() as opened:
        return home.images_in(opened)


def form(defaults: RunContext) -> type[RunContext]:
    """Return the settings as a form shows them: with these defaults, and with the text that is built in for every prompt."""
    fields: dict[str, Any] = {}
    for name, field in RunContext.model_fields.items():
        value = getattr(defaults, name) or BUILT_IN[name] if name in PROMPT_SETTINGS else getattr(defaults, name)
        if value != field.default:
            same: Any = Field(value, description=field.description, json_schema_extra=field.json_schema_extra)
            fields[name] = (Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation, same)
    return create_model("RunContext", __base__=RunContext, **fields)


def plain(context: RunContext) -> RunContext:
    """Return settings without the prompts that are those built in, as a run's record keeps them."""
    told = {name: "" for name in PROMPT_SETTINGS if getattr(context, name).strip() == BUILT_IN[name].strip()}
    return RunContext(**{**context.model_dump(include=set(RunContext.model_fields)), **told})


Settings = form(preset(config.preset, **config.run))
"""The settings of a run on the server."""
