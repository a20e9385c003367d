"""Images as a person would see them: upright, in sRGB, 8 bits a channel, what is transparent on white."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

MAX_PIXELS = 64_000_000
"""Largest image taken, in pixels: more is a broken or hostile file."""

MAX_WEBP_SIDE = 16_383
"""Longest side that WebP itself allows, in pixels: a canvas may claim more, and costs seconds."""

_PNG = b"\x89PNG\r\n\x1a\n"


def too_large(image: Image.Image, most: int = MAX_PIXELS) -> bool:
    """Tell whether an image that was opened has too many pixels to be decoded."""
    return image.width * image.height > most or (image.format == "WEBP" and max(image.size) > MAX_WEBP_SIDE)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as RGB, with nothing of the file that it came from but its pixels.

    Raises:
        ValueError: it is not clear what it shows: it has no palette, or its levels have no fixed range.
        Exception: its file is damaged; Pillow's readers raise many kinds.
    """
    image.load()
    if image.mode in ("P", "PA") and image.palette is None:
        raise ValueError("its palette is missing")
    if image.mode in ("I", "F"):
        raise ValueError(f"levels of mode {image.mode} have no fixed range: convert it to RGB")
    image = _upright(image)
    plain, alpha = _layers(image)
    colors = _in_srgb(plain, image.info.get("icc_profile"))
    if alpha is not None:
        colors = Image.composite(colors, Image.new("RGB", image.size, "white"), alpha)
    colors.info = {}
    return colors


def without_texts(data: bytes) -> bytes:
    """Return a file without the chunks that Pillow refuses a PNG for though a viewer shows it: long texts, long or broken profiles.

    What is no PNG is returned as it is, and so is what follows a chunk that is cut off.
    """
    if not data.startswith(_PNG):
        return data
    kept, at = [_PNG], len(_PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind not in (b"tEXt", b"zTXt", b"iTXt") and not (kind == b"iCCP" and not _is_profile(data[at + 8 : end - 4])):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _is_profile(content: bytes) -> bool:
    """Tell whether this is a colour profile that Pillow takes: a name, a zero, the method 0, and no more than it unpacks."""
    _, _, packed = content.partition(b"\0\0")
    unpacked = zlib.decompressobj()
    try:
        return bool(unpacked.decompress(packed, PngImagePlugin.MAX_TEXT_CHUNK)) and not unpacked.unconsumed_tail
    except zlib.error:
        return False


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data says nothing of how to turn it
        return image


def _layers(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return an image's colours, in 8 bits and without transparency, and its transparency if it has any."""
    if image.mode.startswith("I;16"):
        levels, clear = np.asarray(image).astype(np.uint32), image.info.get("transparency")
        alpha = Image.fromarray(np.where(levels == clear, 0, 255).astype(np.uint8)) if isinstance(clear, int) else None
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)), alpha
    gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        layer = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        return layer.convert("L" if gray else "RGB"), layer.getchannel("A")
    return image.convert("L" if gray else "CMYK" if image.mode == "CMYK" else "RGB"), None


def _in_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Return an image in the colours that its profile means; a profile of another colour space or of none is left out."""
    if isinstance(profile, bytes):
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if given.profile.xcolor_space.strip() == {"L": "GRAY"}.get(image.mode, image.mode):
                if "sRGB" in ImageCms.getProfileDescription(given):
                    return image.convert("RGB")
                converted = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
                return converted or image.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")
