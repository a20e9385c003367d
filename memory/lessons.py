"""Experience across runs: lessons that helped, stored in LangGraph's store and shown to later runs.

A lesson's counts are not stored. Each trial is stored under its own key, a hash of the images before and after it, and the
counts are summed on reading. So two processes cannot lose each other's counts, and neither a step that is run again nor an
import counts anything twice.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from langgraph.store.base import BaseStore, Item, PutOp
from pydantic import AfterValidator, Field, ValidationError, field_validator
from rapidfuzz import fuzz

from ..errors import LessonError
from ..frozen_model import Frozen
from .quoted_text import replace_quotes
from .state import CheckKind

LESSONS_NAMESPACE = ("gems", "lessons")
TRIALS_NAMESPACE = ("gems", "lesson-trials")
"""Namespaces of the store."""

WRITE_BATCH = 500
"""Items written at a time: databases limit the parameters of a statement."""

SEARCH_LIMIT = 1_000_000
"""More than any store holds; the default of a search is ten items."""

SAME_WORD = 85
"""Similarity, 0 to 100, from which two words count as equal: thing and things, but not like and unlike."""

STOP_WORDS = frozenset((
    "a", "an", "the", "this", "that", "these", "those", "each", "every", "all", "any", "in", "on", "at", "of", "to", "for",
    "with", "and", "so", "be", "is", "are", "it", "its",
))  # fmt: skip
"""Words that are ignored when two texts are compared; no negations and no places among them."""

MAX_LESSON_WORDS = 60
MAX_LESSON_CHARACTERS = 600
"""Limits of a lesson's text."""

MAX_RUN_NAME = 100
"""Characters of a run's name that are stored; threads of other programs may have longer names."""

MAX_RUNS_SHOWN = 3
"""The latest runs that a lesson names."""

HARMFUL_TRIALS, HARMFUL_SHARE = 4, 1 / 3
"""A lesson with so many trials is no longer shown if it helped in a smaller share of them."""

Status = Literal["kept", "proposed"]

LOCK = threading.RLock()
"""Adding reads before it writes, and LangGraph's in-memory store cannot be read while another thread writes."""


def one_line(text: str) -> str:
    """Return a text as one line without tags and control characters, cut to the limits of a lesson.

    A lesson is shown to models next to their instructions, and may come from another person's file.
    """
    plain = "".join(c if c.isprintable() else " " for c in re.sub(r"[<>]", " ", text))
    words = plain.split()
    clipped = " ".join(words[:MAX_LESSON_WORDS])[:MAX_LESSON_CHARACTERS].strip()
    return clipped.encode("utf-8", "replace").decode()


def without_quotes(question: str) -> str:
    """Return a question with "..." in place of each quoted text: quoted texts are private to their user."""
    return replace_quotes(question, lambda quote: f"{question[quote.start]}...{question[quote.end - 1]}")


def same_meaning(a: str, b: str) -> bool:
    """Return whether two texts are equal but for stop words and endings.

    The similarity of the whole texts would not do: "the upper part" and "the lower part" are similar, and mean the opposite.
    """
    words_a, words_b = _content_words(a), _content_words(b)
    return len(words_a) == len(words_b) and all(fuzz.ratio(x, y) >= SAME_WORD for x, y in zip(words_a, words_b, strict=True))


