"""Experience across runs: lessons that were borne out, kept in LangGraph's store and shown to later runs.

A lesson's counts are never stored. What is stored is each trial under a key of its own, which follows from the pictures
before and after it, and the counts are added up when they are read. So two processes cannot lose each other's counts, a step
that is run again books nothing twice, and neither does an import.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from langgraph.store.base import BaseStore, Item, PutOp
from pydantic import AfterValidator, Field, ValidationError, field_validator
from rapidfuzz import fuzz

from ..errors import LessonError
from ..frozen import Frozen
from .quotes import replace_quotes
from .state import CheckKind

LESSONS = ("gems", "lessons")
TRIALS = ("gems", "lesson-trials")
"""Namespaces of the store."""

WRITTEN = 500
"""Items written at a time: databases take so many parameters in a statement and no more."""

ALL = 1_000_000
"""More than any store holds: searches give ten items unless told otherwise."""

SAME = 85
"""From this likeness on, of 100, two words are one: thing and things, but not like and unlike."""

LITTLE = frozenset((
    "a", "an", "the", "this", "that", "these", "those", "each", "every", "all", "any", "in", "on", "at", "of", "to", "for",
    "with", "and", "so", "be", "is", "are", "it", "its",
))  # fmt: skip
"""Words that two texts which say the same may differ in. No negation, and nothing that says where."""

NEAR = 50
"""From this likeness on, of 100, a question is near."""

MAX_WORDS = 60
MAX_CHARACTERS = 600
"""Of a lesson's text."""

MAX_RUN = 100
"""Characters of a run's name; a thread of another program may have a longer one."""

RUNS_TOLD = 3
"""Runs that a lesson names, the latest."""

HURTS = (4, 1 / 3)
"""A lesson that was tried so often, and helped in a smaller share of its trials than this, is no longer shown."""

Status = Literal["kept", "proposed"]

LOCK = threading.RLock()
"""Keeping reads before it writes; and LangGraph's store in memory cannot be read while another thread writes."""


def one_line(text: str) -> str:
    """Return a text as a lesson may hold it: one line without tags and control signs, clipped to its longest length.

    A lesson is shown to models beside their instructions, and may come from another person's file.
    """
    plain = "".join(c if c.isprintable() else " " for c in re.sub(r"[<>]", " ", text))
    words = plain.split()
    clipped = " ".join(words[:MAX_WORDS])[:MAX_CHARACTERS].strip()
    return clipped.encode("utf-8", "replace").decode()


def without_quotes(question: str) -> str:
    """Return a question without the strings in quotes, which are one user's words and no one else's concern."""
    return replace_quotes(question, lambda quote: f"{question[quote.start]}...{question[quote.end - 1]}")


def says_the_same(a: str, b: str) -> bool:
    """Tell whether two texts say the same but for little words and endings.

    A likeness of the whole would not do: "the upper part" and "the lower part" are much alike, and say the opposite.
    """
    one, two = _telling(a), _telling(b)
    return len(one) == len(two) and all(fuzz.ratio(x, y) >= SAME for x, y in zip(one, two, strict=True))


def now() -> datetime:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def _past(time: datetime) -> datetime:
    """Return a time in UTC, not after now: one without a zone is UTC, and one from the future would outlast every later one."""
    try:
        return min(time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC), now())
    except OverflowError as error:
        raise ValueError("there is no such time in UTC") from error


Time = Annotated[datetime, AfterValidator(_past)]
"""When something was, in UTC. Files written by hand and older stores have times without a zone."""


class Trial(Frozen):
    """One refinement for which a lesson was tried: it was shown, or it was learned there."""

    key: str = Field(pattern=r"^[0-9a-f]{16}$", description="Names the refinement by the pictures before and after it.")
    helped: bool = Field(description="Whether fewer checks of the lesson's kind failed afterwards.")
    learned: bool = Field(default=False, description="Whether the lesson was learned there, and not shown beforehand.")
    run: str = Field(default="", description=f"Thread of the run, at most {MAX_RUN} characters of it.")
    at: Time = Field(default_factory=now, description="When it was booked, UTC.")

    @field_validator("run", mode="before")
    @classmethod
    def _as_data(cls, run: object) -> object:
        return one_line(run)[:MAX_RUN] if isinstance(run, str) else run


