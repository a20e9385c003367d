"""Export and import of lessons as JSON lines, each with all its trials."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from ..errors import LessonError
from .lessons import LOCK, MAX_LESSON_WORDS, STORED_FIELDS, LessonRecord, Lessons, StoredLesson, Trial, one_line

_TRIALS = TypeAdapter(tuple[Trial, ...])


class ImportedLessons(NamedTuple):
    """The counts of an import."""

    new: int
    """Lessons that were not in the store."""
    known: int
    """Lessons that were."""
    booked: int
    """Trials that were added."""
    left_out: int
    """Trials that were not added: with review, lessons in the store keep their counts."""


def export_lessons(book: Lessons) -> Iterator[str]:
    """Yield a line of JSON for each lesson, in the order of their ids."""
    for lesson, trials in book.records():
        fields = lesson.model_dump(mode="json", include=STORED_FIELDS)
        fields["trials"] = [trial.model_dump(mode="json") for trial in trials]
        yield json.dumps(fields, ensure_ascii=False)


def import_lessons(book: Lessons, lines: Iterable[str], review: bool = False) -> ImportedLessons:
    """Import lessons. Trials keep their keys, so importing a file twice counts nothing twice.

    Stored lessons keep their text and status, and stored trials their results.

    Args:
        book: the lessons to add to.
        lines: as `export_lessons` yields them, or written by hand: kind and text suffice.
        review: new lessons wait for approval, whatever the file says, and known ones get no trials.

    Raises:
        LessonError: a line is not a lesson; the message names it, and nothing is imported.
    """
    imported = [_parse_line(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    with LOCK:
        stored = book.records()
        stored_ids = {record.lesson.id for record in stored}
        stored_trials = {(record.lesson.id, trial.key) for record in stored for trial in record.trials}
        lessons = [record.lesson for record in stored]
        known: set[str] = set()
        found: dict[tuple[str, str], Trial] = {}
        for lesson, trials in imported:
            same = next((other for other in lessons if lesson.repeats(other)), None)
            if same is None:
                same = lesson.model_copy(update={"status": "proposed"}) if review else lesson
                lessons.append(same)
            known |= {same.id} & stored_ids
            for trial in trials:
                if (same.id, trial.key) not in stored_trials:  # a file overrides nothing
                    found.setdefault((same.id, trial.key), trial)
        new = lessons[len(stored) :]
        added = [(id, trial) for (id, _), trial in found.items() if not (review and id in stored_ids)]
        book.write(new, added)
    return ImportedLessons(len(new), len(known), len(added), len(found) - len(added))


def _parse_line(number: int, line: str) -> LessonRecord:
    try:
        fields: dict[str, Any] = dict(json.loads(line))
        trials = _TRIALS.validate_python(fields.pop("trials", []))
        if unknown := sorted(set(fields) - STORED_FIELDS):
            raise ValueError(f"there is no field {unknown[0]!r}: the fields are {', '.join(sorted(STORED_FIELDS))}, trials")
        if len(str(fields.get("text", "")).split()) > MAX_LESSON_WORDS:
            raise ValueError(f"text: more than {MAX_LESSON_WORDS} words")
        return LessonRecord(StoredLesson.model_validate(fields), trials)
    except ValidationError as error:
        first = error.errors()[0]
        problem = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
    except RecursionError:
        problem = "it is nested too deeply"
    except (ValueError, TypeError) as error:
        problem = str(error)
    raise LessonError(f"line {number} is not a lesson ({one_line(problem)}); nothing was imported: correct or delete the line")
