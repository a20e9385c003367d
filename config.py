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
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from .errors import ConfigError, what_is_wrong
from .frozen_model import Frozen
from .models.options import CHAT_ROLES, ChatOptions, ImageOptions, ModelOptions
from .models.registry import CUSTOM, LOCAL_FOLDER, ChatChoices, ImageChoice

Options = TypeVar("Options", ChatOptions, ImageOptions)


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


def load_config(path: Path | str | None) -> Config:
    """Read a configuration file; without one, return the defaults.

    A role without a model of its own uses the model of `[chat]` with the role's changes. A role that names a model starts
    from the defaults, so that no key or option meant for one endpoint reaches another.

    Raises:
        ConfigError: the file is missing or is not TOML, a name is unknown, or a value is out of bounds.
    """
    return Config() if path is None else _validate(path, _read_toml(path))


def _read_toml(path: Path | str) -> dict[str, Any]:
    """Return the content of a file, of which only the names of roles are validated."""
    try:
        content = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} is not TOML: {error}") from error
    roles = content.get("roles", {})
    if not isinstance(roles, dict) or not all(isinstance(role, dict) for role in roles.values()):
        raise ConfigError(f"{path}: roles has a table for each role: [roles.verifier]")
    if unknown := sorted(set(roles) - set(CHAT_ROLES)):
        raise ConfigError(f"{path}: roles.{unknown[0]}: no such role; those with a chat model are {', '.join(CHAT_ROLES)}")
    return content


def _validate(path: Path | str, content: Mapping[str, Any]) -> Config:
    chat = content.get("chat", {})
    roles = {name: role if "model" in role else {**chat, **role} for name, role in content.get("roles", {}).items()}
    try:
        return Config.model_validate({**content, "roles": roles})
    except ValidationError as error:
        raise ConfigError(f"{path}: {what_is_wrong(error, Config.model_fields)}") from error


def models_for_resume(
    path: Path | str, recorded: ModelOptions, chat: str | None, image: str | None
) -> tuple[ChatChoices | None, ImageChoice | None]:
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
    content = _read_toml(path)
    tables = {"chat": content.get("chat", {}), "image": content.get("image", {}), "roles": content.get("roles", {})}
    given = {"chat": {"model": chat or recorded.chat.model, **tables["chat"]}}
    given["image"] = {"model": image or recorded.image.model, **tables["image"]}
    config = _validate(path, {**content, **given})
    named = apply_options(config, chat, image, None)
    chats: ChatChoices | None = chat
    if tables["chat"] or tables["roles"]:
        same_model = chat is None and "model" not in tables["chat"]
        chats = _change_chats(path, recorded, tables["chat"], tables["roles"]) if same_model else named.chats
    images: ImageChoice | None = image
    if tables["image"]:
        same_model = image is None and "model" not in tables["image"]
        images = _change(path, "image", recorded.image, tables["image"]) if same_model else named.image
    return chats, images


def _change_chats(
    path: Path | str, recorded: ModelOptions, common: Mapping[str, Any], roles: Mapping[str, Any]
) -> dict[str, ChatOptions]:
    """Return the recorded chat models with the changes of a file whose `[chat]` names no model.

    Args:
        path: the file, for errors.
        recorded: the options of the run's models.
        common: its table `[chat]`.
        roles: its tables of roles.
    """
    chats = {"default": _change(path, "chat", recorded.chat, common)}
    for name, role in recorded.roles.items():
        # What a role has in common with the recorded [chat] it has from there, and so it changes with it.
        same_model = role.model == recorded.chat.model
        inherited = {n: v for n, v in common.items() if same_model and getattr(role, n) == getattr(recorded.chat, n)}
        chats[name] = _change(path, f"roles.{name}", role, inherited)
    for name, own in roles.items():
        before = chats.get(name, chats["default"])
        chats[name] = ChatOptions(**own) if "model" in own else _change(path, f"roles.{name}", before, own)
    return chats


def _change(path: Path | str, table: str, recorded: Options, changes: Mapping[str, Any]) -> Options:
    """Return recorded options with the changes of a table that names no model."""
    if recorded.model.startswith((CUSTOM, LOCAL_FOLDER)):
        name = recorded.model.removeprefix(CUSTOM).removeprefix(LOCAL_FOLDER)
        raise ConfigError(f'{path}: the run\'s own model {name} cannot be made from its record: write model = "..." in [{table}]')
    return recorded.with_changes(**changes)


def apply_options(config: Config, chat: str | None, image: str | None, call: Sequence[str] | None, **image_options: Any) -> Config:
    """Return a configuration with the options of the command line.

    Args:
        config: the file.
        chat: the spec of another chat model, for all roles without a model of their own.
        image: the spec of another image model. With `card`, a rehearsal, the chat model is `random` where none is named.
        call: model options, each as `key=value`; a value is a TOML value, or else text.
        **image_options: options of the image model's backend; None changes nothing.

    Raises:
        ConfigError: an option is not `key=value`, or a value is out of bounds.
        ModelSpecError: the image model has no such option.
    """
    own_models = {name: role for name, role in config.roles.items() if role.model != config.chat.model}
    if chat is None and (image or config.image.model) == "card" and "model" not in config.chat.model_fields_set:
        chat = "random"  # the embedded one knows only a few words
    if chat is not None and chat != config.chat.model:
        config = config.model_copy(update={"chat": ChatOptions(model=chat), "roles": own_models})
    options: dict[str, Any] = config.image.model_dump() if image is None or image == config.image.model else {"model": image}
    if call:
        options["call"] = {**options.get("call", {}), **dict(_parse_option(pair) for pair in call)}
    options.update({name: value for name, value in image_options.items() if value is not None})
    try:
        return config.model_copy(update={"image": ImageOptions(**options)})
    except ValidationError as error:
        raise ConfigError(f"--{what_is_wrong(error, ImageOptions.model_fields)}") from error


def _parse_option(pair: str) -> tuple[str, Any]:
    key, equals, value = pair.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {pair}: write key=value, such as num_inference_steps=9")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value
