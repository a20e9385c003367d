"""An image model that writes the prompt on a card: `card`, to rehearse runs without a model."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ..options import ImageOptions
from .base import ImageModel, ImageRequest

SIDE = 512
MARGIN = 16
FONT_SIZES = (40, 32, 24, 18, 14, 11)
"""Font sizes in pixels: the largest with which the prompt fits is taken."""


class CardOptions(ImageOptions):
    """An image model that writes the prompt on a card."""

    spec = "card"
    about = "the prompt, written on a card, for a rehearsal"

    def make(self) -> CardImage:
        """Return the image model."""
        return CardImage()


class CardImage(ImageModel):
    """Writes the prompt on a card; prompt and seed choose its colour."""

    name = "card"

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Draw one card for each request."""
        return [_draw_card(request) for request in requests]

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return that the prompt is not drawn."""
        return ["the image model card writes the prompt on a card and draws nothing of it: this is a rehearsal"]


def _draw_card(request: ImageRequest) -> Image.Image:
    size = (request.width or SIDE, request.height or SIDE)
    light = hashlib.sha256(f"{request.prompt}/{request.seed}".encode()).digest()
    card = Image.new("RGB", size, tuple(160 + byte % 96 for byte in light[:3]))
    pen = ImageDraw.Draw(card)
    for letters in FONT_SIZES:
        font = ImageFont.load_default(letters)
        columns = max(1, int((size[0] - 2 * MARGIN) / font.getlength("n")))
        text = "\n".join(line for part in request.prompt.splitlines() for line in textwrap.wrap(part, columns))
        if pen.multiline_textbbox((MARGIN, MARGIN), text, font=font)[3] <= size[1] - MARGIN:
            break
    pen.multiline_text((MARGIN, MARGIN), text, fill="black", font=font)
    return card
