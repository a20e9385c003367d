"""Content-addressed store of images, in a folder or any storage that fsspec has a driver for.

    images/ab/abcdef....png          an image; its name is its sha256
    images/made/0123.../4567....json a claim: the image that a generation request of a run led to
    images/store.json                the version of this layout

Images are written atomically. By a claim a resumed run finds the image that a killed process had paid for, although no
checkpoint knew of it yet; and images without a claim can be deleted. The folder of a run's claims is the hash of its name.
"""

from __future__ import annotations

import copy
import hashlib
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from PIL import Image, PngImagePlugin
from pydantic import ValidationError

from ..errors import ImageStoreError, LostImageError
from ..memory.state import ImageRef
from ..pixels import MAX_PIXELS, to_rgb
from .backends import FsspecStorage, LocalStorage, StoredFile, backend_of
from .files import disk_advice

DIGEST = re.compile(r"[0-9a-f]{64}")
IMAGE_FILE = re.compile(r"([0-9a-f]{2})/(?P<digest>\1[0-9a-f]{62})\.png")
CLAIM_FILE = re.compile(r"made/[0-9a-z]+/[0-9a-f]{64}\.json")
NO_OWNER_FOLDER = "shared"
"""The folder of claims of graphs without a thread."""


class StoredImage(NamedTuple):
    """An image in the store."""

    digest: str
    size: int
    """In bytes."""
    written: datetime
    """When it was last written, with its time zone: an image that is made again is written again."""