class StoredLesson(Frozen):
    """What turned a failed check into a passed one, said so that other requests have a use for it."""

    kind: CheckKind = Field(description="Kind of the check that had failed.")
    skill: str = Field(default="", max_length=64, description="The loaded skill that it adds to; empty for none.")
    text: str = Field(min_length=1, description=f"At most {MAX_WORDS} words.")
    question: str = Field(default="", max_length=1000, description="A check that failed, as an example.")
    status: Status = "kept"
    created: Time = Field(default_factory=now, description="UTC.")
    updated: Time = Field(default_factory=now, description="When it last changed or was tried, UTC.")
    tried: int = Field(default=0, ge=0, description="Refinements for which it was tried.")
    helped: int = Field(default=0, ge=0, description="Those after which fewer checks of its kind failed.")
    runs: tuple[str, ...] = Field(default=(), description="The latest runs that tried it.")

    @field_validator("text", "skill", "question", mode="before")
    @classmethod
    def _as_data(cls, text: object) -> object:
        return one_line(text) if isinstance(text, str) else text

    @property
    def id(self) -> str:
        """A short hash of kind, skill and text: the same lesson has the same everywhere."""
        told = "\n".join((self.kind, self.skill, " ".join(_words(self.text))))
        return hashlib.sha256(told.encode()).hexdigest()[:10]

    @property
    def promise(self) -> float:
        """How likely it is to help, by its counts; one half without any."""
        return (self.helped + 1) / (self.tried + 2)

    @property
    def hurts(self) -> bool:
        """Whether it was tried often and seldom helped."""
        return self.tried >= HURTS[0] and self.helped < HURTS[1] * self.tried

    def like(self, other: StoredLesson) -> bool:
        """Tell whether the two say nearly the same about the same kind and skill."""
        return (self.kind, self.skill) == (other.kind, other.skill) and says_the_same(self.text, other.text)

    def told(self) -> dict[str, Any]:
        """Return it as plain data, its id first."""
        return {"id": self.id, **self.model_dump(mode="json")}


STORED = {"kind", "skill", "text", "question", "status", "created", "updated"}
"""Fields of a lesson that the store holds; the others come from its trials."""


class Kept(NamedTuple):
    """A lesson and its trials, oldest first."""

    lesson: StoredLesson
    trials: tuple[Trial, ...]


_Stored = TypeVar("_Stored", StoredLesson, Trial)


class Lessons:
    """The lessons in a store. Everything is read from the store when asked for.

    Args:
        store: any of LangGraph's stores: in memory, SQLite, PostgreSQL. Its asynchronous methods are not used.
    """

    def __init__(self, store: BaseStore) -> None:
        self.store = store

    def ranked(self, status: Status | None = None, kind: CheckKind | None = None) -> list[StoredLesson]:
        """Return the lessons with their counts, the most promising first."""
        found = [k.lesson for k in self.kept() if status in (None, k.lesson.status) and kind in (None, k.lesson.kind)]
        return sorted(found, key=lambda x: (-x.promise, -x.tried, x.id))

    def kept(self) -> list[Kept]:
        """Return all lessons with all their trials, by id.

        Raises:
            LessonError: something in the store is no lesson of this version of gems.
        """
        with LOCK:
            lessons = self.store.search(LESSONS, limit=ALL)
            trials = self.store.search(TRIALS, limit=ALL)
        booked: dict[str, list[Trial]] = {}
        for item in trials:
            booked.setdefault(item.key.partition("/")[0], []).append(_stored(Trial, item))
        return [_kept(_stored(StoredLesson, i), booked.get(i.key, ())) for i in sorted(lessons, key=lambda i: i.key)]

    def get(self, id: str) -> Kept:
        """Return one lesson, by its id or by the beginning of it if no other begins so.

        Raises:
            LessonError: there is none, or there are several.
        """
        found = [k for k in self.kept() if id and k.lesson.id.startswith(id)]
        if len(found) != 1:
            what = f"there is no lesson {id!r}" if not found else f"{len(found)} lessons begin with {id!r}"
            raise LessonError(f"{what}: `gems lessons list` shows them all")
        return found[0]

    def keep(self, lesson: StoredLesson, trials: Iterable[Trial] = ()) -> StoredLesson:
        """Keep a lesson, or book its trials on the one that says nearly the same.

        One that is there already keeps its words and its status: what waits for a person's approval goes on waiting.

        Returns:
            The lesson that is kept now, with its counts.
        """
        with LOCK:
            same = next((k.lesson for k in self.kept() if lesson.like(k.lesson)), None)
            if same is None:
                self.write([lesson])
            kept = same or lesson
            for trial in trials:
                self.book(kept.id, trial)
            return self.get(kept.id).lesson

    def book(self, id: str, trial: Trial) -> None:
        """Book a trial of a lesson. Of two with the same key one is kept: the later, if they tell otherwise.

        That the lesson was learned there is not forgotten. A lesson that was removed meanwhile has no trials.

        Raises:
            LessonError: what is booked already is no trial of this version of gems.
        """
        with LOCK:
            if self.store.get(LESSONS, id) is None:
                return
            item = self.store.get(TRIALS, f"{id}/{trial.key}")
            old = None if item is None else _stored(Trial, item)
            new = trial if old is None or (old.helped != trial.helped and old.at <= trial.at) else old
            new = new.model_copy(update={"learned": trial.learned or bool(old and old.learned)})
            if new != old:
                self.write((), [(id, new)])

    def approve(self, id: str) -> StoredLesson:
        """Keep a lesson that was proposed; return it.

        Raises:
            LessonError: as for `get`.
        """
        with LOCK:
            lesson = self.get(id).lesson.model_copy(update={"status": "kept", "updated": now()})
            self.write([lesson])
            return lesson

    def remove(self, id: str) -> StoredLesson:
        """Remove a lesson and its trials; return what it was. A later run may learn it again.

        Raises:
            LessonError: as for `get`.
        """
        with LOCK:
            lesson, trials = self.get(id)
            self.store.delete(LESSONS, lesson.id)
            for trial in trials:
                self.store.delete(TRIALS, f"{lesson.id}/{trial.key}")
            return lesson

    def nearest(
        self,
        skills: Collection[str],
        questions: Mapping[str, Sequence[str]] | None = None,
        request: str = "",
        n: int = 5,
    ) -> list[StoredLesson]:
        """Return the few lessons that are of most use, best first: kept ones that have not been seen to hurt.

        Args:
            skills: those loaded: lessons that add to one of them, or to none, come first.
            questions: the failed checks by kind: only lessons of these kinds are of use, those whose example is near first.
                None where nothing has failed yet: then any kind is, and the example is compared with the request.
            request: the user's words.
            n: how many at most; two that say the same count once.
        """
        everything = [k for k in self.kept() if k.lesson.status == "kept"]  # what waits for approval decides nothing
        usual = _usual(everything)

        def key(lesson: StoredLesson) -> tuple[bool, bool, float, int, str]:
            compared = questions[lesson.kind] if questions is not None else [request]
            likeness = max((_alike(without_quotes(q), lesson.question) for q in compared), default=0.0)
            same = [k for k in everything if says_the_same(k.lesson.text, lesson.text)]
            learned = sum(t.learned for k in same for t in k.trials)
            return lesson.skill not in {"", *skills}, likeness < NEAR, -_worth(same, usual), -learned, lesson.id

        found = [k.lesson for k in everything if not k.lesson.hurts]
        usable = [lesson for lesson in found if questions is None or lesson.kind in questions]
        chosen: list[StoredLesson] = []
        for lesson in sorted(usable, key=key):
            if len(chosen) < n and not any(says_the_same(lesson.text, c.text) for c in chosen):
                chosen.append(lesson)
        return chosen

    def write(self, lessons: Iterable[StoredLesson], trials: Iterable[tuple[str, Trial]] = ()) -> None:
        """Write lessons, and trials with the id of their lesson each, in place of what has the same keys."""
        told = [PutOp(LESSONS, x.id, x.model_dump(mode="json", include=STORED), index=False) for x in lessons]
        told += [PutOp(TRIALS, f"{id}/{trial.key}", trial.model_dump(mode="json"), index=False) for id, trial in trials]
        with LOCK:
            for start in range(0, len(told), WRITTEN):
                self.store.batch(told[start : start + WRITTEN])


