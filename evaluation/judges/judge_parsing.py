"""Marks, yes and no in the answers of a judge: read strictly, so that what is no answer is never taken for one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...models.chat.answer_text import json_objects, repaired_objects, without_reasoning
from ...nodes.checks.answers import yes_or_no
from ..benchmarks.base import Answers

Range = tuple[int, int]
"""The lowest and the highest mark."""


def ask_marks(ranges: Mapping[str, Range]) -> str:
    """Return the line that asks for marks: `Answer with one JSON object: {"realism": 0-2}`."""
    wanted = ", ".join(f'"{name}": {low}-{high}' for name, (low, high) in ranges.items())
    return f"Answer with one JSON object: {{{wanted}}}"


def marks(text: str, ranges: Mapping[str, Range]) -> dict[str, int] | None:
    """Return the marks of an answer; None if one is missing, is no whole number or is out of its range.

    They are in the last JSON object that names them all, whatever stands around it, else each on a line of its own.
    """
    said, read = without_reasoning(text), {}
    written = [found for _, _, found in json_objects(said)]
    named = [found for found in _nested_objects(written or repaired_objects(said)) if ranges.keys() <= found.keys()]
    found = named[-1] if named else {name: _on_a_line(name, said) for name in ranges}
    for name, (low, high) in ranges.items():
        mark = found[name]
        if isinstance(mark, str) and re.fullmatch(r"\s*[0-9]{1,3}\s*", mark):
            mark = int(mark)
        if isinstance(mark, bool) or not isinstance(mark, int | float) or mark not in range(low, high + 1):
            return None
        read[name] = int(mark)
    return read


def says_yes(text: str) -> bool | None:
    """Return what an answer says, None if it is neither yes nor no: `yes_or_no` of what follows the reasoning."""
    return yes_or_no(without_reasoning(text))


def agreed(answers: Answers, key: str, exactly: str = "") -> bool:
    """Return whether the first answer to a question is yes, as a judge may say it; or `exactly` this word, if one is named."""
    text = first_text(answers, key) or ""
    return without_reasoning(text) == exactly if exactly else says_yes(text) is True


def first_text(answers: Answers, key: str) -> str | None:
    """Return the first answer to a question; None where there is none."""
    given = answers.get(key)
    return given[0].text if given else None


def _nested_objects(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield JSON objects, and those within them, in the order of their starts, their names in small letters."""
    left: list[Any] = objects[::-1]
    while left:
        match left.pop():
            case dict() as found:
                yield {name.strip().casefold(): mark for name, mark in found.items()}
                left += [*found.values()][::-1]
            case list() as found:
                left += found[::-1]


def _on_a_line(name: str, said: str) -> str | None:
    """Return the number of the one line `Name: number`; None where there is none, or more than one."""
    around, between = r"(?:[^\w\n]|_)*", r"[*_\"'` ]*"
    line = rf"^{around}{re.escape(name)}{between}[:=]{between}(\d{{1,3}}){around}$"
    found = re.findall(line, said, re.IGNORECASE | re.MULTILINE)
    return found[0] if len(found) == 1 else None
