"""The contract of an image model: a list of requests in, a list of pictures out."""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from PIL import Image
from pydantic import Field, field_serializer

from ...errors import ImageModelError
from ...frozen import Frozen
from ...pixels import to_rgb


class ImageRequest(Frozen):
    """One picture to be made. Equal requests to the same model give the same picture, where the model takes a seed."""

    prompt: str
    negative_prompt: str = ""
    seed: int = Field(ge=0, lt=2**31)
    width: int | None = Field(default=None, gt=0, description="Pixels; None means the model's own size.")
    height: int | None = Field(default=None, gt=0, description="Pixels; None means the model's own size.")
    source: bytes | None = Field(
        default=None, repr=False, description="A picture to be edited, as PNG: the prompt says what to change. None: a new picture."
    )

    @field_serializer("source")
    def _as_hash(self, source: bytes | None) -> str | None:
        return None if source is None else hashlib.sha256(source).hexdigest()


class ImageModel(ABC):
    """What every image model offers. Subclasses give `name` and `generate`; the rest where they know better."""

    name: str
    """Short name, shown to people and written into pictures."""

    parallel: int = 1
    """How many calls of `generate` it is worth making at the same time, each from a thread of its own."""

    @property
    def settings(self) -> dict[str, object]:
        """Everything besides the request that determines a picture: the model's version, steps, guidance."""
        return {}

    @property
    def can_edit(self) -> bool:
        """Whether it takes requests with a `source`."""
        return False

    @property
    def prompt_limit(self) -> int | None:
        """How many tokens of a prompt it reads, None where it reads all or cannot tell."""
        return None

    def prepare(self) -> None:
        """Load what the first picture would load, so that it does not wait for it.

        Raises:
            ImageModelError: the model cannot be loaded.
        """
        return None

    @abstractmethod
    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Make one RGB picture for each request, in order. It may be called from several threads at once.

        Raises:
            ImageModelError: the model cannot be loaded or refuses the request.
        """

    async def agenerate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Do as `generate`, without blocking the event loop."""
        return await asyncio.to_thread(self.generate, requests)

    def truncated(self, prompt: str) -> str | None:
        """Return the part of a prompt that the model would not read, None where it reads all or cannot tell."""
        return None

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return what of a request, or of this model's settings, is not honoured: a sentence each, noted once in a run.

        Asked after the request's picture was made, so that what happened on the way can be among them.
        """
        return []


def pictures_of(model: ImageModel, requests: Sequence[ImageRequest]) -> list[Image.Image]:
    """Return what a model draws, in RGB, after making sure that it is a picture for each request.

    Raises:
        ImageModelError: the model failed, or gave something else; the message says what it must return.
    """
    given = model.generate(requests)
    must = f"the image model {model.name!r} must return a list with one PIL image for each request"
    if isinstance(given, Image.Image | str | bytes) or not isinstance(given, Iterable):
        raise ImageModelError(f"{must}, and returned {_kind(given)}")
    images = list(given)
    if strange := [image for image in images if not isinstance(image, Image.Image)]:
        hint = "; an array of 8 bits becomes one by PIL.Image.fromarray" if hasattr(strange[0], "__array_interface__") else ""
        raise ImageModelError(f"{must}, and there was {_kind(strange[0])} in it{hint}")
    if len(images) != len(requests):
        raise ImageModelError(f"{must}, and gave {len(images)} images for {len(requests)}")
    if any(0 in image.size for image in images):
        raise ImageModelError(f"{must}, and one has no pixels")
    try:
        return [to_rgb(image) for image in images]
    except Exception as error:  # a file that is read only now raises many kinds
        raise ImageModelError(f"{must}, and one cannot be read: {error}") from error


def _kind(value: object) -> str:
    """Return what something is, as its class is written."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return "None" if value is None else name
