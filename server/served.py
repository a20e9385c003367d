"""What is served: the two models, their names, and how much may be asked of them."""

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
Kind = Literal["chat", "image"]


@dataclass(frozen=True)
class Limits:
    """How much one request, and all together, may ask for."""

    max_body: int = 32 * 2**20
    """Bytes of a request."""
    max_pixels: int = 2048 * 2048
    """Pixels of a picture, sent or asked for."""
    max_n: int = 10
    """Pictures in one request."""
    in_flight: int = 64
    """Requests for an answer or a picture that are worked on at the same time."""
    bodies: int = 128
    """Requests that are read at the same time, before they are worked on; for one more the slowest is ended."""
    body_seconds: float = 60
    """Seconds within which all of a request must be here."""


class Served:
    """The models of a server.

    Args:
        chat: the chat model.
        image: the image model.
        limits: how much may be asked for.
    """

    def __init__(self, chat: BaseChatModel, image: ImageModel, limits: Limits) -> None:
        self.chat, self.image, self.limits = chat, image, limits
        self.since = int(time.time())
        self._threads = anyio.CapacityLimiter(limits.in_flight)

    @property
    def names(self) -> dict[Kind, str]:
        """The models' names."""
        return {"chat": model_name(self.chat), "image": self.image.name}

    def card(self, kind: Kind) -> dict[str, Any]:
        """Describe a model in OpenAI's form, with what else is to be known of it."""
        card = {"id": self.names[kind], "object": "model", "created": self.since, "owned_by": "gems", "kind": kind}
        return {**card, "can_edit": self.image.can_edit} if kind == "image" else card

    def require(self, name: str | None, *kinds: Kind) -> Kind:
        """Return the kind of the model of a name, by default the first.

        Args:
            name: the model's name; None for the only one of its kind.
            kinds: the kinds that can be meant.

        Raises:
            ApiError: there is no such model.
        """
        for kind in kinds:
            if name is None or name == self.names[kind]:
                return kind
        there = ", ".join(f"{self.names[kind]} ({kind})" for kind in kinds)
        raise ApiError(404, f"there is no model {name!r} here: there is {there}", param="model", code="model_not_found")

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that blocks in a thread of its own, and leave it behind if the server is stopped meanwhile."""
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self._threads, abandon_on_cancel=True)
