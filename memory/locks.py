"""One process at a time for each run."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import GemsError


class RunInUseError(GemsError):
    """Another process has the run in hand."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a run's folder. The system lets go of it when the process ends, however it ends.

    Raises:
        RunInUseError: another process holds it.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunInUseError(f"the run {folder.name} is in progress in another process: wait for it, or end it") from error
        yield
