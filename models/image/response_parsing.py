"""What an images endpoint answers with: where the picture is in it, and its pixels."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ...errors import ImageModelError
from ...pixels import MAX_PIXELS, MAX_WEBP_SIDE, strip_text_chunks, to_rgb, too_large

_READERS = (PngImagePlugin.PngImageFile, JpegImagePlugin.JpegImageFile, WebPImagePlugin.WebPImageFile)


def picture_in(answer: Mapping[str, Any]) -> bytes | str | None:
    """Return the bytes of the first picture in an answer, or its address, None where there is none.

    Raises:
        ImageModelError: it is not valid base64.
    """
    data = answer.get("data")
    item = data[0] if isinstance(data, list) and data else None
    encoded, url = (item.get("b64_json"), item.get("url")) if isinstance(item, dict) else (None, None)
    if isinstance(url, str) and url.startswith("data:"):
        encoded, url = url.partition(",")[2], None
    if isinstance(encoded, str) and encoded:
        try:
            return base64.b64decode("".join(encoded.split()), validate=True)
        except ValueError:
            raise ImageModelError("the answer's picture is not valid base64: try again") from None
    return url if isinstance(url, str) and url else None


def warnings_in(answer: Mapping[str, Any]) -> list[str]:
    """Return what a server says of its own about a picture, as `gems serve` does; no more than can be read."""
    warnings = answer.get("warnings")
    return [" ".join(str(warning).split())[:400] for warning in warnings[:10]] if isinstance(warnings, list) else []


def read_picture(data: bytes) -> Image.Image:
    """Return a PNG, JPEG or WebP as a person would see it, in RGB.

    Raises:
        ImageModelError: it is none of these, damaged, or larger than `MAX_PIXELS`.
    """
    image = _opened(strip_text_chunks(data))
    if too_large(image):
        size = f"{image.width}x{image.height}"
        raise ImageModelError(
            f"the picture has {size} pixels: at most {MAX_PIXELS:,} are taken, and {MAX_WEBP_SIDE:,} a side of a WebP"
        )
    try:
        return to_rgb(image)
    except Exception as error:  # Pillow's readers raise many kinds for a damaged file
        raise ImageModelError(f"the picture is damaged ({error}): try again") from error


def _opened(data: bytes) -> Image.Image:
    """Open a picture without reading its pixels.

    The readers are called themselves: `ImagePart.open` would warn of large pictures before their size can be asked for, and lets
    many more formats in.
    """
    for reader in _READERS:
        try:
            return reader(io.BytesIO(data))
        except Exception:  # it is of another format: the readers raise many kinds
            continue
    raise ImageModelError("the answer is not a picture (PNG, JPEG or WebP): try again")
