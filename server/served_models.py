"""The two models that are served, and the limits of requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from langchain_core.language_models import BaseChatModel

from ..models.chat.call import model_name
from ..models.image.base import ImageModel
from .errors import ApiError

P = ParamSpec("P")
T = TypeVar("T")
ModelKind = Literal["chat", "image"]


@dataclass(frozen=True)
class Limits:
    """Bounds on one request, and on all requests together."""

    max_body: int = 32 * 2**20
    """Most bytes of a request."""
    max_pixels: int = 2048 * 2048
    """Most pixels of an image, sent or requested."""
    max_n: int = 10
    """Most images of a request."""
    in_flight: int = 64
    """Most requests that are processed at the same time."""
    bodies: int = 128
    """Most request bodies that are read at the same time; for one more the slowest is ended."""
    body_seconds: float = 60
    """Most seconds until a request is read completely."""


class ServedModels:
    """The models of a server.

    Args:
        chat: the chat model.
        image: the image model.
        limits: bounds on requests.
    """

    def __init__(self, chat: BaseChatModel, image: ImageModel, limits: Limits) -> None:
        self.chat, self.image, self.limits = chat, image, limits
        self.created = int(time.time())
        self._threads = anyio.CapacityLimiter(limits.in_flight)

    @property
    def names(self) -> dict[ModelKind, str]:
        """The models' names."""
        return {"chat": model_name(self.chat), "image": self.image.name}

    def card(self, kind: ModelKind) -> dict[str, Any]:
        """Return the description of a model in OpenAI's format, with its kind and whether it can edit."""
        card = {"id": self.names[kind], "object": "model", "created": self.created, "owned_by": "gems", "kind": kind}
        return {**card, "can_edit": self.image.can_edit} if kind == "image" else card

    def require(self, name: str | None, *kinds: ModelKind) -> ModelKind:
        """Return the kind of the model with a name.

        Args:
            name: the model's name; None for the first of the kinds.
            kinds: the kinds that are accepted.

        Raises:
            ApiError: there is no such model.
        """
        for kind in kinds:
            if name is None or name == self.names[kind]:
                return kind
        available = ", ".join(f"{self.names[kind]} ({kind})" for kind in kinds)
        raise ApiError(404, f"there is no model {name!r} here: there is {available}", param="model", code="model_not_found")

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking function in a thread, which is abandoned if the server is stopped meanwhile."""
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self._threads, abandon_on_cancel=True)
