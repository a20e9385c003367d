"""Pictures that come in and go out."""

from __future__ import annotations

import base64
import binascii
import io

from PIL import Image

from ..pixels import to_rgb, too_large, without_texts
from .errors import ApiError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def decode_url(url: str, max_pixels: int, param: str) -> None:
    """Check the picture in a data URL.

    Args:
        url: `data:image/...;base64,...`.
        max_pixels: the largest picture taken.
        param: the field it came in, for errors.

    Raises:
        ApiError: it is another kind of URL, not base64, not a picture, or too large.
    """
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise ApiError(400, f"{param}: send the picture itself, as data:image/png;base64,...: no URL is fetched", param=param)
    try:
        open_picture(base64.b64decode(data, validate=True), max_pixels, param)
    except binascii.Error as error:
        raise ApiError(400, f"{param}: the picture is not base64: {error}", param=param) from error


def open_picture(data: bytes, max_pixels: int, param: str) -> Image.Image:
    """Open a picture without decoding its pixels.

    Raises:
        ApiError: it is not a picture, or too large.
    """
    try:
        image = Image.open(io.BytesIO(without_texts(data)), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(max_pixels, param) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise ApiError(400, f"{param}: that is not a picture: send PNG, JPEG, WebP or GIF", param=param) from error
    if too_large(image, max_pixels):
        raise _too_large(max_pixels, param)
    return image


def _too_large(max_pixels: int, param: str) -> ApiError:
    return ApiError(400, f"{param}: the picture has too many pixels: at most {max_pixels:,} are taken", param=param)


def as_source(data: bytes, max_pixels: int, param: str) -> bytes:
    """Return a picture as the PNG that an image model is given: upright, RGB, what is transparent on white.

    Raises:
        ApiError: it is not a picture, damaged, or too large.
    """
    image = open_picture(data, max_pixels, param)
    try:
        return as_png(to_rgb(image))
    except Exception as error:  # Pillow's readers raise many kinds
        raise ApiError(400, f"{param}: the picture is damaged: send it anew", param=param) from error


def as_png(image: Image.Image) -> bytes:
    """Encode a picture, losslessly."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
