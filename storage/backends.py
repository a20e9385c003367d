"""Storage backends of the image store: a local folder, or any storage that fsspec has a driver for.

File names are relative, with `/`. Both backends have the same methods and raise OSError only, with a reason of one line that
shows no secret.
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
from .files import remove_partial_files, replace_file

URL = re.compile(r"([a-z][a-z0-9+.-]+)((?:::[a-z][a-z0-9+.-]+)*):/")
HAS_PASSWORD = re.compile(r"[^/@]*:(?!\d+(/|$))[^@]*@")
"""Matches what follows `//` in a URL with a password; a port alone is not one. Secrets of S3 may contain `/`."""

S3 = ("s3", "s3a")


class StoredFile(NamedTuple):
    """An entry of a folder: a file or a folder."""

    name: str
    is_folder: bool
    size: int
    """In bytes."""
    modified: datetime | None
    """When a file was last written, with its time zone; None for folders."""


class LocalStorage:
    """A folder of this machine.

    Args:
        path: the folder; made when the first file is written.
    """

    advice = "choose a folder that can be read and written"

    def __init__(self, path: Path) -> None:
        self.path, self.url = path, str(path)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically, also with regard to a kill or a power cut."""
        replace_file(self.path / name, data)

    def list_folder(self, folder: str) -> list[StoredFile]:
        """Return the entries of a folder, none if it does not exist."""
        entries = []
        with suppress(FileNotFoundError), os.scandir(self.path / folder) as listing:
            for each in listing:
                with suppress(FileNotFoundError):  # removed meanwhile
                    state = each.stat()
                    modified = datetime.fromtimestamp(state.st_mtime, UTC)
                    entries.append(StoredFile(f"{folder}/{each.name}".lstrip("/"), each.is_dir(), state.st_size, modified))
        return entries

    def remove(self, name: str) -> int:
        """Remove a file and return its size in bytes, 0 if it does not exist."""
        try:
            size = (self.path / name).stat().st_size
            (self.path / name).unlink()
        except FileNotFoundError:
            return 0
        return size

    def remove_folder(self, folder: str) -> None:
        """Remove a folder with its content, if it exists."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path / folder)

    def remove_partial_files(self, before: datetime) -> int:
        """Remove older files that were not written to their end; return the freed bytes."""
        patterns = (".*.tmp", "??/.*.tmp", "made/.*.tmp", "made/*/.*.tmp")
        return sum(remove_partial_files(self.path, pattern, before) for pattern in patterns)


class FsspecStorage:
    """Storage behind an fsspec driver. Object stores write objects atomically, so nothing is added for that.

    Args:
        url: such as `s3://bucket/prefix`.

    Raises:
        ImageStoreError: no driver handles such URLs, its package is not installed, or the URL carries credentials.
    """

    def __init__(self, url: str) -> None:
        import fsspec  # not above: it takes a tenth of a second, which a folder need not wait for

        scheme, _, rest = url.partition("://")
        has_user = "@" in rest.partition("/")[0] and scheme in S3  # other drivers accept a user name
        if HAS_PASSWORD.match(rest) or has_user or "?" in rest:
            raise ImageStoreError(
                f"the address of the image store, {scheme}://..., carries credentials or parameters: leave them out, and "
                f"give them as the driver's environment variables, such as {_credential_variables(scheme)}"
            )
        if not rest.strip("/") and scheme != "memory":
            raise ImageStoreError(f"{url!r} is no image store: name the bucket too, as in {scheme}://BUCKET/FOLDER")
        self.url = f"{scheme}://{re.sub('^[^/@]*@', '', rest)}"
        self.advice = f"check the address, the network and the credentials, such as {_credential_variables(scheme)}"
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            missing = (
                's3fs is not installed: pip install -c constraints.txt -e ".[s3]"' if scheme in S3 else _redacted_reason(error)
            )
            raise ImageStoreError(f"the image store {self.url}: {missing}") from error
        except Exception as error:  # every driver has its own
            hint = "write a folder, or a URL such as s3://BUCKET/FOLDER or memory://images"
            raise ImageStoreError(f"{self.url} is no image store ({_redacted_reason(error)}): {hint}") from None

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        with _driver_errors():
            data: bytes = self._fs.cat_file(self._full_path(name))
            return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        with _driver_errors():
            self._fs.pipe_file(self._full_path(name), data)

    def list_folder(self, folder: str) -> list[StoredFile]:
        """Return the entries of a folder, none if it does not exist."""
        path = self._full_path(folder).rstrip("/")
        with suppress(FileNotFoundError), _driver_errors():
            self._fs.invalidate_cache(path)  # others write too
            return [self._stored_file(info) for info in self._fs.ls(path, detail=True)]
        return []

    def remove(self, name: str) -> int:
        """Remove a file and return its size in bytes, 0 if it does not exist."""
        with suppress(FileNotFoundError), _driver_errors():
            self._fs.invalidate_cache(self._full_path(name))
            size: int = self._fs.info(self._full_path(name))["size"]
            self._fs.rm_file(self._full_path(name))  # not rm: that one takes `*` and `[` in a name for patterns
            return size
        return 0

    def remove_folder(self, folder: str) -> None:
        """Remove all files of a folder; object stores have no folders."""
        for each in self.list_folder(folder):
            self.remove(each.name)

    def remove_partial_files(self, before: datetime) -> int:
        """Return 0: object stores have no partial files."""
        return 0

    def _full_path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _stored_file(self, info: dict[str, Any]) -> StoredFile:
        name, is_folder = info["name"][len(self._root) + 1 :], info["type"] == "directory"
        modified: datetime | None = None if is_folder else self._fs.modified(info["name"])
        if modified is not None and modified.tzinfo is None:
            modified = modified.replace(tzinfo=UTC)
        return StoredFile(name, is_folder, info["size"] or 0, modified)


StorageBackend = LocalStorage | FsspecStorage


def backend_of(place: Path | str) -> StorageBackend:
    """Return the storage backend of a path or a URL.

    Args:
        place: a folder, as a path or a file:// URL, or any fsspec URL, such as `s3://bucket/prefix` or `memory://images`.

    Raises:
        ImageStoreError: the URL cannot be used.
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


def _credential_variables(scheme: str) -> str:
    if scheme in S3:
        return "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL_S3 (or ~/.aws)"
    return f"FSSPEC_{re.sub('[^A-Z0-9]', '_', scheme.upper())}_..."


@contextmanager
def _driver_errors() -> Iterator[None]:
    """Turn whatever a driver raises into an OSError, without its cause: that may show a secret."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, _redacted_reason(error)) from None
    except Exception as error:  # every driver has its own
        raise OSError(errno.EIO, _redacted_reason(error)) from None


def _redacted_reason(error: Exception) -> str:
    """Return an error's message as one line, without the part of a URL before an `@` or after a `?`."""
    line = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"\?\S+", "", re.sub(r"//[^\s@]*@", "//", line))[:200].rstrip(".")
