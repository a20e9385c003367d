"""The image store: pictures by the hash of their bytes, in an ordinary folder or wherever fsspec has a driver for.

    images/ab/abcdef....png          the picture; its name is its sha256
    images/made/0123.../4567....json which picture a generation request of a run led to: a note
    images/store.json                which layout this is

A picture is written once, whole or not at all. Notes let a resumed run find the image that a killed one had paid for,
although no checkpoint knew of it yet. The folder of a run's notes is the hash of its name. Earlier versions kept all notes
in `made` itself; they are still found.
"""

from __future__ import annotations

import copy
import hashlib
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from PIL import Image, PngImagePlugin
from pydantic import ValidationError

from ..errors import ImageStoreError, LostImageError
from ..memory.state import ImageRef
from ..pixels import MAX_PIXELS, to_rgb
from .backends import FsspecStorage, LocalStorage, StoredFile, place_of
from .files import advice, replace_file

DIGEST = re.compile(r"[0-9a-f]{64}")
PICTURE = re.compile(r"([0-9a-f]{2})/(?P<digest>\1[0-9a-f]{62})\.png")
NOTE = re.compile(r"made/([0-9a-z]+/)?[0-9a-f]{64}\.json")
SHARED = "shared"
"""Where the notes of graphs without a thread are."""


class StoredImage(NamedTuple):
    """A picture that is in the store."""

    digest: str
    size: int
    """Bytes."""
    written: datetime
    """When it was last written, with its time zone: a picture that is made again is written again."""


