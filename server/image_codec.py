"""Decode the images of requests, encode those of answers."""

from __future__ import annotations

import base64
import binascii
import io

from PIL import Image

from ..pixels import strip_text_chunks, to_rgb, too_large
from .errors import ApiError

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def check_data_url(url: str, max_pixels: int, param: str) -> None:
    """Check the image in a data URL.

    Args:
        url: `data:image/...;base64,...`.
        max_pixels: most pixels of an image.
        param: the field of the request, for errors.

    Raises:
        ApiError: it is another kind of URL, not base64, not an image, or too large.
    """
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise ApiError(400, f"{param}: send the picture itself, as data:image/png;base64,...: no URL is fetched", param=param)
    try:
        open_image(base64.b64decode(data, validate=True), max_pixels, param)
    except binascii.Error as error:
        raise ApiError(400, f"{param}: the picture is not base64: {error}", param=param) from error


def open_image(data: bytes, max_pixels: int, param: str) -> Image.Image:
    """Open an image without decoding its pixels.

    Raises:
        ApiError: it is not an image, or too large.
    """
    try:
        image = Image.open(io.BytesIO(strip_text_chunks(data)), formats=IMAGE_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(max_pixels, param) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise ApiError(400, f"{param}: that is not a picture: send PNG, JPEG, WebP or GIF", param=param) from error
    if too_large(image, max_pixels):
        raise _too_large(max_pixels, param)
    return image


def _too_large(max_pixels: int, param: str) -> ApiError:
    return ApiError(400, f"{param}: the picture has too many pixels: at most {max_pixels:,} are taken", param=param)


def source_png(data: bytes, max_pixels: int, param: str) -> bytes:
    """Return an image as the PNG for an image model: upright, RGB, transparent pixels on white.

    Raises:
        ApiError: it is not an image, damaged, or too large.
    """
    image = open_image(data, max_pixels, param)
    try:
        return encode_png(to_rgb(image))
    except Exception as error:  # Pillow's readers raise many kinds
        raise ApiError(400, f"{param}: the picture is damaged: send it anew", param=param) from error


def encode_png(image: Image.Image) -> bytes:
    """Encode an image as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
