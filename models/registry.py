"""Models by spec: what `--chat` and `--image` take, and the models of a run made from it.

To add a backend, write its options, a subclass of `ChatOptions` or `ImageOptions`, and register them in `backends.py`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from langchain_core.language_models import BaseChatModel

from ..errors import ModelSpecError
from ..privacy import folder_name
from .chat.call import model_name
from .image.base import ImageModel
from .options import CHAT_ROLES, BackendOptions, ChatOptions, ImageOptions, ModelOptions

Model = TypeVar("Model", BaseChatModel, ImageModel)
Options = TypeVar("Options", bound=BackendOptions)

ChatChoice = BaseChatModel | ChatOptions | str
"""A chat model: the model itself, its options, or its spec."""

ChatChoices = ChatChoice | Mapping[str, ChatChoice]
"""A chat model for all roles; or models by role, with "default" for the roles that are not named."""

ImageChoice = ImageModel | ImageOptions | str
"""An image model: the model itself, its options, or its spec."""


CUSTOM = "custom:"
"""Prefix of a model that was passed as an object, before its name."""

LOCAL_FOLDER = ":…/"
"""What stands in a recorded spec between the scheme and the name of an absolute folder: its path is not recorded."""


class _ModelCache(Generic[Model]):
    """Models with weights in this process, by their options, so that equal options share one model.

    A model stays while it is used; the last one requested stays until another is, so that consecutive runs load it once, and
    two models are not in memory where one is needed.
    """

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Empty the cache, in a forked process: a thread of the parent may be using a model."""
        self._lock = threading.Lock()
        self._models: WeakValueDictionary[tuple[str, str], Model] = WeakValueDictionary()
        self._last: Model | None = None

    def get(self, options: BackendOptions, make: Callable[[], Model]) -> Model:
        """Return the model of these options, made if there is none."""
        key = options.with_known(price=None, price_input=None, price_output=None).key()  # a price makes no other model
        with self._lock:
            if (model := self._models.get(key)) is None:
                self._last = None  # before the next one is loaded
                model = self._models[key] = make()
            self._last = model
            return model


_CHAT_MODELS = _ModelCache[BaseChatModel]()
_IMAGE_MODELS = _ModelCache[ImageModel]()


class Models(NamedTuple):
    """The models of a run, and their options as the run records them."""

    chats: dict[str, BaseChatModel]
    """By role: one for each of `CHAT_ROLES`."""
    image: ImageModel
    options: ModelOptions

    @classmethod
    def choose(cls, chat: ChatChoices = "shapes", image: ImageChoice = "shapes") -> Models:
        """Create the models of a run.

        Raises:
            ModelSpecError: a spec is not understood, a role does not exist, or a key is missing.
        """
        by_role: dict[str, ChatChoice] = {"default": "shapes"}
        by_role.update(chat if isinstance(chat, Mapping) else {"default": chat})
        if unknown := sorted(set(by_role) - {"default", *CHAT_ROLES}):
            raise ModelSpecError(f"unknown role {unknown[0]!r}: a chat model is for default, {', '.join(CHAT_ROLES)}")
        by_key: dict[tuple[str, str], BaseChatModel] = {}

        def chat_of(choice: ChatChoice) -> BaseChatModel:
            if isinstance(choice, BaseChatModel):
                return choice
            options = _chat_options(choice)
            key = options.key()
            if key not in by_key:
                by_key[key] = chat_model(options)
            return by_key[key]

        models = {role: chat_of(choice) for role, choice in by_role.items()}
        chat_options = {role: _without_folder(_chat_options(choice)) for role, choice in by_role.items()}
        model = image if isinstance(image, ImageModel) else image_model(image)
        options = ModelOptions(chat=chat_options.pop("default"), roles=chat_options, image=_without_folder(_image_options(image)))
        return cls({role: models.get(role, models["default"]) for role in CHAT_ROLES}, model, options)


