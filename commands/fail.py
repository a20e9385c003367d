"""How a command ends that cannot go on."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from rich.markup import escape

from ..terminal import Console


def fail(message: str, error: BaseException | None, code: int = 2) -> NoReturn:
    """Say on standard error what is wrong, in one line, and exit with this code; under `--debug`, raise the error itself."""
    if error is not None and os.environ.get("GEMS_DEBUG"):
        raise error
    Console(stderr=True).print(f"[red]error:[/] {escape(' '.join(message.split()))}", soft_wrap=True)
    sys.exit(code)
