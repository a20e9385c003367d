"""Lessons as files: a line of JSON each, with all its trials, so that a colleague's experience can be taken over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from ..errors import LessonError
from .lessons import LOCK, MAX_LESSON_WORDS, STORED_FIELDS, LessonRecord, Lessons, StoredLesson, Trial, one_line

_TRIALS = TypeAdapter(tuple[Trial, ...])


class ImportedLessons(NamedTuple):
    """What an import has done."""

    new: int
    """Lessons that were not there."""
    known: int
    """Lessons that were."""
    booked: int
    """Trials that were not booked yet and are now."""
    left_out: int
    """Trials that were not booked yet and are not: for review, what is known keeps the counts it has."""


class MergedLessons(NamedTuple):
    """What an import will write, worked out beforehand."""

    lessons: list[StoredLesson]
    trials: list[tuple[str, Trial]]
    """Each with the id of its lesson."""
    done: ImportedLessons


def export_lessons(book: Lessons) -> Iterator[str]:
    """Yield a line for each lesson, in the order of their ids."""
    for lesson, trials in book.kept():
        told = lesson.model_dump(mode="json", include=STORED_FIELDS)
        told["trials"] = [trial.model_dump(mode="json") for trial in trials]
        yield json.dumps(told, ensure_ascii=False)


def import_lessons(book: Lessons, lines: Iterable[str], review: bool = False) -> ImportedLessons:
    """Take over lessons. A trial is booked under the key it has in the file, so importing twice counts nothing twice.

    Args:
        book: where they go.
        lines: as `export_lessons` gives them, or written by hand: kind and text suffice.
        review: all lessons that are new wait for approval, whatever the file says, and known ones get no trials.

    Raises:
        LessonError: a line is no lesson. Then nothing is imported; the message names the line.
    """
    read = [_parse_line(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    with LOCK:
        merged = merge_lessons(book.kept(), read, review)
        book.write(merged.lessons, merged.trials)
    return merged.done


def merge_lessons(there: Sequence[LessonRecord], read: Iterable[LessonRecord], review: bool) -> MergedLessons:
    """Return what lessons of a file add to those that are there.

    A lesson that is there keeps its words and status, and a trial that is there says what it says: a file overturns nothing.
    """
    new: list[StoredLesson] = []
    alike: dict[tuple[str, str], list[StoredLesson]] = {}
    for kept in there:
        alike.setdefault((kept.lesson.kind, kept.lesson.skill), []).append(kept.lesson)
    booked = {(k.lesson.id, t.key) for k in there for t in k.trials}
    known = {k.lesson.id for k in there}
    found: dict[tuple[str, str], Trial] = {}
    met = set()
    for lesson, trials in read:
        others = alike.setdefault((lesson.kind, lesson.skill), [])
        same = next((other for other in others if lesson.like(other)), None)
        if same is None:
            same = lesson.model_copy(update={"status": "proposed"}) if review else lesson
            new.append(same)
            others.append(same)
        met.add(same.id)
        for trial in trials:
            if (same.id, trial.key) not in booked:
                found.setdefault((same.id, trial.key), trial)
    taken = [(id, trial) for (id, _), trial in found.items() if not (review and id in known)]
    return MergedLessons(new, taken, ImportedLessons(len(new), len(met & known), len(taken), len(found) - len(taken)))


def _parse_line(number: int, line: str) -> LessonRecord:
    try:
        told: dict[str, Any] = dict(json.loads(line))
        trials = _TRIALS.validate_python(told.pop("trials", []))
        if unknown := sorted(set(told) - STORED_FIELDS):
            raise ValueError(f"there is no field {unknown[0]!r}: the fields are {', '.join(sorted(STORED_FIELDS))}, trials")
        if len(str(told.get("text", "")).split()) > MAX_LESSON_WORDS:
            raise ValueError(f"text: more than {MAX_LESSON_WORDS} words")
        return LessonRecord(StoredLesson.model_validate(told), trials)
    except ValidationError as error:
        first = error.errors()[0]
        problem = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
    except RecursionError:
        problem = "it is nested too deep"
    except (ValueError, TypeError) as error:
        problem = str(error)
    raise LessonError(f"line {number} is no lesson ({one_line(problem)}); nothing was imported: mend or delete the line")