def utc_now() -> datetime:
    """Return the current time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def _to_utc(time: datetime) -> datetime:
    """Return a time in UTC, at most now: one from the future would win over every later one. Without a zone, it is UTC."""
    try:
        return min(time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC), utc_now())
    except OverflowError as error:
        raise ValueError("there is no such time in UTC") from error


Time = Annotated[datetime, AfterValidator(_to_utc)]
"""A time in UTC. Times without a zone, as in older stores and files written by hand, are taken as UTC."""


class Trial(Frozen):
    """One refinement for which a lesson was shown, or from which it was learned."""

    key: str = Field(pattern=r"^[0-9a-f]{16}$", description="Hash of the images before and after the refinement.")
    helped: bool = Field(description="Whether fewer checks of the lesson's kind failed afterwards.")
    learned: bool = Field(default=False, description="Whether the lesson was learned from it, and not shown before.")
    run: str = Field(default="", description=f"Thread of the run, at most {MAX_RUN_NAME} characters of it.")
    at: Time = Field(default_factory=utc_now, description="When it was stored, UTC.")

    @field_validator("run", mode="before")
    @classmethod
    def _one_line(cls, run: object) -> object:
        return one_line(run)[:MAX_RUN_NAME] if isinstance(run, str) else run


class StoredLesson(Frozen):
    """Advice that made a failed check pass, in words that are useful for other requests."""

    kind: CheckKind = Field(description="Kind of the check that had failed.")
    skill: str = Field(default="", max_length=64, description="The loaded skill that it extends; empty for none.")
    text: str = Field(min_length=1, description=f"At most {MAX_LESSON_WORDS} words.")
    question: str = Field(default="", max_length=1000, description="A check that failed, as an example.")
    status: Status = "kept"
    created: Time = Field(default_factory=utc_now, description="UTC.")
    updated: Time = Field(default_factory=utc_now, description="When it last changed or was tried, UTC.")
    tried: int = Field(default=0, ge=0, description="Refinements for which it was tried.")
    helped: int = Field(default=0, ge=0, description="Those after which fewer checks of its kind failed.")
    runs: tuple[str, ...] = Field(default=(), description="The latest runs that tried it.")

    @field_validator("text", "skill", "question", mode="before")
    @classmethod
    def _one_line(cls, text: object) -> object:
        return one_line(text) if isinstance(text, str) else text

    @property
    def id(self) -> str:
        """A short hash of kind, skill and text: equal lessons have equal ids everywhere."""
        content = "\n".join((self.kind, self.skill, " ".join(_words(self.text))))
        return hashlib.sha256(content.encode()).hexdigest()[:10]

    @property
    def success_rate(self) -> float:
        """Estimated probability that it helps, by its counts; one half without any."""
        return (self.helped + 1) / (self.tried + 2)

    @property
    def is_harmful(self) -> bool:
        """Whether it was tried often and helped seldom."""
        return self.tried >= HARMFUL_TRIALS and self.helped < HARMFUL_SHARE * self.tried

    def repeats(self, other: StoredLesson) -> bool:
        """Return whether both give nearly the same advice for the same kind and skill."""
        return (self.kind, self.skill) == (other.kind, other.skill) and same_meaning(self.text, other.text)

    def to_json(self) -> dict[str, Any]:
        """Return the lesson as plain data, its id first."""
        return {"id": self.id, **self.model_dump(mode="json")}


STORED_FIELDS = {"kind", "skill", "text", "question", "status", "created", "updated"}
"""Fields of a lesson in the store; the others are computed from its trials."""


class LessonRecord(NamedTuple):
    """A lesson and its trials, oldest first."""

    lesson: StoredLesson
    trials: tuple[Trial, ...]


_Stored = TypeVar("_Stored", StoredLesson, Trial)


class Lessons:
    """The lessons in a store; every method reads the store anew.

    Args:
        store: any store of LangGraph: in memory, SQLite, PostgreSQL. Its asynchronous methods are not used.
    """

    def __init__(self, store: BaseStore) -> None:
        self.store = store

    def ranked(self, status: Status | None = None, kind: CheckKind | None = None) -> list[StoredLesson]:
        """Return the lessons with their counts, the highest success rate first."""
        lessons = [k.lesson for k in self.records() if status in (None, k.lesson.status) and kind in (None, k.lesson.kind)]
        return sorted(lessons, key=lambda x: (-x.success_rate, -x.tried, x.id))

    def records(self) -> list[LessonRecord]:
        """Return all lessons with all their trials, by id.

        Raises:
            LessonError: an item of the store is not a lesson of this version of gems.
        """
        with LOCK:
            lessons = self.store.search(LESSONS_NAMESPACE, limit=SEARCH_LIMIT)
            trials = self.store.search(TRIALS_NAMESPACE, limit=SEARCH_LIMIT)
        by_lesson: dict[str, list[Trial]] = {}
        for item in trials:
            by_lesson.setdefault(item.key.partition("/")[0], []).append(_parse_item(Trial, item))
        return [_with_counts(_parse_item(StoredLesson, i), by_lesson.get(i.key, ())) for i in sorted(lessons, key=lambda i: i.key)]

    def get(self, id: str) -> LessonRecord:
        """Return a lesson by its id, or by the beginning of its id if no other begins with that.

        Raises:
            LessonError: there is no such lesson, or there are several.
        """
        matches = [k for k in self.records() if id and k.lesson.id.startswith(id)]
        if len(matches) != 1:
            what = f"there is no lesson {id!r}" if not matches else f"{len(matches)} lessons begin with {id!r}"
            raise LessonError(f"{what}: `gems lessons list` shows them all")
        return matches[0]

    def add(self, lesson: StoredLesson, trials: Iterable[Trial] = ()) -> StoredLesson:
        """Add a lesson, or add its trials to the stored one that it repeats.

        A stored lesson keeps its text and status: one that waits for a person's approval continues to wait.

        Returns:
            The stored lesson, with its counts.
        """
        with LOCK:
            same = next((k.lesson for k in self.records() if lesson.repeats(k.lesson)), None)
            if same is None:
                self.write([lesson])
            stored = same or lesson
            for trial in trials:
                self.add_trial(stored.id, trial)
            return self.get(stored.id).lesson

    def add_trial(self, id: str, trial: Trial) -> None:
        """Add a trial of a lesson. Of two trials with the same key, the later one wins if their results differ.

        `learned` stays true once it is. A lesson that was removed meanwhile gets no trials.

        Raises:
            LessonError: the stored trial is not one of this version of gems.
        """
        with LOCK:
            if self.store.get(LESSONS_NAMESPACE, id) is None:
                return
            item = self.store.get(TRIALS_NAMESPACE, f"{id}/{trial.key}")
            old = None if item is None else _parse_item(Trial, item)
            new = trial if old is None or (old.helped != trial.helped and old.at <= trial.at) else old
            new = new.model_copy(update={"learned": trial.learned or bool(old and old.learned)})
            if new != old:
                self.write((), [(id, new)])

    def approve(self, id: str) -> StoredLesson:
        """Approve a proposed lesson; return it.

        Raises:
            LessonError: as for `get`.
        """
        with LOCK:
            lesson = self.get(id).lesson.model_copy(update={"status": "kept", "updated": utc_now()})
            self.write([lesson])
            return lesson

    def remove(self, id: str) -> StoredLesson:
        """Remove a lesson and its trials; return the lesson. A later run may learn it again.

        Raises:
            LessonError: as for `get`.
        """
        with LOCK:
            lesson, trials = self.get(id)
            self.store.delete(LESSONS_NAMESPACE, lesson.id)
            for trial in trials:
                self.store.delete(TRIALS_NAMESPACE, f"{lesson.id}/{trial.key}")
            return lesson

    def best(self, skills: Collection[str], kinds: Collection[str] | None = None, n: int = 5) -> list[StoredLesson]:
        """Return the lessons with the highest success rates, without proposed and harmful ones.

        Args:
            skills: names of the loaded skills; lessons that extend one of them, or none, come first.
            kinds: of checks; None for all.
            n: maximum number; of lessons with the same meaning only one is returned.
        """
        useful = [x for x in self.ranked("kept") if not x.is_harmful and (kinds is None or x.kind in kinds)]
        chosen: list[StoredLesson] = []
        for lesson in sorted(useful, key=lambda x: x.skill not in {"", *skills}):
            if len(chosen) < n and not any(same_meaning(lesson.text, c.text) for c in chosen):
                chosen.append(lesson)
        return chosen

    def write(self, lessons: Iterable[StoredLesson], trials: Iterable[tuple[str, Trial]] = ()) -> None:
        """Write lessons, and trials with the id of their lesson each; items with the same keys are replaced."""
        items = [PutOp(LESSONS_NAMESPACE, x.id, x.model_dump(mode="json", include=STORED_FIELDS), index=False) for x in lessons]
        items += [PutOp(TRIALS_NAMESPACE, f"{id}/{trial.key}", trial.model_dump(mode="json"), index=False) for id, trial in trials]
        with LOCK:
            for start in range(0, len(items), WRITE_BATCH):
                self.store.batch(items[start : start + WRITE_BATCH])


def _parse_item(kind: type[_Stored], item: Item) -> _Stored:
    try:
        return kind.model_validate(item.value)
    except ValidationError as error:
        where = "/".join((*item.namespace, item.key))
        why = one_line(str(error.errors()[0]["msg"]))
        problem = f"the store's item {where} is not a lesson of this version of gems ({why})"
        raise LessonError(f"{problem}: delete the item, or restore the store from a copy") from error


def _with_counts(lesson: StoredLesson, trials: Sequence[Trial]) -> LessonRecord:
    ordered = tuple(sorted(trials, key=lambda t: (t.at, t.key)))
    counts = {"tried": len(ordered), "helped": sum(t.helped for t in ordered)}
    runs = tuple(dict.fromkeys(t.run for t in reversed(ordered) if t.run))[:MAX_RUNS_SHOWN]
    updated = max([lesson.updated, *(t.at for t in ordered)])
    return LessonRecord(lesson.model_copy(update={**counts, "runs": runs, "updated": updated}), ordered)


@lru_cache(maxsize=10_000)
def _content_words(text: str) -> tuple[str, ...]:
    return tuple(word for word in _words(text) if word not in STOP_WORDS)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
