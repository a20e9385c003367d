"""Comparing an answer with the expected one, in code rather than by a model."""

from __future__ import annotations

import re

from ..memory.state import Check
from ..models.soft import NUMBER_WORDS
from .spelling import TextMatch, compare_text, contains, normalize

_NO_TEXT = re.compile(
    r"(there (is|are) )?(no|none|nothing)( (visible|legible|readable|written))*( (text|texts|words|writing|letters))?"
    r"( ((is|are) )?(visible|legible|readable|written|shown|present|there))?( (in|on) the (image|picture))?\.?",
    re.IGNORECASE,
)
_UNREAD = re.compile(r"(unknown|unclear|illegible|unreadable|unsure)\.?", re.IGNORECASE)


def passes(check: Check, answer: str) -> bool | None:
    """Tell whether an answer is the one a check wants: None where it is unknown or not of the check's form."""
    if not answer.strip():
        return None
    if is_read_out(check):
        unread = _UNREAD.fullmatch(answer.strip()) and normalize(answer) != normalize(check.expected)
        return None if unread else read_out(check, answer).passed
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


def is_read_out(check: Check) -> bool:
    """Tell whether a check wants a text read out; others of its kind are answered yes or no ("Is the text legible?")."""
    return check.kind == "text" and check.expected not in {"yes", "no"}


def read_out(check: Check, answer: str) -> TextMatch:
    """Compare the text that was read out for a check with the one it wants. What is said about reading is no text."""
    if _NO_TEXT.fullmatch(answer.strip()) and normalize(answer) != normalize(check.expected):
        return compare_text(check.expected, "")
    return compare_text(check.expected, "\n".join(line for line in answer.splitlines() if not _says_none(line, check.expected)))


def _says_none(line: str, wanted: str) -> bool:
    """Tell whether a line, one of several answers, holds a wanted text only in saying that there is none."""
    said, text = normalize(line), normalize(wanted)
    return said != text and contains(said, text) and _NO_TEXT.fullmatch(line.strip()) is not None


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
    """Return text as it is compared where it is no text of the picture: without surrounding quotes, with single spaces."""
    return " ".join(text.strip().strip("\"'“”‘’「」«»").split())
