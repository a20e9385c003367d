"""One process at a time for each run, and for each study."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import LocksMissingError, RunInUseError

FILE = ".lock"


def _got(path: Path, lock: Callable[[], object]) -> bool:
    """Tell whether a lock could be taken.

    Raises:
        LocksMissingError: the file system has none.
    """
    try:
        lock()
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise LocksMissingError(
                f"the file system of {path.parent} has no locks ({error.strerror}): choose a folder on a local disk, or keep "
                "runs in PostgreSQL with --store"
            ) from error
        raise
    return True


def _try_until(lock: Callable[[], object], name: str, patience: float) -> None:
    end = time.monotonic() + patience
    while not lock():
        if time.monotonic() >= end:
            raise RunInUseError.of(name)
        time.sleep(0.01)


class _LockFile(NamedTuple):
    """A file of locks, open for all of this process; each name is a byte of it."""

    path: Path
    key: tuple[int, int]
    handle: int
    names: set[str]

    def lock(self, name: str, how: int) -> bool:
        """Try to lock a name's byte."""
        byte = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
        how |= fcntl.LOCK_NB if how != fcntl.LOCK_UN else 0
        return _got(self.path, lambda: fcntl.lockf(self.handle, how, 1, byte))

    def close_unused(self) -> None:
        """Close the file if no name is held: the system would let go of all of them."""
        if not self.names:
            os.close(self.handle)
            if _FILES.get(self.key) is self:
                del _FILES[self.key]


_FILES: dict[tuple[int, int], _LockFile] = {}
"""By device and inode: those in which names are held."""
_MUTEX = threading.RLock()


def _forget() -> None:
    global _MUTEX
    _FILES.clear()  # what is held is the parent's
    _MUTEX = threading.RLock()


os.register_at_fork(after_in_child=_forget)


@contextmanager
def holding(folder: Path, name: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a name in a folder: any number of them takes one file handle of a process.

    The system lets go of all when the process ends, however it ends, and also when the process closes the file: nothing else
    may open it while a name is held.

    Args:
        folder: where the file of locks is, or is made.
        name: of a run, or of what else one process works on at a time.
        patience: seconds to go on trying: somebody may only be looking whether it is free, see `is_holding`.

    Raises:
        RunInUseError: another process or thread holds it.
        LocksMissingError: the file system has no locks.
        OSError: the file cannot be made.
    """
    held: list[_LockFile] = []

    def take() -> bool:
        with _MUTEX:
            file = _opened(folder)
            try:
                if name not in file.names and file.lock(name, fcntl.LOCK_EX):
                    file.names.add(name)
                    held.append(file)
            finally:
                file.close_unused()
        return bool(held)

    _try_until(take, name, patience)
    try:
        yield
    finally:
        with _MUTEX:
            held[0].lock(name, fcntl.LOCK_UN)
            held[0].names.remove(name)
            held[0].close_unused()


def is_holding(folder: Path, name: str) -> bool:
    """Tell whether a process holds a name in a folder.

    Raises:
        LocksMissingError: the file system has no locks.
    """
    with _MUTEX:
        try:
            file = _opened(folder, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            if name in file.names:
                return True
            free = file.lock(name, fcntl.LOCK_SH)
            if free:
                file.lock(name, fcntl.LOCK_UN)
            return not free
        finally:
            file.close_unused()


def _opened(folder: Path, mode: int = os.O_RDWR | os.O_CREAT) -> _LockFile:
    """Return the file of locks as it is open, or open it."""
    path = folder / FILE
    with suppress(FileNotFoundError):
        state = path.stat()
        if known := _FILES.get((state.st_dev, state.st_ino)):
            return known
    handle = os.open(path, mode | os.O_CLOEXEC, 0o666)
    state = os.fstat(handle)
    file = _FILES[state.st_dev, state.st_ino] = _LockFile(path, (state.st_dev, state.st_ino), handle, set())
    return file