class ImageStore:
    """Content-addressed PNG files in a folder or an object store.

    Args:
        place: a folder, as a path or a file:// URL, or any fsspec URL: `s3://bucket/prefix`, `memory://images`. For S3,
            credentials and endpoint are taken from where every AWS tool has them: AWS_ACCESS_KEY_ID,
            AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL_S3, or ~/.aws; a URL with credentials in it is refused.

    Raises:
        ImageStoreError: the URL is not understood, its driver is not installed, or it carries credentials.

    Example:
        ```python
        from PIL import Image

        store = gems.ImageStore("runs/images")
        image = store.put(Image.open("fox.png"), text={"prompt": "a red fox"})
        store.open(image).show()
        graph = gems.build_graph(image_store=store)
        ```
    """

    def __init__(self, place: Path | str) -> None:
        self._backend = backend_of(place)
        self._is_writable = False
        self._namespace = ""

    def with_namespace(self, namespace: str) -> ImageStore:
        """Return the same store for one of several databases that share it: their runs of one name have separate claims."""
        other = copy.copy(self)
        other._namespace = namespace
        return other

    def __str__(self) -> str:
        return self.url

    @property
    def url(self) -> str:
        """The place of the store as it was given, without a user name."""
        return self._backend.url

    @property
    def is_shared(self) -> bool:
        """Whether other machines reach it at its URL: it is neither a folder nor the memory of this process."""
        return isinstance(self._backend, FsspecStorage) and not self.url.startswith("memory:")

    def ensure_writable(self) -> None:
        """Write a small file, so that an image which cannot be stored is not paid for. Only the first call writes.

        Raises:
            ImageStoreError: the store cannot be written.
        """
        if not self._is_writable:
            self._write("store.json", b'{"layout": 2}\n')
            self._is_writable = True

    def put(
        self,
        image: Image.Image,
        text: Mapping[str, str] | None = None,
        request: str | None = None,
        owner: str | None = None,
    ) -> ImageRef:
        """Store an image as PNG and return its reference.

        Args:
            image: the pixels; transparent ones become white.
            text: text chunks of the PNG: prompt, seed, size, model.
            request: everything that determined the image, as one string: `find_by_request` finds the image by it. Without
                it the claim names the image alone.
            owner: the thread of the run that claims the image; None for a graph without one.

        Raises:
            ImageStoreError: the store cannot be written, or the image is too large or cannot be read.
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
        # The claim first, so that no stored image is ever without one.
        self._write(self._claim_file(_claim_key(digest) if request is None else request, owner), ref.model_dump_json().encode())
        self._write(_image_file(digest), data)  # also where it is already: a damaged file is mended, an old one is new again
        return ref

    def put_bytes(self, ref: ImageRef, data: bytes, owner: str | None = None) -> None:
        """Store an image of another store, byte by byte the same.

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
        self._write(_image_file(ref.sha256), data)

    def claim(self, refs: Iterable[ImageRef], owner: str | None = None) -> None:
        """Add claims of a run to stored images that it has not made itself.

        Raises:
            ImageStoreError: the store cannot be written.
        """
        for ref in refs:
            self._write(self._claim_file(_claim_key(ref.sha256), owner), ref.model_dump_json().encode())

    def path(self, digest: str) -> Path:
        """Return the file of an image, in a store that is a folder.

        Raises:
            ImageStoreError: the hash is not one, or the store is not a folder.
        """
        name = _image_file(digest)
        if not isinstance(self._backend, LocalStorage):
            raise ImageStoreError(f"the images of {self.url} are not files of this machine: read them instead")
        return self._backend.path / name

    def is_inside(self, folder: Path) -> bool:
        """Return whether the store is this folder of this machine, or below it."""
        return isinstance(self._backend, LocalStorage) and self._backend.path.resolve().is_relative_to(folder.resolve())

    def read(self, ref: ImageRef) -> bytes:
        """Return an image's bytes.

        Raises:
            LostImageError: it is missing, or its bytes differ from its hash.
            ImageStoreError: the store cannot be read.
        """
        data = self._read(_image_file(ref.sha256))
        if data is None:
            raise LostImageError(f"image {ref.sha256} is not in the store {self.url}: restore it, or start a new run")
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise LostImageError(f"image {ref.sha256} is damaged: its bytes have another hash; restore it, or start a new run")
        return data

    def open(self, ref: ImageRef) -> Image.Image:
        """Return an image with its pixels loaded.

        Raises:
            LostImageError: it is missing or damaged.
            ImageStoreError: the store cannot be read, or the image is not a PNG or has too many pixels.
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

    def find_by_request(self, request: str, owner: str | None = None) -> ImageRef | None:
        """Return the image that a generation request led to, None if there is none or if it is missing or damaged.

        Raises:
            ImageStoreError: the store cannot be read. A stored image must not be paid for again.
        """
        ref = self._read_claim(self._claim_file(request, owner))
        try:
            return ref if ref and self.read(ref) else None
        except LostImageError:
            return None

    def claimed(self, owner: str | None = None) -> set[str]:
        """Return the hashes of the images that a run claims: all that it has made, in a checkpoint or not.

        Raises:
            ImageStoreError: the store cannot be read.
        """
        return self._digests(self._list(f"made/{self._claims_folder(owner)}"))

    def all_claimed(self, but: Collection[str | None] = ()) -> set[str]:
        """Return the hashes of all claimed images (the mark phase of garbage collection).

        Call `list_images` first and this afterwards, as a claim is written before its image; and look again before you delete
        any, as a stored image may be claimed once more.

        Args:
            but: runs whose claims are left out.

        Raises:
            ImageStoreError: the store, or a claim in it, cannot be read: then it is not known what is claimed.
        """
        left_out = {f"made/{self._claims_folder(owner)}" for owner in but}
        folders = [e.name for e in self._list("made") if e.is_folder and e.name not in left_out]
        return self._digests(self._list_all(folders))

    def release(self, owner: str | None = None) -> None:
        """Remove all claims of a run, if it has any. Its images stay: other runs may claim them too.

        Raises:
            ImageStoreError: they cannot be removed.
        """
        with self._errors("remove from"):
            self._backend.remove_folder(f"made/{self._claims_folder(owner)}")

    def list_images(self) -> list[StoredImage]:
        """Return all stored images, whoever made them, sorted by hash. Other files are left out.

        Raises:
            ImageStoreError: the store cannot be read.
        """
        folders = [e.name for e in self._list("") if e.is_folder and len(e.name) == 2]
        matches = [(IMAGE_FILE.fullmatch(e.name), e) for e in self._list_all(folders)]
        return sorted(StoredImage(match["digest"], e.size, e.modified) for match, e in matches if match and e.modified)

    def delete(self, digest: str) -> int:
        """Delete an image and return the freed bytes, 0 if it does not exist.

        Raises:
            ImageStoreError: the hash is not one, or the image cannot be deleted.
        """
        with self._errors("remove from"):
            return self._backend.remove(_image_file(digest))

    def remove_partial_files(self, before: datetime) -> int:
        """Remove older files that killed processes left behind unfinished; return the freed bytes.

        Raises:
            ImageStoreError: a file cannot be removed.
        """
        with self._errors("remove from"):
            return self._backend.remove_partial_files(before)

    def _claim_file(self, request: str, owner: str | None) -> str:
        return f"made/{self._claims_folder(owner)}/{_sha256(request)}.json"

    def _claims_folder(self, owner: str | None) -> str:
        if owner is None:
            return NO_OWNER_FOLDER
        return _sha256(f"{self._namespace}/{owner}" if self._namespace else owner)[:32]

    def _read_claim(self, name: str) -> ImageRef | None:
        with suppress(ValidationError):  # a damaged claim names nothing: its image is made anew
            return ImageRef.model_validate_json(self._read(name) or b"")
        return None

    def _digests(self, entries: Iterable[StoredFile]) -> set[str]:
        names = [e.name for e in entries if CLAIM_FILE.fullmatch(e.name)]
        with ThreadPoolExecutor(16) as pool:  # an object store answers many at once
            return {ref.sha256 for ref in pool.map(self._read_claim, names) if ref}

    def _list_all(self, folders: list[str]) -> Iterator[StoredFile]:
        with ThreadPoolExecutor(16) as pool:
            for entries in pool.map(self._list, folders):
                yield from entries

    def _list(self, folder: str) -> list[StoredFile]:
        with self._errors("list"):
            return self._backend.list_folder(folder)

    def _read(self, name: str) -> bytes | None:
        """Return the bytes of a file, None if there is no such file."""
        with self._errors("read from"), suppress(FileNotFoundError):
            return self._backend.read(name)
        return None

    def _write(self, name: str, data: bytes) -> None:
        with self._errors("write to"):
            self._backend.write(name, data)

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            advice = disk_advice(error, self._backend.advice)
            raise ImageStoreError(f"cannot {action} the image store {self.url} ({error.strerror}): {advice}") from error


def _image_file(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise ImageStoreError(f"{digest[:80]!r} is not the id of an image: 64 hexadecimal digits are")
    return f"{digest[:2]}/{digest}.png"


def _claim_key(digest: str) -> str:
    """Return the stand-in for a request in a claim that names an image alone."""
    return f"claim {digest}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