class ImageStore:
    """Content-addressed PNG files in a folder or an object store.

    Args:
        place: a folder, as a path or a file:// URL, or any fsspec URL: `s3://bucket/prefix`, `memory://images`. For S3,
            credentials and endpoint are taken from where every AWS tool has them: AWS_ACCESS_KEY_ID,
            AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL_S3, or ~/.aws; a URL with credentials in it is refused.

    Raises:
        ImageStoreError: the URL is not understood, its driver is not installed, or it carries credentials.
    """

    def __init__(self, place: Path | str) -> None:
        self._place = place_of(place)
        self._checked = False
        self._namespace = ""

    def within(self, namespace: str) -> ImageStore:
        """Return the same store for one of several databases that share it: runs of the same name keep notes of their own."""
        other = copy.copy(self)
        other._namespace = namespace
        return other

    def __str__(self) -> str:
        return self.url

    @property
    def url(self) -> str:
        """Where the store is, as it was given, without a user's name."""
        return self._place.url

    @property
    def is_shared(self) -> bool:
        """Whether other machines reach it at its URL: it is neither a folder nor the memory of this process."""
        return isinstance(self._place, FsspecStorage) and not self.url.startswith("memory:")

    def check(self) -> None:
        """Make sure that pictures can be kept here, before one is paid for. Only the first call writes.

        Raises:
            ImageStoreError: it cannot be written.
        """
        if not self._checked:
            self._write("store.json", b'{"layout": 2}\n')
            self._checked = True

    def put(
        self,
        image: Image.Image,
        text: Mapping[str, str] | None = None,
        request: str | None = None,
        owner: str | None = None,
    ) -> ImageRef:
        """Store a picture as PNG and return its reference.

        Args:
            image: the pixels; what is transparent becomes white.
            text: what goes into the PNG's text chunks: prompt, seed, size, model.
            request: everything that determined the picture, as one string: by it `recall` finds the picture again. Without
                it there is a note all the same, which says that the picture is wanted.
            owner: the run that the picture is made for, by its thread; None where a graph has none.

        Raises:
            ImageStoreError: the store cannot be written, or the picture is too large or none that can be read.
        """
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width}x{image.height}"
            raise ImageStoreError(f"an image of {size} pixels is too large: at most {MAX_PIXELS:,} pixels are stored")
        try:
            pixels = to_rgb(image)
        except Exception as error:  # one that is read from its file only now raises many kinds
            raise ImageStoreError(f"the image cannot be stored, as it cannot be read: {error}") from error
        info = PngImagePlugin.PngInfo()
        for key, value in (text or {}).items():
            info.add_itxt(key, value)
        buffer = io.BytesIO()
        pixels.save(buffer, "PNG", pnginfo=info)
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        ref = ImageRef(sha256=digest, width=pixels.width, height=pixels.height)
        # First, so that no stored picture is ever without it.
        self._write(self._note(_claim(digest) if request is None else request, owner), ref.model_dump_json().encode())
        self._write(_name(digest), data)  # also where it is already: a damaged file is healed, an old one is new again
        return ref

    def keep(self, ref: ImageRef, data: bytes, owner: str | None = None) -> None:
        """Store a picture of another store as it is, byte by byte.

        Args:
            ref: its reference.
            data: its PNG.
            owner: as for `put`.

        Raises:
            LostImageError: the bytes are not those of the reference.
            ImageStoreError: the store cannot be written.
        """
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise LostImageError(f"image {ref.sha256} came damaged: its bytes have another hash; make it again")
        self.claim([ref], owner)  # first, as in `put`
        self._write(_name(ref.sha256), data)

    def claim(self, refs: Iterable[ImageRef], owner: str | None = None) -> None:
        """Note down that pictures which are in the store are a run's too, though it has not made them.

        Raises:
            ImageStoreError: the store cannot be written.
        """
        for ref in refs:
            self._write(self._note(_claim(ref.sha256), owner), ref.model_dump_json().encode())

    def path(self, digest: str) -> Path:
        """Return where a picture of this hash lies in a store that is a folder.

        Raises:
            ImageStoreError: the hash is not one, or the store is no folder.
        """
        name = _name(digest)
        if not isinstance(self._place, LocalStorage):
            raise ImageStoreError(f"the pictures of {self.url} are no files of this machine: read them instead")
        return self._place.path / name

    def is_in(self, folder: Path) -> bool:
        """Tell whether the store is a folder of this machine, and that one or one below it."""
        return isinstance(self._place, LocalStorage) and self._place.path.resolve().is_relative_to(folder.resolve())

    def read(self, ref: ImageRef) -> bytes:
        """Return a picture's bytes.

        Raises:
            LostImageError: it is missing, or its bytes do not have its hash.
            ImageStoreError: the store cannot be read.
        """
        try:
            data = self._read(_name(ref.sha256))
        except FileNotFoundError as error:
            raise LostImageError(
                f"image {ref.sha256} is not in the store {self.url} ({error.strerror}): restore it, or start a new run"
            ) from error
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise LostImageError(f"image {ref.sha256} is damaged: its bytes have another hash; restore it, or start a new run")
        return data

    def open(self, ref: ImageRef) -> Image.Image:
        """Return a picture's pixels, loaded.

        Raises:
            LostImageError: it is missing or damaged.
            ImageStoreError: the store cannot be read, or the picture is no PNG or has too many pixels.
        """
        data = self.read(ref)
        try:
            image = Image.open(io.BytesIO(data), formats=["PNG"])
            if image.width * image.height <= MAX_PIXELS:
                image.load()
                return image
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            pass
        except (OSError, ValueError, SyntaxError) as error:
            raise ImageStoreError(f"image {ref.sha256} is no PNG that can be read: remove it from the store {self.url}") from error
        raise ImageStoreError(f"image {ref.sha256} has more than {MAX_PIXELS:,} pixels and is not opened: it is not of GEMS")

    def recall(self, request: str, owner: str | None = None) -> ImageRef | None:
        """Return the picture that a generation request led to, None where there is none or it is gone or damaged.

        Raises:
            ImageStoreError: the store cannot be read. A picture that is there must not be paid for again.
        """
        for name in (self._note(request, owner), _flat_note(request)):
            ref = self._noted(name)
            if ref is not None:
                try:
                    self.read(ref)
                except LostImageError:
                    continue
                return ref
        return None

    def noted(self, owner: str | None = None) -> set[str]:
        """Return the hashes of the pictures that a run's notes name: all that it has made, in a checkpoint or not.

        Notes of earlier versions belong to no run; `noted_by_all` has them.

        Raises:
            ImageStoreError: the store cannot be read.
        """
        return self._digests(self._list(f"made/{self._folder(owner)}"))

    def noted_by_all(self, but: Collection[str | None] = ()) -> set[str]:
        """Return the hashes of the pictures that any note names, also those of earlier versions.

        Args:
            but: runs whose notes are left out.

        Who removes pictures that nothing names asks for `pictures` first and for this afterwards, as a note is written
        before its picture; and looks again before it removes them, as a picture that is there may be drawn once more.

        Raises:
            ImageStoreError: the store, or a note in it, cannot be read: then it is not known what is named.
        """
        top = self._list("made")
        left_out = {f"made/{self._folder(owner)}" for owner in but}
        return self._digests([*top, *self._lists([e.name for e in top if e.is_folder and e.name not in left_out])])

    def forget(self, owner: str | None = None) -> None:
        """Remove a run's notes, which may be none. Its pictures stay: other runs may have the same.

        Raises:
            ImageStoreError: they cannot be removed.
        """
        try:
            self._place.empty(f"made/{self._folder(owner)}")
        except OSError as error:
            raise self._error("remove from", error) from error

    def pictures(self) -> list[StoredImage]:
        """Return all stored pictures, whoever made them, by their hash. Other files are left out.

        Raises:
            ImageStoreError: the store cannot be read.
        """
        folders = [e.name for e in self._list("") if e.is_folder and len(e.name) == 2]
        found = [(PICTURE.fullmatch(e.name), e) for e in self._lists(folders)]
        return sorted(StoredImage(match["digest"], e.size, e.modified) for match, e in found if match and e.modified)

    def delete(self, digest: str) -> int:
        """Remove a picture and return the bytes that are free now, 0 where there was none.

        Raises:
            ImageStoreError: the hash is not one, or the picture cannot be removed.
        """
        try:
            return self._place.remove(_name(digest))
        except OSError as error:
            raise self._error("remove from", error) from error

    def sweep(self, before: datetime) -> int:
        """Remove what killed processes left of files that they were writing; return the bytes that are free now.

        Raises:
            ImageStoreError: something cannot be removed.
        """
        try:
            return self._place.sweep(before)
        except OSError as error:
            raise self._error("remove from", error) from error

    def _note(self, request: str, owner: str | None) -> str:
        return f"made/{self._folder(owner)}/{_hash(request)}.json"

    def _folder(self, owner: str | None) -> str:
        if owner is None:
            return SHARED
        return _hash(f"{self._namespace}/{owner}" if self._namespace else owner)[:32]

    def _noted(self, name: str) -> ImageRef | None:
        try:
            return ImageRef.model_validate_json(self._read(name))
        except (FileNotFoundError, ValidationError):  # torn notes name nothing: their pictures are drawn anew
            return None

    def _digests(self, entries: list[StoredFile]) -> set[str]:
        names = [e.name for e in entries if NOTE.fullmatch(e.name)]
        with ThreadPoolExecutor(16) as pool:  # an object store answers many at once
            return {ref.sha256 for ref in pool.map(self._noted, names) if ref}

    def _lists(self, folders: list[str]) -> Iterator[StoredFile]:
        with ThreadPoolExecutor(16) as pool:
            for entries in pool.map(self._list, folders):
                yield from entries

    def _list(self, folder: str) -> list[StoredFile]:
        try:
            return self._place.entries(folder)
        except OSError as error:
            raise self._error("list", error) from error

    def _read(self, name: str) -> bytes:
        try:
            return self._place.read(name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._error("read from", error) from error

    def _write(self, name: str, data: bytes) -> None:
        try:
            self._place.write(name, data)
        except OSError as error:
            raise self._error("write to", error) from error

    def _error(self, what: str, error: OSError) -> ImageStoreError:
        return ImageStoreError(f"cannot {what} the image store {self.url} ({error.strerror}): {advice(error, self._place.advice)}")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut.

    Raises:
        ImageStoreError: the folder cannot be written.
    """
    try:
        replace_file(path, data)
    except OSError as error:
        where, what = f"{path.parent} ({error.strerror})", advice(error, "choose a folder that can be written, see --runs")
        raise ImageStoreError(f"cannot write to {where}: {what}") from error


def _name(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise ImageStoreError(f"{digest[:80]!r} is not the id of an image: 64 hexadecimal digits are")
    return f"{digest[:2]}/{digest}.png"


def _claim(digest: str) -> str:
    """Return what stands for the request in a note that names a picture by nothing but itself."""
    return f"claim {digest}"


def _flat_note(request: str) -> str:
    return f"made/{_hash(request)}.json"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
