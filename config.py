"""The file behind `--config`: models by role, how they are called, and the settings of runs.

```toml
preset = "default"

[chat]                                        # every role
model = "http://localhost:30000/v1#kimi-k2.5"
thinking = true

[roles.verifier]                              # this role only
model = "http://localhost:30001/v1#Qwen3-VL-8B-Instruct"
thinking = false

[image]
model = "diffusers:Tongyi-MAI/Z-Image-Turbo"
set = { num_inference_steps = 9 }

[judge]                                       # of `gems eval`; better another model than the verifier
model = "http://localhost:30002/v1#Qwen3-VL-8B-Instruct"

[run]
max_rounds = 4
```
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .context import RunContext
from .errors import ConfigError, what_is_wrong
from .frozen_model import Frozen
from .models.options import CHAT_ROLES, ChatOptions, ImageOptions, ModelOptions
from .models.registry import CUSTOM, LOCAL_FOLDER

Tables = dict[str, Any]
"""Tables of a file by name, of which only the names of roles are validated."""


class Environment(BaseSettings):
    """The variables `GEMS_...` that stand for options of commands; an empty one is not set."""

    model_config = SettingsConfigDict(env_prefix="GEMS_", env_ignore_empty=True, frozen=True)

    config: Path | None = None
    chat: str | None = None
    image: str | None = None
    runs: Path = Path("runs")
    store: str | None = None
    image_store: str | None = None
    allowed_hosts: str = ""


class Config(Frozen):
    """A configuration file. What it leaves out has the defaults of the options' types."""

    preset: str = "default"
    chat: ChatOptions = ChatOptions()
    roles: dict[str, ChatOptions] = {}
    image: ImageOptions = ImageOptions()
    judge: ChatOptions | None = Field(default=None, description="Model that scores images in `gems eval`.")
    run: dict[str, Any] = Field(default={}, description="Settings of `RunContext` that differ from the preset.")

    @property
    def chats(self) -> dict[str, ChatOptions]:
        """The chat models as `run` and `build_graph` take them."""
        return {"default": self.chat, **self.roles}

    @property
    def models(self) -> ModelOptions:
        """All models of a run."""
        return ModelOptions(chat=self.chat, roles=self.roles, image=self.image)


def load_config(
    path: Path | str | None = None,
    chat: str | None = None,
    image: str | None = None,
    call: Sequence[str] = (),
    image_options: Mapping[str, Any] | None = None,
) -> Config:
    """Read a configuration file, and change it by the options of the command line.

    A role without a model of its own uses the model of `[chat]` with the role's changes. A role that names a model starts
    from the defaults, so that no key or option meant for one endpoint reaches another.

    Args:
        path: the file; without one, the defaults are changed.
        chat: the spec of another chat model, for all roles without a model of their own.
        image: the spec of another image model. With `card`, a rehearsal, the chat model is `random` where none is named.
        call: options of the image model's call, each as `key=value`; a value is a TOML value, or else text.
        image_options: options of the image model's backend; None changes nothing.

    Raises:
        ConfigError: the file is missing or is not TOML, a name is unknown, or a value is out of bounds.
        ModelSpecError: the image model has no such option.
    """
    tables = {} if path is None else _read_toml(path)
    config = _validate(path, _with_models(tables, chat, image, ModelOptions()))
    try:
        RunContext(**config.run)
    except ValidationError as error:
        raise ConfigError(f"{path}: run.{what_is_wrong(error, RunContext.model_fields)}") from error
    changes = {name: value for name, value in (image_options or {}).items() if value is not None}
    if call:
        changes["call"] = {**config.image.model_dump().get("call", {}), **dict(_parse_option(pair) for pair in call)}
    try:
        return config.model_copy(update={"image": config.image.with_changes(**changes)}) if changes else config
    except ValidationError as error:
        raise ConfigError(f"--{what_is_wrong(error, ImageOptions.model_fields)}") from error


