"""Write files atomically."""

from __future__ import annotations

import errno
import os
import tempfile
from datetime import datetime
from pathlib import Path

from ..errors import ImageStoreError


def replace_file(path: Path, data: bytes) -> None:
    """Write a file atomically and make its folder: a reader sees the old file or the new one, also after a kill or a power cut.

    Raises:
        OSError: it cannot be written; an old file is unchanged, and nothing else is left behind.
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


def replace_run_file(path: Path, data: bytes) -> None:
    """Write a file of a run as `replace_file` does, with an error for the user.

    Raises:
        ImageStoreError: the folder cannot be written.
    """
    try:
        replace_file(path, data)
    except OSError as error:
        advice = disk_advice(error, "choose a folder that can be written, see --runs")
        raise ImageStoreError(f"cannot write to {path.parent} ({error.strerror}): {advice}") from error


def disk_advice(error: OSError, otherwise: str) -> str:
    """Return what the user can do about a failed write: free disk space if there is none, else `otherwise`."""
    return "make room, then go on with `gems resume`" if error.errno in (errno.ENOSPC, errno.EDQUOT) else otherwise


def remove_partial_files(folder: Path, pattern: str, before: datetime) -> int:
    """Remove the temporary files of killed processes; return the freed bytes.

    Args:
        folder: where to look.
        pattern: a glob of file names, such as `.*.tmp`.
        before: younger files are left: a process may still be writing them.
    """
    freed = 0
    for path in folder.glob(pattern):
        try:
            state = path.stat()
            if state.st_mtime < before.timestamp():
                path.unlink()
                freed += state.st_size
        except FileNotFoundError:
            continue
    return freed
