"""Images as data URIs, so that a page is one file."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from functools import cache, partial
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from ..errors import GemsError
from ..memory.state import ImageRef

ReadImage = Callable[[ImageRef], bytes]
"""Returns the bytes of an image. For one that is lost: no bytes, or GemsError, OSError, LookupError or ValueError."""

LIGHT, HEAVY = 48 * 1024, 384 * 1024
"""Bytes up to which the file of an attempt's image, and of the best image, is embedded; larger ones get a preview."""

SMALL = 256
"""Pixels up to which an image is enlarged by a whole factor, with hard edges."""

_logger = logging.getLogger(__name__)


class InlineImage(NamedTuple):
    """An image as a page shows it; `source` is empty if it could not be read."""

    source: str
    alt: str
    width: int
    height: int
    crisp: bool


def read_once(read_image: ReadImage) -> ReadImage:
    """Return a reader that reads each image once, and warns once about one that is lost."""
    return cache(partial(_read_or_empty, read_image=read_image))


def inline_image(ref: ImageRef, read_image: ReadImage, *, alt: str, edge: int, light: int = LIGHT, density: int = 2) -> InlineImage:
    """Return an image scaled to fit a square.

    Args:
        ref: the image.
        read_image: returns its bytes.
        alt: its alternative text.
        edge: of the square, in CSS pixels.
        light: bytes up to which the file is embedded as it is; 0 for never.
        density: pixels of the preview per CSS pixel; 2 is sharp on dense screens.
    """
    width, height = fitted_size(ref.width, ref.height, edge)
    crisp = max(ref.width, ref.height) <= SMALL
    data = _read_or_empty(ref, read_image)
    if not data:
        return InlineImage("", alt, width, height, crisp)
    source = _data_uri(data, ref.media_type) if len(data) <= light else _preview(data, ref.media_type, density * edge)
    return InlineImage(source, alt, width, height, crisp)


def _read_or_empty(ref: ImageRef, read_image: ReadImage) -> bytes:
    try:
        return read_image(ref)
    except (GemsError, OSError, LookupError, ValueError):
        _logger.warning("image %s could not be read: the report shows a blank in its place", ref.sha256[:12])
        return b""


def fitted_size(width: int, height: int, edge: int) -> tuple[int, int]:
    """Return the size of an image in a square: a large one is scaled down, a small one enlarged by a whole factor."""
    longest = max(width, height)
    factor: float = max(1, edge // longest) if longest <= SMALL else 1
    if longest * factor > edge:
        factor = edge / longest
    return max(1, round(width * factor)), max(1, round(height * factor))


def _preview(data: bytes, media_type: str, edge: int) -> str:
    try:
        with Image.open(BytesIO(data)) as image:
            image.thumbnail((edge, edge))
            out = BytesIO()
            image.convert("RGBA" if image.has_transparency_data else "RGB").save(out, "WEBP", quality=82)
    except (OSError, ValueError, Image.DecompressionBombError):
        return _data_uri(data, media_type)  # the browser may read what Pillow cannot
    return _data_uri(out.getvalue(), "image/webp")


def _data_uri(data: bytes, media_type: str) -> str:
    kind = media_type if media_type.startswith("image/") else "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