def _stored(kind: type[_Stored], item: Item) -> _Stored:
    try:
        return kind.model_validate(item.value)
    except ValidationError as error:
        where = "/".join((*item.namespace, item.key))
        why = one_line(str(error.errors()[0]["msg"]))
        problem = f"the store's item {where} is no lesson of this version of gems ({why})"
        raise LessonError(f"{problem}: delete the item, or restore the store from a copy") from error


def _kept(lesson: StoredLesson, trials: Sequence[Trial]) -> Kept:
    ordered = tuple(sorted(trials, key=lambda t: (t.at, t.key)))
    counts = {"tried": len(ordered), "helped": sum(t.helped for t in ordered)}
    runs = tuple(dict.fromkeys(t.run for t in reversed(ordered) if t.run))[:RUNS_TOLD]
    updated = max([lesson.updated, *(t.at for t in ordered)])
    return Kept(lesson.model_copy(update={**counts, "runs": runs, "updated": updated}), ordered)


def _usual(everything: Iterable[Kept]) -> dict[CheckKind, float]:
    """Return for each kind of check how often lessons that were shown helped: some failures are easier to mend than others."""
    seen: dict[CheckKind, list[bool]] = {}
    for kept in everything:
        seen.setdefault(kept.lesson.kind, []).extend(t.helped for t in kept.trials if not t.learned)
    return {kind: (sum(helped) + 1) / (len(helped) + 2) for kind, helped in seen.items()}


def _worth(same: Iterable[Kept], usual: Mapping[CheckKind, float]) -> float:
    """Return how much more often than usual a piece of advice helped when it was shown: 1 for one that was not shown yet.

    Where a lesson was learned it always helped, so that says nothing of how often it would. The same advice for other kinds
    and skills counts in, each trial against what is usual for its kind.
    """
    trials = [(k.lesson.kind, t.helped) for k in same for t in k.trials if not t.learned]
    return (sum(helped for _, helped in trials) + 1) / (sum(usual[kind] for kind, _ in trials) + 1)


@lru_cache(maxsize=10_000)
def _telling(text: str) -> tuple[str, ...]:
    return tuple(word for word in _words(text) if word not in LITTLE)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _alike(a: str, b: str) -> float:
    """Return how alike two texts are by their words, whatever the order: 0 to 100."""
    return float(fuzz.token_sort_ratio(" ".join(_words(a)), " ".join(_words(b))))
