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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from .errors import ConfigError, what_is_wrong
from .frozen import Frozen
from .models.options import CHAT_ROLES, ChatOptions, ImageOptions, ModelOptions
from .models.registry import CUSTOM, LOCAL_FOLDER, ChatChoices, ImageChoice

Options = TypeVar("Options", ChatOptions, ImageOptions)


class Config(Frozen):
    """What a configuration file says. What it leaves out has the defaults of the options' types."""

    preset: str = "default"
    chat: ChatOptions = ChatOptions()
    roles: dict[str, ChatOptions] = {}
    image: ImageOptions = ImageOptions()
    judge: ChatOptions | None = Field(default=None, description="Who scores images in `gems eval`.")
    run: dict[str, Any] = Field(default={}, description="Fields of `RunContext` that differ from the preset.")

    @property
    def chats(self) -> dict[str, ChatOptions]:
        """The chat models as `run` and `build_graph` take them."""
        return {"default": self.chat, **self.roles}

    @property
    def models(self) -> ModelOptions:
        """All models of a run."""
        return ModelOptions(chat=self.chat, roles=self.roles, image=self.image)


_TABLES: dict[str, type[BaseModel]] = {"chat": ChatOptions, "roles": ChatOptions, "image": ImageOptions, "judge": ChatOptions}


def load_config(path: Path | str | None) -> Config:
    """Read a configuration file; without one, everything is as by default.

    A role without a model of its own is the model of `[chat]` with the role's changes; one that names a model starts
    from the defaults, so that no key and no switch meant for one endpoint reaches another.

    Raises:
        ConfigError: it is missing, is not TOML, or has an unknown name or a value out of bounds.
    """
    return Config() if path is None else _config(path, _read(path))


def _read(path: Path | str) -> dict[str, Any]:
    """Read a file as it is written; of what is in it, only the names of roles are known to be right."""
    try:
        told = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} is not TOML: {error}") from error
    roles = told.get("roles", {})
    if not isinstance(roles, dict) or not all(isinstance(role, dict) for role in roles.values()):
        raise ConfigError(f"{path}: roles has a table for each role: [roles.verifier]")
    if unknown := sorted(set(roles) - set(CHAT_ROLES)):
        raise ConfigError(f"{path}: roles.{unknown[0]}: no such role; those that ask a chat model are {', '.join(CHAT_ROLES)}")
    return told


def _config(path: Path | str, told: Mapping[str, Any]) -> Config:
    chat, roles = told.get("chat", {}), told.get("roles", {})
    try:
        return Config.model_validate({**told, "roles": {name: _role(chat, role) for name, role in roles.items()}})
    except ValidationError as error:
        table, *inside = error.errors()[0]["loc"]
        options: type[BaseModel] = _TABLES.get(str(table), Config) if inside else Config
        known = {field.alias or name for name, field in options.model_fields.items()}
        raise ConfigError(f"{path}: {what_is_wrong(error, known)}") from error


def _role(chat: Mapping[str, Any], role: Mapping[str, Any]) -> dict[str, Any]:
    return dict(role) if "model" in role else {**chat, **role}


def models_again(
    path: Path | str, recorded: ModelOptions, chat: str | None, image: str | None
) -> tuple[ChatChoices | None, ImageChoice | None]:
    """Return the models of a run that goes on, or is forked, with a configuration file.

    What the file says nothing of stays as it was. A table that names no model is laid over the recorded options of the
    model that the run had there: prices can be given afterwards.

    Args:
        path: the file; its preset and its settings of runs are not for a run that has settings.
        recorded: the options of the run's models.
        chat: the spec of another chat model for all roles without one of their own in the file.
        image: the spec of another image model.

    Returns:
        The chat models and the image model as `resume` and `fork` take them; None for the recorded ones.

    Raises:
        ConfigError: as for `load_config`; or a table names no model, and the run's own cannot be made from its record.
    """
    told = _read(path)
    written = _config(path, told)
    file = changed(written, chat, image, None)
    chats: ChatChoices | None = chat
    if told.get("chat") or told.get("roles"):
        laid = chat is None and "model" not in written.chat.model_fields_set
        chats = _chats_over(path, recorded, written, told.get("roles", {})) if laid else file.chats
    drawer: ImageChoice | None = image
    if told.get("image"):
        laid = image is None and "model" not in written.image.model_fields_set
        drawer = _over(recorded.image, written.image, written.image.model_fields_set) if laid else file.image
        if laid:
            _require_spec(path, "image", recorded.image)
    return chats, drawer


def _chats_over(path: Path | str, recorded: ModelOptions, written: Config, told: Mapping[str, Any]) -> dict[str, ChatOptions]:
    """Lay a file whose `[chat]` names no model over the recorded chat models; `told` are its roles as they are written."""
    common = written.chat.model_fields_set

    def shared(role: ChatOptions) -> list[str]:  # what a role has from the common model, and so what changes with it
        same = role.model == recorded.chat.model
        return [name for name in common if same and getattr(role, name) == getattr(recorded.chat, name)]

    chat = _over(recorded.chat, written.chat, common)
    roles = {name: _over(role, written.chat, shared(role)) for name, role in recorded.roles.items()}
    for name, role in written.roles.items():
        roles[name] = role if "model" in told[name] else _over(roles.get(name, chat), role, told[name])
    for place, options in {"chat": chat, **{f"roles.{name}": role for name, role in roles.items()}}.items():
        _require_spec(path, place, options)
    return {"default": chat, **roles}


def _over(known: Options, said: Options, names: Iterable[str]) -> Options:
    return known.model_copy(update={name: getattr(said, name) for name in names})


def _require_spec(path: Path | str, place: str, options: ChatOptions | ImageOptions) -> None:
    if options.model.startswith((CUSTOM, LOCAL_FOLDER)):
        name = options.model.removeprefix(CUSTOM).removeprefix(LOCAL_FOLDER)
        raise ConfigError(f'{path}: the run\'s own model {name} cannot be made from its record: write model = "..." in [{place}]')


def changed(config: Config, chat: str | None, image: str | None, call: Sequence[str] | None, **image_options: Any) -> Config:
    """Return a configuration with what the command line changes of it.

    Args:
        config: what the file says.
        chat: the spec of another chat model for all roles without a model of their own.
        image: the spec of another image model. With `card`, a rehearsal, the chat model is `random` where none is named.
        call: options of its call, each as `key=value`; a value is a TOML value, or else text.
        **image_options: fields of `ImageOptions`; None changes nothing.

    Raises:
        ConfigError: an option is not `key=value`, or a value is out of bounds.
    """
    own_models = {name: role for name, role in config.roles.items() if role.model != config.chat.model}
    if chat is None and (image or config.image.model) == "card" and "model" not in config.chat.model_fields_set:
        chat = "random"  # the embedded one knows a few words only
    if chat is not None and chat != config.chat.model:
        config = config.model_copy(update={"chat": ChatOptions(model=chat), "roles": own_models})
    drawn: dict[str, Any] = config.image.model_dump() if image is None or image == config.image.model else {"model": image}
    drawn["call"] = {**drawn.get("call", {}), **dict(_option(pair) for pair in call or ())}
    drawn.update({name: value for name, value in image_options.items() if value is not None})
    try:
        return config.model_copy(update={"image": ImageOptions(**drawn)})
    except ValidationError as error:
        raise ConfigError(f"--{what_is_wrong(error, ImageOptions.model_fields)}") from error


def _option(pair: str) -> tuple[str, Any]:
    key, equals, value = pair.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {pair}: write key=value, such as num_inference_steps=9")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value
