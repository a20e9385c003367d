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

LIGHT = 48 * 1024
"""Bytes up to which a file is embedded as it is wherever it shows; heavier ones get a preview in the smaller places."""

SMALL = 256
"""Pixels up to which an image is enlarged in whole steps, with hard edges."""

_logger = logging.getLogger(__name__)


class Picture(NamedTuple):
    """An image as the page shows it; `source` is empty where the pixels could not be read."""

    source: str
    alt: str
    width: int
    height: int
    crisp: bool


def picture(ref: ImageRef, read_image: ReadImage, *, alt: str, edge: int, exact: bool = False, light: int = LIGHT) -> Picture:
    """Return the image fitted into a square of `edge` CSS pixels. `exact` keeps the file's own bytes, whatever they weigh.

    `light`: bytes up to which they are kept without that; a heavier file is shown by a preview.
    """
    width, height = fit(ref.width, ref.height, edge)
    crisp = max(ref.width, ref.height) <= SMALL
    try:
        data = read_image(ref)
    except (GemsError, OSError, LookupError, ValueError):
        _logger.warning("image %s could not be read: the report shows a blank in its place", ref.sha256[:12])
        return Picture("", alt, width, height, crisp)
    # Twice the size shown: sharp on a dense screen as well.
    source = _uri(data, ref.media_type) if exact or len(data) <= light else _preview(data, ref.media_type, 2 * edge)
    return Picture(source, alt, width, height, crisp)


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
            image.convert("RGBA" if image.has_transparency_data else "RGB").save(out, "WEBP", quality=88)
    except (OSError, ValueError, Image.DecompressionBombError):
        return _uri(data, media_type)  # the browser may read what Pillow cannot
    return _uri(out.getvalue(), "image/webp")


def _uri(data: bytes, media_type: str) -> str:
    kind = media_type if media_type.startswith("image/") else "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
