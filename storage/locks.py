"""File locks: one process at a time for each run and each study.

One file of a folder has the locks of all its names, each in a byte of its own: a process takes one file descriptor for any number
of runs, where filelock would take one, and a file, for each.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import LocksMissingError, RunInUseError

FILE = ".lock"


class _LockFile(NamedTuple):
    """An open file of locks, shared by all threads of the process; each name locks one byte of it."""

    path: Path
    key: tuple[int, int]
    handle: int
    names: set[str]

    def lock(self, name: str, how: int) -> bool:
        """Try to lock or unlock a name's byte; return whether it worked."""
        byte = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
        try:
            fcntl.lockf(self.handle, how, 1, byte)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise LocksMissingError(
                    f"the file system of {self.path.parent} has no locks ({error.strerror}): choose a folder on a local disk, or "
                    "keep runs in PostgreSQL with --store"
                ) from error
            raise
        return True

    def close_unused(self) -> None:
        """Close the file if no name is held: closing it releases all of them."""
        if not self.names:
            os.close(self.handle)
            if _FILES.get(self.key) is self:
                del _FILES[self.key]


_FILES: dict[tuple[int, int], _LockFile] = {}
"""Open files by device and inode."""
_MUTEX = threading.RLock()


def _forget_inherited() -> None:
    global _MUTEX
    _FILES.clear()  # the locks are the parent's
    _MUTEX = threading.RLock()


os.register_at_fork(after_in_child=_forget_inherited)


@contextmanager
def holding(folder: Path, name: str, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock of a name in a folder; all names share one file handle of the process.

    The system releases all when the process ends, however it ends, and also when the process closes the file: nothing else
    may open it while a name is held.

    Args:
        folder: the place of the file of locks, which is made if needed.
        name: of a run, or of anything else that one process works on at a time.
        patience: seconds to go on trying: another process may only be testing the lock, see `is_holding`.

    Raises:
        RunInUseError: another process or thread holds it.
        LocksMissingError: the file system has no locks.
        OSError: the file cannot be made.
    """
    end = time.monotonic() + patience
    while (file := _take(folder, name)) is None:
        if time.monotonic() >= end:
            raise RunInUseError.of(name)
        time.sleep(0.01)
    try:
        yield
    finally:
        with _MUTEX:
            file.lock(name, fcntl.LOCK_UN)
            file.names.remove(name)
            file.close_unused()


def _take(folder: Path, name: str) -> _LockFile | None:
    """Return the file of locks once it holds the lock of a name, None if another process or thread holds it."""
    with _MUTEX:
        file = _lock_file(folder)
        try:
            if name in file.names or not file.lock(name, fcntl.LOCK_EX | fcntl.LOCK_NB):
                return None
            file.names.add(name)
            return file
        finally:
            file.close_unused()


def is_holding(folder: Path, name: str) -> bool:
    """Return whether a process holds the lock of a name in a folder.

    Raises:
        LocksMissingError: the file system has no locks.
    """
    with _MUTEX:
        try:
            file = _lock_file(folder, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            if name in file.names:
                return True
            free = file.lock(name, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if free:
                file.lock(name, fcntl.LOCK_UN)
            return not free
        finally:
            file.close_unused()


def _lock_file(folder: Path, mode: int = os.O_RDWR | os.O_CREAT) -> _LockFile:
    """Return a folder's file of locks, opened if it is not open yet."""
    path = folder / FILE
    with suppress(FileNotFoundError):
        state = path.stat()
        if known := _FILES.get((state.st_dev, state.st_ino)):
            return known
    handle = os.open(path, mode | os.O_CLOEXEC, 0o666)
    state = os.fstat(handle)
    file = _FILES[state.st_dev, state.st_ino] = _LockFile(path, (state.st_dev, state.st_ino), handle, set())
    return file
