"""The contract of an image model: a list of requests in, a list of images out."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from PIL import Image
from pydantic import Field, field_serializer

from ...errors import ImageModelError
from ...frozen_model import Frozen
from ...pixels import to_rgb


class ImageRequest(Frozen):
    """What an image model is asked for: one image. Equal requests give equal images where the model takes a seed.

    Example:
        ```python
        gems.ImageRequest(prompt="a red circle", seed=7, width=512, height=512)
        ```
    """

    prompt: str
    negative_prompt: str = ""
    seed: int = Field(ge=0, lt=2**31)
    width: int | None = Field(default=None, gt=0, description="Pixels; None means the model's own size.")
    height: int | None = Field(default=None, gt=0, description="Pixels; None means the model's own size.")
    source: bytes | None = Field(
        default=None, repr=False, description="Image to edit, as PNG: the prompt says what to change. None: a new image."
    )

    @field_serializer("source")
    def _as_hash(self, source: bytes | None) -> str | None:
        return None if source is None else hashlib.sha256(source).hexdigest()


class ImageModel(ABC):
    """Base class of image models. Subclasses set `name` and implement `generate`; all else has a default.

    Example:
        ```python
        from PIL import Image


        class White(gems.ImageModel):
            name = "white"

            def generate(self, requests):
                return [Image.new("RGB", (request.width or 512, request.height or 512), "white") for request in requests]


        gems.run("a sheet of paper", image=White())
        ```
    """

    name: str
    """Short name, shown in reports and written into the metadata of images."""

    parallel: int = 1
    """Number of calls of `generate` that are worth making at the same time, each from its own thread."""

    @property
    def settings(self) -> dict[str, object]:
        """Everything besides the request that determines an image: version of the model, steps, guidance."""
        return {}

    @property
    def can_edit(self) -> bool:
        """Whether the model takes requests with a `source`."""
        return False

    @property
    def prompt_limit(self) -> int | None:
        """Number of prompt tokens that the model reads; None if it reads all, or if the number is unknown."""
        return None

    def prepare(self) -> None:
        """Load the weights before the first request.

        Raises:
            ImageModelError: the model cannot be loaded.
        """
        return None

    @abstractmethod
    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Generate one RGB image for each request, in order. Called from several threads at once.

        Raises:
            ImageModelError: the model cannot be loaded or refuses the request.
        """

    def truncated(self, prompt: str) -> str | None:
        """Return the part of a prompt that the model does not read; None if it reads all, or if that is unknown."""
        return None

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return what of a request or of the settings is not honoured: a sentence each, noted once in a run.

        Called after the image was generated, so that what happened on the way can be included.
        """
        return []


def generate_rgb(model: ImageModel, requests: Sequence[ImageRequest]) -> list[Image.Image]:
    """Generate images and check that the model returned one for each request; they are converted to RGB.

    Raises:
        ImageModelError: the model failed or returned something else; the message says what it must return.
    """
    given = model.generate(requests)
    must = f"the image model {model.name!r} must return a list with one PIL image for each request"
    if isinstance(given, Image.Image | str | bytes) or not isinstance(given, Iterable):
        raise ImageModelError(f"{must}, and returned {_type_name(given)}")
    images = list(given)
    if strange := [image for image in images if not isinstance(image, Image.Image)]:
        hint = "; an array of 8 bits becomes one by PIL.Image.fromarray" if hasattr(strange[0], "__array_interface__") else ""
        raise ImageModelError(f"{must}, and there was {_type_name(strange[0])} in it{hint}")
    if len(images) != len(requests):
        raise ImageModelError(f"{must}, and gave {len(images)} images for {len(requests)}")
    if any(0 in image.size for image in images):
        raise ImageModelError(f"{must}, and one has no pixels")
    try:
        return [to_rgb(image) for image in images]
    except Exception as error:  # a file that is read only now raises many kinds
        raise ImageModelError(f"{must}, and one cannot be read: {error}") from error


def _type_name(value: object) -> str:
    """Return the qualified name of the type of a value."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return "None" if value is None else name
