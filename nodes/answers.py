"""Comparing an answer with the expected one, in code rather than by a model."""

from __future__ import annotations

import re

from ..memory.state import Check
from ..models.soft import NUMBER_WORDS


def passes(check: Check, answer: str) -> bool | None:
    """Tell whether an answer is the one a check wants: None where it is unknown or not of the check's form."""
    if not answer.strip() or answer.strip() == "unknown":
        return None
    if check.kind == "text" and check.expected not in {"yes", "no"}:
        return plain(answer) == plain(check.expected)
    if first_word(answer) in {"unknown", "unclear", "unsure"}:
        return None
    wanted = first_word(check.expected)
    if wanted in {"yes", "no"}:
        said = first_word(answer)
        return said == wanted if said in {"yes", "no"} else None
    if check.kind == "count":
        counted, expected = number(answer), number(check.expected)
        return None if counted is None or expected is None else counted == expected
    return plain(answer).rstrip(".").casefold() == plain(check.expected).rstrip(".").casefold()


def first_word(answer: str) -> str:
    """Return the first word of an answer, in lower case."""
    found = re.search(r"\w+", answer.casefold())
    return found.group() if found else ""


def number(answer: str) -> int | None:
    """Return the number an answer states, in digits or words; None where it states none or several different ones."""
    words = re.findall(r"\d+|[a-z]+", answer.casefold())
    if words[:1] in (["no"], ["none"]):
        return 0
    found = {int(w) if w.isdigit() else NUMBER_WORDS.index(w) for w in words if w.isdigit() or w in NUMBER_WORDS}
    return found.pop() if len(found) == 1 else None


def plain(text: str) -> str:
    """Return text as it is compared: without surrounding quotes, with single spaces, case kept."""
    return " ".join(text.strip().strip("\"'“”‘’「」«»").split())
