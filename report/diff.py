"""Word-level differences between two prompts."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Op = Literal["equal", "insert", "delete"]

CAREFUL = 400_000
"""Pairs of words up to which every word is compared; beyond, difflib skips the frequent ones to stay quick."""

KINDRED = 0.3
"""Share of words in common under which two prompts are different texts: marking words would only be noise."""

_MARKS = r".,;:!?()\[\]{}\"“”«»「」、。，"
_IDEOGRAPHS = r"\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"\s*(?:[{_MARKS}{_IDEOGRAPHS}]|[^\s{_MARKS}{_IDEOGRAPHS}]+)\s*|\s+")


class DiffSegment(NamedTuple):
    """A piece of text that is in both prompts, only in the new one, or only in the old one."""

    op: Op
    text: str


def word_diff(old: str, new: str) -> list[DiffSegment]:
    """Return what turns `old` into `new`, word by word. Without the deletions the texts spell `new`.

    Space around a word is not compared: a change of line breaks alone is no difference.
    """
    before, after = _words(old), _words(new)
    segments: list[DiffSegment] = []
    for tag, i1, i2, j1, j2 in _matcher(before, after).get_opcodes():
        if tag in ("delete", "replace"):
            glued = bool(segments) and not segments[-1].text[-1:].isspace()
            lead = _tail(before[i1 - 1]) if i1 and glued else ""
            segments.append(DiffSegment("delete", lead + "".join(before[i1:i2])))
        if tag in ("insert", "replace"):
            segments.append(DiffSegment("insert", "".join(after[j1:j2])))
        if tag == "equal":
            segments.append(DiffSegment("equal", "".join(after[j1:j2])))
    return segments


def kindred(old: str, new: str) -> bool:
    """Tell whether two prompts have enough words in common for their differences to be worth reading."""
    return _matcher(_words(old), _words(new)).quick_ratio() >= KINDRED


def _matcher(before: list[str], after: list[str]) -> SequenceMatcher[str]:
    quick = len(before) * len(after) > CAREFUL
    return SequenceMatcher(None, [w.strip() for w in before], [w.strip() for w in after], autojunk=quick)


def _words(text: str) -> list[str]:
    """Split into words and punctuation marks, each with the space after it; ideographs are words of their own."""
    return _WORD.findall(text)


def _tail(word: str) -> str:
    return word[len(word.rstrip()) :]
