"""One process at a time for each run."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import GemsError


class RunInUseError(GemsError):
    """Another process has the run in hand."""

    @classmethod
    def of(cls, thread: str) -> RunInUseError:
        """Return the error of a run, by its name."""
        until = "(a stream of this process counts until it is closed)"
        return cls(f"the run {thread} is in progress in another process: wait for it, or end it {until}")


@contextmanager
def exclusive(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold a run's folder. The system lets go of it when the process ends, however it ends.

    Args:
        folder: of the run.
        patience: seconds to go on trying: somebody may only be looking whether it is free, see `is_held`.

    Raises:
        RunInUseError: another process holds it.
    """
    with (folder / ".lock").open("w") as file:
        end = time.monotonic() + patience
        while not _locked(file, fcntl.LOCK_EX):
            if time.monotonic() >= end:
                raise RunInUseError.of(folder.name)
            time.sleep(0.01)
        yield


def is_held(folder: Path) -> bool:
    """Tell whether a process holds a run's folder. Those who look at the same time do not take each other for its holder."""
    try:
        with (folder / ".lock").open() as file:
            return not _locked(file, fcntl.LOCK_SH)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _locked(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
