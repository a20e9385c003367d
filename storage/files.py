"""Writing files so that they are there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from datetime import datetime
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write a file, its folder too: who reads it sees the old one or the new one, also after a kill or a power cut.

    Raises:
        OSError: it cannot be written; an old file is as it was, and nothing else is left behind.
    """
    if path.exists() and (not path.is_file() or path.parts[:2] == ("/", "dev")):
        path.write_bytes(data)  # a device or a pipe, such as /dev/stdout: root would put a file in its place
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, as a rename is atomic only within one file system.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def advice(error: OSError, otherwise: str) -> str:
    """Return what to do about a file that cannot be written: make room where that is missing, and else something else."""
    return "make room, then go on with `gems resume`" if error.errno in (errno.ENOSPC, errno.EDQUOT) else otherwise


def sweep(folder: Path, pattern: str, before: datetime) -> int:
    """Remove what killed processes left of files that they were writing; return the bytes that are free now.

    Args:
        folder: where to look.
        pattern: for which names, such as `.*.tmp`.
        before: what is younger may still be written.
    """
    freed = 0
    for path in folder.glob(pattern):
        try:
            told = path.stat()
            if told.st_mtime < before.timestamp():
                path.unlink()
                freed += told.st_size
        except FileNotFoundError:
            continue
    return freed
