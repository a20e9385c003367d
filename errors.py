"""The base of every error that is meant for people, and the words for a setting that is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import ValidationError


class GemsError(Exception):
    """Something is wrong that its reader can put right: the message is one line that says what, and what to do."""


def what_is_wrong(error: ValidationError, known: Iterable[str]) -> str:
    """Put the first problem of settings into words.

    Args:
        error: what pydantic found.
        known: the names that could have been meant where one does not exist.
    """
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg']}"
    names = sorted(known)
    near = difflib.get_close_matches(str(first["loc"][-1]), names, n=2)
    return f"{where}: there is no such setting; " + (
        f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
    )
