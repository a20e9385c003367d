"""Options of models: which model, and how its backend calls it.

No secret has a place here: keys are named by the environment variable that holds them, which is OPENAI_API_KEY for
`openai:` and GEMS_API_KEY for other endpoints by default, so that the key of OpenAI is never sent to others.
"""

from __future__ import annotations

import difflib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, SerializeAsAny, model_validator

from ..errors import ModelSpecError
from ..frozen_model import Frozen
from ..privacy import folder_name, without_hosts, without_paths
from .backends import Kind, load_backend, schemes

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from .image.base import ImageModel

CHAT_ROLES = ("planner", "decomposer", "verifier", "summarizer", "refiner", "learner")
"""Roles that call a chat model; each may have its own."""


class BackendOptions(Frozen):
    """What the options of all backends have in common.

    `ChatOptions(...)` and `ImageOptions(...)` make an object of the subclass that the spec of the model names.
    """

    model_config = ConfigDict(populate_by_name=True)

    kind: ClassVar[Kind]
    spec: ClassVar[str] = ""
    """How specs of the backend are written, such as `diffusers:REPOSITORY`: without a colon, the scheme is all."""
    about: ClassVar[str] = ""
    """What the backend is, in a few words."""
    shared: ClassVar[bool] = False
    """Whether equal options give the same object, since its weights are in this process."""

    model: str = "shapes"

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Make an object of the backend's class.

        Raises:
            ModelSpecError: the backend has no such option; the message lists those that it has.
        """
        own = cls._class_of(options.get("model", "shapes"))
        foreign = [name for name, value in options.items() if value is not None and name not in own.option_names()]
        if foreign and own.model_config["extra"] == "forbid":
            raise own._unknown_option(foreign[0], str(options.get("model", "shapes")))
        return super().__new__(own)

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_backend(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        if cls._is_front():
            return cls(**data)
        return handler({name: value for name, value in data.items() if value is not None or name in cls.option_names()})

    @classmethod
    def _is_front(cls) -> bool:
        """Return whether this is `ChatOptions` or `ImageOptions` itself."""
        return BackendOptions in cls.__bases__

    @classmethod
    def _class_of(cls, spec: object) -> type[Self]:
        """Return the class of the options of a spec, by its scheme."""
        if not cls._is_front():
            return cls
        with suppress(ModelSpecError):  # `make` says what is wrong with it; a stored run that names it can be read
            if backend := load_backend(cls.kind, str(spec).partition(":")[0], cls):
                return backend
        return next(c for c in cls.__subclasses__() if c.model_config["extra"] == "allow")

    @classmethod
    def option_names(cls) -> set[str]:
        """Return the names of all options, aliases included."""
        return {name for own, field in cls.model_fields.items() for name in (own, field.alias) if name}

    @classmethod
    def _unknown_option(cls, name: str, spec: str) -> ModelSpecError:
        known = [field.alias or own for own, field in cls.model_fields.items() if own != "model"]
        known.sort(key=lambda own: own.startswith("price"))  # what all have comes last
        meant = difflib.get_close_matches(name, [*known, "model"], n=1, cutoff=0.75)
        hint = f" (did you mean {meant[0]}?)" if meant else ""
        model = spec.rpartition("#")[2]  # without the host
        if name == "call":  # what --set and --call give
            name, hint = "set", f", which --set and --call give: write its own ones under [{cls.kind}] in the file of --config"
        return ModelSpecError(f"the {cls.kind} model {model} has no option {name}{hint}: its options are {', '.join(known)}")

    @classmethod
    def backends(cls) -> list[type[Self]]:
        """Return the backends that can be imported, each once."""
        found = []
        for scheme in schemes(cls.kind):
            with suppress(ModelSpecError):
                found.append(load_backend(cls.kind, scheme, cls))
        return [backend for backend in dict.fromkeys(found) if backend]

    def with_changes(self, **changes: Any) -> Self:
        """Return the options with changes, which are validated.

        Raises:
            ModelSpecError: the backend has no such option.
        """
        aliases = {name: field.alias or name for name, field in type(self).model_fields.items()}
        return type(self)(**{**self.model_dump(by_alias=True), **{aliases.get(n, n): value for n, value in changes.items()}})

    def with_known(self, **changes: Any) -> Self:
        """Return the options with those of the changes that the backend has options for."""
        return self.with_changes(**{name: value for name, value in changes.items() if name in type(self).option_names()})

    def key(self) -> tuple[str, str]:
        """Return what is equal if two models are the same: the options, and what else decides, such as the files of a folder."""
        return self.model_dump_json(), ""

    def not_understood(self) -> ModelSpecError:
        """Return the error for a spec that does not name a model."""
        if "model" not in self.model_fields_set:
            name = type(self).__name__
            return ModelSpecError(f"{name} names no model: write {name}(model={self.spec!r})")
        front = ChatOptions if self.kind == "chat" else ImageOptions
        known = ", ".join(backend.spec for backend in front.backends())
        scheme, colon, _ = self.model.partition(":")
        own = f"; is the package that registers {scheme}: installed?" if colon and scheme not in schemes(self.kind) else ""
        return ModelSpecError(f"the {self.kind} model {self.model!r} is not understood: write {known}{own}")


class ChatOptions(BackendOptions):
    """A chat model and how it is called: which options there are depends on the backend. None leaves an option to the model.

    Example:
        ```python
        from gems import ChatOptions

        ChatOptions(model="http://localhost:30000/v1#Qwen3-VL-8B", thinking=False, max_tokens=2000)
        ```

    Raises:
        ModelSpecError: the backend has no such option; the message lists those that it has.
    """

    kind = "chat"

    model: str = Field(default="shapes", description="shapes, openai:MODEL, http(s)://HOST/v1#MODEL, or random.")
    price_input: float | None = Field(default=None, ge=0, description="Price of a million input tokens, in any currency.")
    price_output: float | None = Field(default=None, ge=0, description="Price of a million output tokens, in the same currency.")

    if TYPE_CHECKING:  # the options are those of the backend

        def __init__(self, **options: Any) -> None: ...

    def make(self) -> BaseChatModel:
        """Return the chat model.

        Raises:
            ModelSpecError: the spec is not understood, or a key is missing.
        """
        load_backend("chat", self.model.partition(":")[0], ChatOptions)
        raise self.not_understood()


class ImageOptions(BackendOptions):
    """An image model and how it is called: which options there are depends on the backend. None leaves an option to the model.

    Example:
        ```python
        from gems import ImageOptions

        ImageOptions(model="diffusers:Tongyi-MAI/Z-Image-Turbo", set={"num_inference_steps": 6}, device="cuda:1")
        ```

    Raises:
        ModelSpecError: the backend has no such option; the message lists those that it has.
    """

    kind = "image"

    model: str = Field(
        default="shapes",
        description="shapes, diffusers:REPOSITORY, diffusers:FOLDER, openai:MODEL, http(s)://HOST/v1#MODEL, or card.",
    )
    price: float | None = Field(default=None, ge=0, description="Price of an image, in the currency of the chat models' prices.")

    if TYPE_CHECKING:  # the options are those of the backend

        def __init__(self, **options: Any) -> None: ...

    def make(self) -> ImageModel:
        """Return the image model.

        Raises:
            ModelSpecError: the spec is not understood, or a key is missing.
        """
        load_backend("image", self.model.partition(":")[0], ImageOptions)
        raise self.not_understood()


class UnknownChatOptions(ChatOptions, extra="allow"):
    """Options of a chat model that no installed backend makes, or that was passed as an object: they are recorded as they are."""


class UnknownImageOptions(ImageOptions, extra="allow"):
    """Options of an image model that no installed backend makes, or that was passed as an object: they are recorded as they are."""


class ModelOptions(Frozen):
    """The models of a run: one chat model for all roles, others for some of them, and one image model."""

    chat: SerializeAsAny[ChatOptions] = Field(default_factory=ChatOptions)
    roles: dict[str, SerializeAsAny[ChatOptions]] = Field(default={}, description="Chat models of single roles.")
    image: SerializeAsAny[ImageOptions] = Field(default_factory=ImageOptions)

    @model_validator(mode="before")
    @classmethod
    def _without_foreign_options(cls, data: Any) -> Any:
        """Leave out of a record what its backend does not have: earlier versions stored the options of all backends."""
        if not isinstance(data, dict):
            return data
        fronts: dict[str, type[BackendOptions]] = {"chat": ChatOptions, "image": ImageOptions}
        own = {name: _own_options(front, data[name]) for name, front in fronts.items() if name in data}
        roles = data.get("roles")
        own_roles = {"roles": {r: _own_options(ChatOptions, o) for r, o in roles.items()}} if isinstance(roles, dict) else {}
        return {**data, **own, **own_roles}

    @property
    def priced(self) -> bool:
        """Whether any price is known."""
        chats = [self.chat, *self.roles.values()]
        return self.image.price is not None or any(c.price_input is not None or c.price_output is not None for c in chats)

    @property
    def names(self) -> dict[str, str]:
        """Names of the models without hosts and folders: "chat" (of most roles, then of roles with their own) and "image"."""
        chat = _display_name(self.chat.model, "shapes-chat")
        others = {role: _display_name(options.model, "shapes-chat") for role, options in self.roles.items()}
        own = [f"{role}: {name}" for role, name in others.items() if name != chat]
        return {"chat": ", ".join([chat, *own]), "image": _display_name(self.image.model, "shapes-image")}


def _own_options(front: type[BackendOptions], data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    backend = front._class_of(data.get("model", "shapes"))
    known = backend.option_names() if backend.model_config["extra"] == "forbid" else set(data)
    return {name: value for name, value in data.items() if name in known}


def without_hosts_and_folders(text: str, models: ModelOptions, host: str = "") -> str:
    """Return text that may be recorded: without the hosts of these models, and without the folders of paths.

    Args:
        text: the reason of an error, for one.
        models: their specs name hosts.
        host: a further one, as `GemsError.host` has it: some are in the environment, or in the code of a backend alone.
    """
    specs = (models.chat.model, models.image.model, *(role.model for role in models.roles.values()))
    urls = [spec[max(spec.find("http"), 0) :] for spec in specs]  # acme:http://HOST#MODEL
    return without_paths(without_hosts(text, [*urls, f"//{host}"]))


def _display_name(spec: str, embedded: str) -> str:
    if spec == "shapes":
        return embedded
    scheme, _, rest = spec.partition(":")
    if "#" in spec:
        return spec.rpartition("#")[2]
    if scheme == "diffusers":
        return folder_name(rest)
    return rest or spec
