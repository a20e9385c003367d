"""Responses of the images API: the image in them, warnings, and what an error says."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ...errors import ImageModelError
from ...pixels import MAX_PIXELS, MAX_WEBP_SIDE, strip_text_chunks, to_rgb, too_large

_READERS = (PngImagePlugin.PngImageFile, JpegImagePlugin.JpegImageFile, WebPImagePlugin.WebPImageFile)


def first_image(answer: Mapping[str, Any]) -> bytes | str | None:
    """Return the first image of a response, as bytes or as its URL; None where there is none.

    Raises:
        ImageModelError: the image is not valid base64.
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
            raise ImageModelError("the answer's image is not valid base64: try again") from None
    return url if isinstance(url, str) and url else None


def server_warnings(answer: Mapping[str, Any]) -> list[str]:
    """Return the field `warnings` of a response, which `gems serve` adds: at most 10, of at most 400 characters."""
    warnings = answer.get("warnings")
    return [" ".join(str(warning).split())[:400] for warning in warnings[:10]] if isinstance(warnings, list) else []


class ErrorDetail(NamedTuple):
    """The error in the body of a response."""

    message: str
    code: str = ""
    param: str = ""

    @property
    def is_refusal(self) -> bool:
        """Whether the content of the request was refused, and not its form."""
        words = r"safety system|content[_ ]policy|content[_ ]filter|content moderation|moderation_blocked"
        return bool(re.search(words, f"{self.code} {self.message}", re.IGNORECASE))

    def refused_field(self, sent: Collection[str]) -> str | None:
        """Return which of the sent fields the server does not take, None where the error is about something else."""
        unknown = r"unknown|unrecogni[sz]ed|unexpected|unsupported|not supported|not permitted|not allowed|\bextra\b"
        if not re.search(unknown, f"{self.code} {self.message}".replace("_", " "), re.IGNORECASE):
            return None
        named = {self.param, *re.findall(r"\w+", self.message)}
        return next((name for name in sent if name in named), None)


def parse_error(body: object) -> ErrorDetail:
    """Parse the body of an error response: `{"error": {...}}` of OpenAI and vLLM, `{"detail": ...}` of FastAPI, or plain text."""
    if not isinstance(body, Mapping):
        text = str(body or "").strip()
        return ErrorDetail("" if text.startswith("<") else text)  # a web page says nothing
    error = body.get("error", body)
    if not isinstance(error, Mapping):
        return ErrorDetail(str(error))
    detail = error.get("detail")
    if isinstance(detail, list):  # one entry a field: {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "..."}
        parts = [d for d in detail if isinstance(d, Mapping)]
        message = "; ".join(f"{'.'.join(map(str, d.get('loc') or ()))}: {d.get('msg')}" for d in parts)
        return ErrorDetail(message or str(detail))
    message = error.get("message") or detail or error.get("error") or ""
    return ErrorDetail(str(message), str(error.get("code") or ""), str(error.get("param") or ""))


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
