"""Pictures as data URIs: the page carries its images in itself."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from ..errors import GemsError
from ..memory.state import ImageRef

ReadImage = Callable[[ImageRef], bytes]
"""Returns the bytes of an image; none, or an error (GemsError, OSError, LookupError, ValueError), where it is lost."""

LIGHT, HEAVY = 48 * 1024, 384 * 1024
"""Bytes up to which a file is embedded as it is, of an attempt's image and of the best one; heavier ones get a preview."""

SMALL = 256
"""Pixels up to which an image is enlarged in whole steps, with hard edges."""

_logger = logging.getLogger(__name__)


class InlineImage(NamedTuple):
    """An image as the page shows it; `source` is empty where the pixels could not be read."""

    source: str
    alt: str
    width: int
    height: int
    crisp: bool


def once(read_image: ReadImage) -> ReadImage:
    """Return what reads each image once, however often it is asked for, and warns once of one that is lost."""
    known: dict[str, bytes] = {}

    def read(ref: ImageRef) -> bytes:
        if ref.sha256 not in known:
            known[ref.sha256] = _read(ref, read_image)
        return known[ref.sha256]

    return read


def picture(
    ref: ImageRef, read_image: ReadImage | None, *, alt: str, edge: int, light: int = LIGHT, density: int = 2
) -> InlineImage:
    """Return the image fitted into a square.

    Args:
        ref: the image.
        read_image: returns its bytes; None where only its size and words are wanted.
        alt: what it shows, for those who do not see it.
        edge: of the square, in CSS pixels.
        light: bytes up to which the file is embedded as it is; 0 for never.
        density: pixels of the preview for each CSS pixel; two are sharp on a dense screen as well.
    """
    width, height = fit(ref.width, ref.height, edge)
    crisp = max(ref.width, ref.height) <= SMALL
    data = _read(ref, read_image) if read_image else b""
    if not data:
        return InlineImage("", alt, width, height, crisp)
    source = _uri(data, ref.media_type) if len(data) <= light else _preview(data, ref.media_type, density * edge)
    return InlineImage(source, alt, width, height, crisp)


def _read(ref: ImageRef, read_image: ReadImage) -> bytes:
    try:
        return read_image(ref)
    except (GemsError, OSError, LookupError, ValueError):
        _logger.warning("image %s could not be read: the report shows a blank in its place", ref.sha256[:12])
        return b""


def fit(width: int, height: int, edge: int) -> tuple[int, int]:
    """Return the size to show: a large image scaled down into the square, a small one enlarged by a whole factor."""
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
        return _uri(data, media_type)  # the browser may read what Pillow cannot
    return _uri(out.getvalue(), "image/webp")


def _uri(data: bytes, media_type: str) -> str:
    kind = media_type if media_type.startswith("image/") else "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
