"""Images as they come from servers: PNG, JPEG or WebP, with a limit on their pixels."""

from __future__ import annotations

import base64
import io

from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ...errors import ImageModelError
from ...pixels import MAX_PIXELS, MAX_WEBP_SIDE, strip_text_chunks, to_rgb, too_large

_READERS = (PngImagePlugin.PngImageFile, JpegImagePlugin.JpegImageFile, WebPImagePlugin.WebPImageFile)


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64, or of a data URL.

    Raises:
        ImageModelError: it is not valid.
    """
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError:
        raise ImageModelError("the answer's image is not valid base64: try again") from None


def decode_image(data: bytes) -> Image.Image:
    """Decode a PNG, JPEG or WebP to RGB, as a person would see it.

    Raises:
        ImageModelError: the data is of another format, damaged, or larger than `MAX_PIXELS`.
    """
    image = _open(strip_text_chunks(data))
    if too_large(image):
        size = f"{image.width}x{image.height}"
        raise ImageModelError(
            f"the image has {size} pixels: at most {MAX_PIXELS:,} are taken, and {MAX_WEBP_SIDE:,} a side of a WebP"
        )
    try:
        return to_rgb(image)
    except Exception as error:  # Pillow's readers raise many kinds for a damaged file
        raise ImageModelError(f"the image is damaged ({error}): try again") from error


def _open(data: bytes) -> Image.Image:
    """Open an image without decoding its pixels.

    The readers are called directly: `Image.open` would warn of large images before their size can be checked, and accepts
    many more formats.
    """
    for reader in _READERS:
        try:
            return reader(io.BytesIO(data))
        except Exception:  # it is of another format: the readers raise many kinds
            continue
    raise ImageModelError("the answer is not an image (PNG, JPEG or WebP): try again")
