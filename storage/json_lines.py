"""Durable logs of JSON lines: a line is in the file whole or not at all, also after a kill, a power cut or a full disk."""

from __future__ import annotations

import os
import threading
import time
from io import FileIO
from pathlib import Path


class JsonLinesLog:
    """Appends lines to a file, which is made where there is none; threads may share it.

    Args:
        path: the file. A last line that was not finished is cut off by the first `append`.
        sync_lines: lines after which the file is forced to the disk.
        sync_seconds: seconds after which the next line forces it, however few there were.

    Raises:
        OSError: it cannot be opened.

    Example:
        with closing(JsonLinesLog(Path("scores.jsonl"))) as log:
            log.append('{"image": "a.png", "score": 0.5}')
    """

    def __init__(self, path: Path, *, sync_lines: int = 1, sync_seconds: float = 1.0) -> None:
        self.path, self.file = path, FileIO(path, "a+")
        self._sync_lines, self._sync_seconds = sync_lines, sync_seconds
        self._end: int | None = None
        """Size in bytes of the whole lines; None before the first is appended."""
        self._unsynced, self._synced_at = 0, time.monotonic()
        self._lock = threading.Lock()

    def append(self, line: str) -> None:
        """Write a line.

        Args:
            line: JSON, without a line feed.

        Raises:
            OSError: it cannot be written; nothing of it is kept, and the next line begins where it would have.
        """
        data = left = line.encode() + b"\n"
        with self._lock:
            if self._end is None:
                self._end = _end_of_lines(self.path.read_bytes())
                self.file.truncate(self._end)
            try:
                while left:  # a full disk may take a part
                    left = left[self.file.write(left) :]
                self._unsynced += 1
                if self._unsynced >= self._sync_lines or time.monotonic() - self._synced_at > self._sync_seconds:
                    self._sync()
            except OSError:
                self.file.truncate(self._end)  # half a line would spoil the file, as lines of other threads may follow
                raise
            self._end += len(data)

    def close(self) -> None:
        """Force what was written to the disk, and close the file."""
        try:
            if self._unsynced:
                self._sync()
        finally:
            self.file.close()

    def _sync(self) -> None:
        os.fsync(self.file.fileno())
        self._unsynced, self._synced_at = 0, time.monotonic()


def read_lines(path: Path) -> list[bytes]:
    """Return the lines of a log without their line feeds; a last one that was not finished is left out.

    Raises:
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    return data[: _end_of_lines(data)].split(b"\n")[:-1]


def _end_of_lines(data: bytes) -> int:
    return data.rfind(b"\n") + 1
