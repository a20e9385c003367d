"""The contract of an image model: a list of requests in, a list of pictures out."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from ..errors import GemsError


class ImageModelError(GemsError):
    """An image model cannot be loaded or failed; the message says what to do."""


class ImageRequest(BaseModel):
    """One picture to be made. Equal requests to the same model give the same picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str
    negative_prompt: str = ""
    seed: int = Field(ge=0, lt=2**31)
    width: int | None = Field(default=None, gt=0, description="Pixels; None means the model's own size.")
    height: int | None = Field(default=None, gt=0, description="Pixels; None means the model's own size.")


class ImageModel(ABC):
    """What every image model offers. Subclasses give `name`, `settings` and `generate`."""

    name: str
    """Short name, shown to people and written into pictures."""

    @property
    def settings(self) -> dict[str, object]:
        """Everything besides the request that determines a picture: the model's version, steps, guidance."""
        return {}

    @abstractmethod
    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Make one RGB picture for each request, in order.

        Raises:
            ImageModelError: the model cannot be loaded or refuses the request.
        """

    async def agenerate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Do as `generate`, without blocking the event loop."""
        return await asyncio.to_thread(self.generate, requests)

    def truncated(self, prompt: str) -> str | None:
        """Return the part of a prompt that the model would not read, None where it reads all or cannot tell."""
        return None
