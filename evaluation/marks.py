"""Marks, yes and no in the answers of a judge: read strictly, so that what is no answer is never taken for one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .benchmark import Answers

Range = tuple[int, int]
"""The lowest and the highest mark."""


def ask_marks(ranges: Mapping[str, Range]) -> str:
    """Return the line that asks for marks: `Answer with one JSON object: {"realism": 0-2}`."""
    wanted = ", ".join(f'"{name}": {low}-{high}' for name, (low, high) in ranges.items())
    return f"Answer with one JSON object: {{{wanted}}}"


def marks(text: str, ranges: Mapping[str, Range]) -> dict[str, int] | None:
    """Return the marks of an answer; None if one is missing, is no whole number or is out of its range."""
    found, read = _object(text), {}
    for name, (low, high) in ranges.items():
        mark = found.get(name)
        if isinstance(mark, bool) or not isinstance(mark, int | float) or mark not in range(low, high + 1):
            return None
        read[name] = int(mark)
    return read


def is_yes(text: str) -> bool:
    """Tell whether an answer begins with the word yes."""
    return re.match(r"\W*yes\b", spoken(text), re.IGNORECASE) is not None


def first_text(answers: Answers, key: str) -> str | None:
    """Return the first answer to a question; None where there is none."""
    given = answers.get(key)
    return given[0].text if given else None


def spoken(text: str) -> str:
    """Return an answer without the thoughts that a server left in front of it."""
    return text.rpartition("</think>")[2].strip()


def _object(text: str) -> dict[str, object]:
    whole = spoken(text)
    start, end = whole.find("{"), whole.rfind("}")
    try:
        found = json.loads(whole[start : end + 1])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
