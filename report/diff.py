"""Word-level differences between two prompts."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Op = Literal["equal", "insert", "delete"]

EXACT_UP_TO = 400_000
"""Pairs of words up to which every word is compared; with more, difflib skips frequent words to stay quick."""

SIMILAR = 0.3
"""Share of common words below which two prompts are shown as different texts: a diff would only be noise."""

_MARKS = r".,;:!?()\[\]{}\"“”«»「」、。，"
_IDEOGRAPHS = r"\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"\s*(?:[{_MARKS}{_IDEOGRAPHS}]|[^\s{_MARKS}{_IDEOGRAPHS}]+)\s*|\s+")


class DiffSegment(NamedTuple):
    """Text that is in both prompts, only in the new one, or only in the old one."""

    op: Op
    text: str


def word_diff(old: str, new: str) -> list[DiffSegment]:
    """Return the difference of two texts word by word. The segments without deletions add up to `new`.

    White space around words is not compared: other line breaks are no difference.
    """
    before, after = _split_words(old), _split_words(new)
    segments: list[DiffSegment] = []
    for tag, i1, i2, j1, j2 in _matcher(before, after).get_opcodes():
        if tag in ("delete", "replace"):
            glued = bool(segments) and not segments[-1].text[-1:].isspace()
            lead = _space_after(before[i1 - 1]) if i1 and glued else ""
            segments.append(DiffSegment("delete", lead + "".join(before[i1:i2])))
        if tag in ("insert", "replace"):
            segments.append(DiffSegment("insert", "".join(after[j1:j2])))
        if tag == "equal":
            segments.append(DiffSegment("equal", "".join(after[j1:j2])))
    return segments


def similar(old: str, new: str) -> bool:
    """Return whether two prompts have enough words in common for a diff."""
    return _matcher(_split_words(old), _split_words(new)).quick_ratio() >= SIMILAR


def _matcher(before: list[str], after: list[str]) -> SequenceMatcher[str]:
    quick = len(before) * len(after) > EXACT_UP_TO
    return SequenceMatcher(None, [w.strip() for w in before], [w.strip() for w in after], autojunk=quick)


def _split_words(text: str) -> list[str]:
    """Split a text into words and punctuation marks, each with the white space after it; an ideograph is a word."""
    return _WORD.findall(text)


def _space_after(word: str) -> str:
    return word[len(word.rstrip()) :]