def models_for_resume(
    path: Path | str, recorded: ModelOptions, chat: str | None, image: str | None
) -> tuple[dict[str, ChatOptions] | None, ImageOptions | None]:
    """Return the models of a run that is resumed or forked with a configuration file.

    A table that names no model changes the recorded options of the run's own model, so prices can be given later. What the
    file leaves out stays as recorded.

    Args:
        path: the file. Its preset and its settings are not used: the run has its own.
        recorded: the options of the run's models.
        chat: the spec of another chat model, for all roles without one of their own in the file.
        image: the spec of another image model.

    Returns:
        The chat models and the image model as `resume` and `fork` take them; None for the recorded ones.

    Raises:
        ConfigError: as for `load_config`; or a table names no model, and the run's own cannot be made from its record.
    """
    tables, below = _with_models(_read_toml(path), chat, image, recorded), _tables_of(recorded)
    if "model" in tables["chat"]:
        below["roles"] = {}
    laid = {name: _over(below[name], tables[name]) for name in ("chat", "image")}
    roles = {name: _over(below["roles"].get(name, {}), tables["roles"].get(name, {})) for name in below["roles"] | tables["roles"]}
    config = _validate(path, {**tables, **laid, "roles": roles})
    chats = config.chats if tables["chat"] or tables["roles"] else None
    images = config.image if tables["image"] else None
    for name, options in {**(chats or {}), "image": images}.items():
        if options and (options.model.startswith(CUSTOM) or LOCAL_FOLDER in options.model):
            model = options.model.removeprefix(CUSTOM).rpartition(LOCAL_FOLDER)[2]
            table = {"default": "chat", "image": "image"}.get(name, f"roles.{name}")
            raise ConfigError(
                f'{path}: the run\'s own model {model} cannot be made from its record: write model = "..." in [{table}]'
            )
    return chats, images


def _read_toml(path: Path | str) -> Tables:
    try:
        tables = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} is not TOML: {error}") from error
    roles = tables.get("roles", {})
    if not isinstance(roles, dict) or not all(isinstance(role, dict) for role in roles.values()):
        raise ConfigError(f"{path}: roles has a table for each role: [roles.verifier]")
    if unknown := sorted(set(roles) - set(CHAT_ROLES)):
        raise ConfigError(f"{path}: roles.{unknown[0]}: no such role; those with a chat model are {', '.join(CHAT_ROLES)}")
    if wrong := [name for name in ("chat", "image") if not isinstance(tables.get(name, {}), dict)]:
        raise ConfigError(f"{path}: {wrong[0]} is a table: [{wrong[0]}]")
    return tables


def _with_models(tables: Tables, chat: str | None, image: str | None, default: ModelOptions) -> Tables:
    """Return tables with the models of the command line; with another chat model, roles keep only models of their own.

    Args:
        tables: those of a file.
        chat: the spec of a chat model.
        image: the spec of an image model.
        default: the models where the file names none.
    """
    tables = {"chat": {}, "image": {}, "roles": {}, **tables}
    if chat is None and (image or tables["image"].get("model")) == "card" and "model" not in tables["chat"]:
        chat = "random"  # the embedded one knows only a few words
    if chat is not None and chat != tables["chat"].get("model", default.chat.model):
        tables |= {"chat": {"model": chat}, "roles": {name: role for name, role in tables["roles"].items() if "model" in role}}
    if image is not None and image != tables["image"].get("model", default.image.model):
        tables |= {"image": {"model": image}}
    return tables


def _tables_of(models: ModelOptions) -> Tables:
    """Return recorded models as a file would have them: what a role has in common with `[chat]` it has from there."""
    tables = models.model_dump(by_alias=True)
    chat = tables["chat"]
    for name, role in tables["roles"].items():
        if role["model"] == chat["model"]:
            tables["roles"][name] = {option: value for option, value in role.items() if value != chat[option]}
    return tables


def _over(recorded: Tables, table: Tables) -> Tables:
    """Return a table over a recorded one: with a model of its own it takes its place, without one it changes it."""
    return table if "model" in table else {**recorded, **table}


def _validate(path: Path | str | None, tables: Tables) -> Config:
    roles = {name: _over(tables["chat"], role) for name, role in tables["roles"].items()}
    try:
        return Config.model_validate({**tables, "roles": roles})
    except ValidationError as error:
        raise ConfigError(f"{path}: {what_is_wrong(error, Config.model_fields)}") from error


def _parse_option(pair: str) -> tuple[str, Any]:
    key, equals, value = pair.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {pair}: write key=value, such as num_inference_steps=9")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value
