"""Lessons as files: a line of JSON each, with all its trials, so that a colleague's experience can be taken over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from .lessons import MAX_WORDS, STORED, Lesson, LessonError, Lessons, Status, Trial

_TRIALS = TypeAdapter(tuple[Trial, ...])


class Imported(NamedTuple):
    """What an import has done."""

    new: int
    """Lessons that were not there."""
    known: int
    """Lessons that were: trials of theirs that were not booked yet are now."""


def export_lines(book: Lessons) -> Iterator[str]:
    """Yield a line for each lesson, in the order of their ids."""
    for lesson, trials in book.kept():
        told = lesson.model_dump(mode="json", include=STORED)
        told["trials"] = [trial.model_dump(mode="json") for trial in trials]
        yield json.dumps(told, ensure_ascii=False)


def import_lines(book: Lessons, lines: Iterable[str], status: Status | None = None) -> Imported:
    """Take over lessons. A trial is booked under the key it has in the file, so importing twice counts nothing twice.

    Args:
        book: where they go.
        lines: as `export_lines` gives them, or written by hand: kind and text suffice.
        status: that of all lessons that are new, in place of the one in the file.

    Raises:
        LessonError: a line is no lesson. Then nothing is imported; the message names the line.
    """
    read = [_read(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    before = {k.lesson.id for k in book.kept()}
    changed = {"status": status} if status else {}
    kept = {book.keep(lesson.model_copy(update=changed), trials).id for lesson, trials in read}
    return Imported(len(kept - before), len(kept & before))


def _read(number: int, line: str) -> tuple[Lesson, tuple[Trial, ...]]:
    try:
        told: dict[str, Any] = dict(json.loads(line))
        trials = _TRIALS.validate_python(told.pop("trials", []))
        if unknown := sorted(set(told) - STORED):
            raise ValueError(f"there is no field {unknown[0]!r}: the fields are {', '.join(sorted(STORED))}, trials")
        if len(str(told.get("text", "")).split()) > MAX_WORDS:
            raise ValueError(f"text: more than {MAX_WORDS} words")
        return Lesson.model_validate(told), trials
    except ValidationError as error:
        first = error.errors()[0]
        problem = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
    except (ValueError, TypeError) as error:
        problem = str(error)
    raise LessonError(f"line {number} is no lesson ({problem}); nothing was imported: mend or delete the line")
