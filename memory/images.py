"""The image store: pictures by the hash of their bytes, in an ordinary folder.

    images/ab/abcdef....png      the picture; its name is its sha256
    images/made/0123....json     which picture a generation request led to

A picture is written once, atomically. The second kind of file lets a resumed run find the image that a killed one had
paid for, although no checkpoint knew of it yet.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, PngImagePlugin

from ..errors import GemsError
from .files import replace_file
from .state import ImageRef

MAX_PIXELS = 64_000_000
"""Largest picture taken, in pixels: more is a broken or hostile file."""


class ImageStoreError(GemsError):
    """A picture is missing, damaged or cannot be written; the message says which and what to do."""


class ImageStore:
    """A content-addressed folder of PNG files.

    Args:
        folder: where the pictures live; made when the first is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def put(self, image: Image.Image, text: Mapping[str, str] | None = None, request: str | None = None) -> ImageRef:
        """Store a picture as PNG and return its reference.

        Args:
            image: the pixels.
            text: what goes into the PNG's text chunks: prompt, seed, size, model.
            request: everything that determined the picture, as one string: by it `recall` finds the picture again.

        Raises:
            ImageStoreError: the folder cannot be written, or the picture is too large.
        """
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width}x{image.height}"
            raise ImageStoreError(f"an image of {size} pixels is too large: at most {MAX_PIXELS:,} pixels are stored")
        info = PngImagePlugin.PngInfo()
        for key, value in (text or {}).items():
            info.add_itxt(key, value)
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "PNG", pnginfo=info)
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        ref = ImageRef(sha256=digest, width=image.width, height=image.height)
        if request is not None:  # first, so that no stored picture is ever without it
            write_atomically(self._note(request), ref.model_dump_json().encode())
        path = self.path(digest)
        if not path.is_file() or path.read_bytes() != data:  # a damaged file is healed
            write_atomically(path, data)
        return ref

    def path(self, digest: str) -> Path:
        """Return where a picture of this hash lies.

        Raises:
            ImageStoreError: the hash is not one.
        """
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ImageStoreError(f"{digest[:80]!r} is not the id of an image: 64 hexadecimal digits are")
        return self.folder / digest[:2] / f"{digest}.png"

    def read(self, ref: ImageRef) -> bytes:
        """Return a picture's bytes.

        Raises:
            ImageStoreError: it is missing, or its bytes do not have its hash.
        """
        path = self.path(ref.sha256)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ImageStoreError(
                f"image {ref.sha256} is not in the store ({error.strerror}): restore it, or start a new run"
            ) from error
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise ImageStoreError(f"image {ref.sha256} is damaged: its bytes have another hash; restore it, or start a new run")
        return data

    def open(self, ref: ImageRef) -> Image.Image:
        """Return a picture's pixels, loaded.

        Raises:
            ImageStoreError: it is missing or damaged.
        """
        image = Image.open(io.BytesIO(self.read(ref)))
        image.load()
        return image

    def recall(self, request: str) -> ImageRef | None:
        """Return the picture that a generation request led to, None where there is none or it is gone or damaged."""
        try:
            ref = ImageRef(**json.loads(self._note(request).read_bytes()))
            self.read(ref)
        except (OSError, ValueError, TypeError, ImageStoreError):
            return None
        return ref

    def _note(self, request: str) -> Path:
        return self.folder / "made" / f"{hashlib.sha256(request.encode()).hexdigest()}.json"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut.

    Raises:
        ImageStoreError: the folder cannot be written.
    """
    try:
        replace_file(path, data)
    except OSError as error:
        where = f"{path.parent} ({error.strerror})"
        raise ImageStoreError(f"cannot write to {where}: choose a folder that can be written, see --runs") from error
