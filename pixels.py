"""Convert images to RGB as a person would see them: upright, in sRGB, 8 bits a channel, transparent pixels on white."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

MAX_PIXELS = 64_000_000
"""Most pixels of an image that is accepted: more is a broken or hostile file."""

MAX_WEBP_SIDE = 16_383
"""Longest side of a WebP image, in pixels, by its format: a file may claim more, which costs seconds."""

_PNG = b"\x89PNG\r\n\x1a\n"


def too_large(image: Image.Image, most: int = MAX_PIXELS) -> bool:
    """Return whether an image that was opened has too many pixels to be decoded.

    Args:
        image: opened, not yet decoded.
        most: the bound, in pixels.
    """
    return image.width * image.height > most or (image.format == "WEBP" and max(image.size) > MAX_WEBP_SIDE)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB, without metadata of its file.

    Raises:
        ValueError: its colors are unknown: its palette is missing, or its levels have no fixed range.
        Exception: its file is damaged; Pillow's readers raise many kinds.
    """
    image.load()
    if image.mode in ("P", "PA") and image.palette is None:
        raise ValueError("its palette is missing")
    if image.mode in ("I", "F"):
        raise ValueError(f"levels of mode {image.mode} have no fixed range: convert it to RGB")
    image = _upright(image)
    plain, alpha = _color_and_alpha(image)
    colors = _to_srgb(plain, image.info.get("icc_profile"))
    if alpha is not None:
        colors = Image.composite(colors, Image.new("RGB", image.size, "white"), alpha)
    colors.info = {}
    return colors


def strip_text_chunks(data: bytes) -> bytes:
    """Remove the chunks for which Pillow refuses a PNG that a viewer shows: long texts, long or broken color profiles.

    A file of another format is returned as is, and so is the rest after a truncated chunk.
    """
    if not data.startswith(_PNG):
        return data
    chunks, start = [_PNG], len(_PNG)
    while start + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if kind not in (b"tEXt", b"zTXt", b"iTXt") and not (
            kind == b"iCCP" and not _is_readable_profile(data[start + 8 : end - 4])
        ):
            chunks.append(data[start:end])
        start = end
    return b"".join([*chunks, data[start:]])


def _is_readable_profile(content: bytes) -> bool:
    """Return whether Pillow accepts a color profile: a name, a zero byte, the method 0, and a bounded size when unpacked."""
    _, _, packed = content.partition(b"\0\0")
    unpacked = zlib.decompressobj()
    try:
        return bool(unpacked.decompress(packed, PngImagePlugin.MAX_TEXT_CHUNK)) and not unpacked.unconsumed_tail
    except zlib.error:
        return False


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data has no orientation
        return image


def _color_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return an image's colors, in 8 bits and opaque, and its alpha channel if it has one."""
    if image.mode.startswith("I;16"):
        levels, clear = np.asarray(image).astype(np.uint32), image.info.get("transparency")
        alpha = Image.fromarray(np.where(levels == clear, 0, 255).astype(np.uint8)) if isinstance(clear, int) else None
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8)), alpha
    gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        layer = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        return layer.convert("L" if gray else "RGB"), layer.getchannel("A")
    return image.convert("L" if gray else "CMYK" if image.mode == "CMYK" else "RGB"), None


def _to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Convert an image from its color profile to sRGB; a profile of another color space or a broken one is ignored."""
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