def chat_model(choice: ChatOptions | str) -> BaseChatModel:
    """Return a chat model by its spec or options; equal options of a model that is loaded here give the same object.

    Args:
        choice: `shapes`, `openai:MODEL` (key in OPENAI_API_KEY), or `http(s)://HOST/v1#MODEL` for any OpenAI-compatible
            endpoint (key, if it needs one, in GEMS_API_KEY). Options may name another environment variable. `random` answers
            at random, for a rehearsal. Other distributions may add schemes.

    Raises:
        ModelSpecError: the spec is not one of these, or the key is missing.
    """
    options = _chat_options(choice)
    _require_form(options)
    return _CHAT_MODELS.get(options, options.make) if options.shared else options.make()


def image_model(choice: ImageOptions | str) -> ImageModel:
    """Return an image model by its spec or options; equal options of a model that is loaded here give the same object.

    Args:
        choice: `shapes`, `diffusers:REPOSITORY` or `diffusers:FOLDER` for a diffusers pipeline, `openai:MODEL` or
            `http(s)://HOST/v1#MODEL` for an images endpoint. Keys as for `chat_model`. `card` writes the prompt on a card,
            for a rehearsal. Other distributions may add schemes.

    Raises:
        ModelSpecError: the spec is not one of these, the folder does not exist, or the key is missing.
        ImageModelError: an option of the call does not exist.
    """
    options = _image_options(choice)
    _require_form(options)
    return _IMAGE_MODELS.get(options, options.make) if options.shared else options.make()


def _require_form(options: BackendOptions) -> None:
    """Refuse a spec without a name where its backend needs one, and with a name where it takes none."""
    if options.spec and bool(options.model.partition(":")[2]) != (":" in options.spec):
        raise options.not_understood()


def image_choice_for_resume(recorded: ImageOptions, image: ImageChoice | None) -> ImageChoice | None:
    """Return the image model to resume a run with: with the recorded options, if the spec names the same local folder.

    Args:
        recorded: the recorded options, without the path of a folder.
        image: the choice of the user, None for the recorded one.

    Raises:
        ModelSpecError: the model is in a local folder, whose path is not recorded, and none is given.
    """
    if image is None:
        require_known_folder(recorded)
    same = isinstance(image, str) and _without_folder(ImageOptions(model=image)).model == recorded.model
    return recorded.model_copy(update={"model": image}) if same and LOCAL_FOLDER in recorded.model else image


def require_known_folder(recorded: BackendOptions) -> None:
    """Check that a model can be made from its recorded options.

    Raises:
        ModelSpecError: the model is in a local folder, whose path is not recorded.
    """
    scheme, in_folder, name = recorded.model.partition(LOCAL_FOLDER)
    if in_folder:
        where = f"the run's {recorded.kind} model is in a folder {name}, whose path is not kept"
        raise ModelSpecError(f"{where}: add --{recorded.kind} {scheme}:FOLDER")


def _without_folder(options: Options) -> Options:
    """Return options as they are recorded: of an absolute folder only the name, as paths are private."""
    scheme, _, name = options.model.partition(":")
    is_url = name.startswith("//") and scheme != "diffusers"
    if is_url or not Path(name).is_absolute():
        return options
    return options.model_copy(update={"model": f"{scheme}{LOCAL_FOLDER}{Path(name).name}"})


def _chat_options(choice: ChatChoice) -> ChatOptions:
    if isinstance(choice, BaseChatModel):
        return ChatOptions(model=CUSTOM + folder_name(model_name(choice)))
    if not isinstance(choice, (str, ChatOptions)):
        raise ModelSpecError(
            f"a chat model is a spec, ChatOptions or a langchain-core BaseChatModel, not a {type(choice).__name__}"
        )
    return ChatOptions(model=choice) if isinstance(choice, str) else choice


def _image_options(choice: ImageChoice) -> ImageOptions:
    if isinstance(choice, type) and issubclass(choice, ImageModel):
        raise ModelSpecError(f"{choice.__name__} is a class: pass {choice.__name__}()")
    if isinstance(choice, ImageModel):
        if not getattr(choice, "name", ""):
            raise ModelSpecError(f"the image model {type(choice).__name__} has no name: set its attribute name to a short text")
        return ImageOptions(model=CUSTOM + folder_name(choice.name))
    if not isinstance(choice, (str, ImageOptions)):
        raise ModelSpecError(
            f"an image model is a spec, ImageOptions or a subclass of gems.ImageModel, not a {type(choice).__name__}"
        )
    return ImageOptions(model=choice) if isinstance(choice, str) else choice
