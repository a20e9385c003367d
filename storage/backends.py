"""Where an image store keeps its bytes: a folder, or any place that fsspec has a driver for. Names are relative, with `/`.

Both kinds have the same few methods and raise OSError alone, with a reason that is one line and shows no secret.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ..errors import ImageStoreError
from .files import replace_file, sweep

URL = re.compile(r"([a-z][a-z0-9+.-]+)((?:::[a-z][a-z0-9+.-]+)*):/")
PASSWORD = re.compile(r"[^/@]*:(?!\d+(/|$))[^@]*@")
"""The begin of a URL after its `//` that carries a password; a port alone is none. Secrets of S3 may have a `/` in them."""

S3 = ("s3", "s3a")


class StoredFile(NamedTuple):
    """A file or a folder that is in a folder."""

    name: str
    is_folder: bool
    size: int
    """Bytes."""
    modified: datetime | None
    """When a file was last written, with its time zone; folders have none."""


class LocalStorage:
    """A folder of this machine.

    Args:
        path: where it is; made when the first file is written.
    """

    advice = "choose a folder that can be read and written"

    def __init__(self, path: Path) -> None:
        self.path, self.url = path, str(path)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Write a file: it is there whole or not at all, also after a kill or a power cut."""
        replace_file(self.path / name, data)

    def entries(self, folder: str) -> list[StoredFile]:
        """Return what is in a folder; one that is not there is empty."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self.path / folder) as listing:
            for each in listing:
                with suppress(FileNotFoundError):  # removed meanwhile
                    told = each.stat()
                    written = datetime.fromtimestamp(told.st_mtime, UTC)
                    found.append(StoredFile(f"{folder}/{each.name}".lstrip("/"), each.is_dir(), told.st_size, written))
        return found

    def remove(self, name: str) -> int:
        """Remove a file and return its bytes, 0 where there is none."""
        try:
            size = (self.path / name).stat().st_size
            (self.path / name).unlink()
        except FileNotFoundError:
            return 0
        return size

    def empty(self, folder: str) -> None:
        """Remove a folder with all that is in it; none is as good."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path / folder)

    def sweep(self, before: datetime) -> int:
        """Remove older files that were never written to their end; return their bytes."""
        return sum(sweep(self.path, pattern, before) for pattern in (".*.tmp", "??/.*.tmp", "made/.*.tmp", "made/*/.*.tmp"))


class FsspecStorage:
    """A place behind an fsspec driver. Object stores write an object whole or not at all, so nothing more is done for that.

    Args:
        url: such as `s3://bucket/prefix`.

    Raises:
        ImageStoreError: no driver knows such URLs, its package is not installed, or the URL carries credentials.
    """

    def __init__(self, url: str) -> None:
        import fsspec  # not above: it takes a tenth of a second, which a folder need not wait for

        scheme, _, rest = url.partition("://")
        named = "@" in rest.partition("/")[0] and scheme in S3  # other drivers take a user's name
        if PASSWORD.match(rest) or named or "?" in rest:
            raise ImageStoreError(
                f"the address of the image store, {scheme}://..., carries credentials or parameters: leave them out, and "
                f"give them as the driver's environment variables, such as {_variables(scheme)}"
            )
        if not rest.strip("/") and scheme != "memory":
            raise ImageStoreError(f"{url!r} is no image store: name the bucket too, as in {scheme}://BUCKET/FOLDER")
        self.url = f"{scheme}://{re.sub('^[^/@]*@', '', rest)}"
        self.advice = f"check the address, the network and the credentials, such as {_variables(scheme)}"
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            missing = 's3fs is not installed: pip install -c constraints.txt -e ".[s3]"' if scheme in S3 else _reason(error)
            raise ImageStoreError(f"the image store {self.url}: {missing}") from error
        except Exception as error:  # every driver has its own
            known = "write a folder, or a URL such as s3://BUCKET/FOLDER or memory://images"
            raise ImageStoreError(f"{self.url} is no image store ({_reason(error)}): {known}") from None

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        with _plainly():
            data: bytes = self._fs.cat_file(self._at(name))
            return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        with _plainly():
            self._fs.pipe_file(self._at(name), data)

    def entries(self, folder: str) -> list[StoredFile]:
        """Return what is in a folder; one that is not there is empty."""
        path = self._at(folder).rstrip("/")
        with suppress(FileNotFoundError), _plainly():
            self._fs.invalidate_cache(path)  # others write too
            return [self._entry(each) for each in self._fs.ls(path, detail=True)]
        return []

    def remove(self, name: str) -> int:
        """Remove a file and return its bytes, 0 where there is none."""
        with suppress(FileNotFoundError), _plainly():
            self._fs.invalidate_cache(self._at(name))
            size: int = self._fs.info(self._at(name))["size"]
            self._fs.rm_file(self._at(name))  # not rm: that one takes `*` and `[` in a name for patterns
            return size
        return 0

    def sweep(self, before: datetime) -> int:
        """Nothing is ever half there."""
        return 0

    def empty(self, folder: str) -> None:
        """Remove all files that are in a folder; object stores have no folders."""
        for each in self.entries(folder):
            self.remove(each.name)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _entry(self, told: dict[str, Any]) -> StoredFile:
        name, is_folder = told["name"][len(self._root) + 1 :], told["type"] == "directory"
        written: datetime | None = None if is_folder else self._fs.modified(told["name"])
        if written is not None and written.tzinfo is None:
            written = written.replace(tzinfo=UTC)
        return StoredFile(name, is_folder, told["size"] or 0, written)


Place = LocalStorage | FsspecStorage


def place_of(place: Path | str) -> Place:
    """Return the place that a path or a URL names.

    Args:
        place: a folder, as a path or a file:// URL, or any fsspec URL, such as `s3://bucket/prefix` or `memory://images`.

    Raises:
        ImageStoreError: the URL is of no use.
    """
    text = str(place)
    if not URL.match(text):
        return LocalStorage(Path(place).expanduser())
    if text.startswith("file:"):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise ImageStoreError(f"{text} is a folder of another machine: write file:///FOLDER, or the path alone")
        return LocalStorage(Path(unquote(parts.path)))
    return FsspecStorage(re.sub(r":/+", "://", text, count=1))  # Path("s3://bucket") has lost one of the two


def _variables(scheme: str) -> str:
    if scheme in S3:
        return "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL_S3 (or ~/.aws)"
    return f"FSSPEC_{re.sub('[^A-Z0-9]', '_', scheme.upper())}_..."


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn whatever a driver raises into an OSError. What it said is not kept beside: it may show a secret."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, _reason(error)) from None
    except Exception as error:  # every driver has its own
        raise OSError(errno.EIO, _reason(error)) from None


def _reason(error: Exception) -> str:
    """Return what an error says as one line, without what stands before an `@` or after a `?` of a URL."""
    line = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"\?\S+", "", re.sub(r"//[^\s@]*@", "//", line))[:200].rstrip(".")
