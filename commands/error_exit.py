"""How a command ends on an error."""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from typing import NoReturn

from rich.markup import escape

from ..terminal import Console

SHOW_TRACEBACKS: ContextVar[bool] = ContextVar("SHOW_TRACEBACKS", default=False)
"""Whether errors of the current command show their traceback."""


def fail(message: str, error: BaseException | None, code: int = 2) -> NoReturn:
    """Print an error in one line on standard error and exit with this code; with `--debug` or `GEMS_DEBUG`, raise it instead."""
    if error is not None and (SHOW_TRACEBACKS.get() or os.environ.get("GEMS_DEBUG")):
        raise error
    Console(stderr=True).print(f"[red]error:[/] {escape(' '.join(message.split()))}", soft_wrap=True)
    sys.exit(code)
