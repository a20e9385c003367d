"""What a person may answer when a run asks: the one form of it for all doors, and which of it fits the moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError, create_model, field_validator, model_validator

from ..errors import AnswerError
from ..frozen import Frozen
from ..memory.state import MAX_PROMPT_CHARACTERS, Action, Attempt, Check, CheckKind
from ..models.numerals import number

MAX_WORDS = 4000
"""Characters of what a person says at a time: every later checkpoint repeats them."""

MAX_CHECKS = 100
"""Most checks that a person may ask for: each is a question for every image."""

BELONGS: dict[str, tuple[Action, ...]] = {
    "check": ("reject",),
    "prompt": ("edit",),
    "checks": ("edit",),
    "verdicts": ("edit",),
    "round": ("accept", "reject", "edit"),
    "candidate": ("accept", "reject", "edit"),
}
"""Which fields say something only with some actions."""


class NewCheck(Frozen):
    """A check as a person writes it."""

    question: str = Field(min_length=1, max_length=1000, description="Answerable from the image alone.")
    kind: CheckKind = Field(default="object", description="text: the answer is read out and compared letter for letter.")
    expected: str = Field(
        default="yes", min_length=1, max_length=1000, description='The answer that passes: "yes", a number, or the text to be read.'
    )

    @field_validator("question", "expected", mode="after")
    @classmethod
    def _said(cls, text: str) -> str:
        if not _visible(text):
            raise ValueError("it is empty")
        return _unicode(text.strip())

    @model_validator(mode="after")
    def _countable(self) -> NewCheck:
        if self.kind == "count" and self.expected not in {"yes", "no"} and number(self.expected) is None:
            raise ValueError(f'a count expects a number, such as "three", not {self.expected!r}')
        return self


class ListedCheck(NewCheck):
    """A check in the whole list of them."""

    id: str = Field(default="", description="The id it has; left out for a new one.")
    depends_on: tuple[str, ...] = Field(default=(), description="Ids of checks that must pass for this one to mean anything.")


class _Rules(Frozen):
    """What holds for every answer, whichever of the fields it has."""

    @model_validator(mode="after")
    def _makes_sense(self) -> _Rules:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        action, words = given["action"], str(given.get("words", ""))
        there = [name for name, value in given.items() if value is not None]
        if stray := [name for name in there if name in BELONGS and action not in BELONGS[name]]:
            raise ValueError(f"{stray[0]} says nothing with {action!r}: it goes with {' or '.join(BELONGS[stray[0]])}")
        if action == "reject" and not _visible(words):
            raise ValueError("words: say in plain words what is wrong; the next prompt is written from them")
        editable = [name for name in ("prompt", "checks", "verdicts") if name in type(self).model_fields]
        if action == "edit" and not set(there) & set(editable):
            raise ValueError(f"there is nothing to edit: give {', '.join(editable[:-1])} or {editable[-1]}")
        if {"checks", "verdicts"} <= set(there):
            raise ValueError("give checks or verdicts, not both: with other checks, every image is examined again")
        if action == "edit" and "verdicts" not in there and {"round", "candidate"} & set(there):
            raise ValueError("round and candidate name an image to give verdicts on: give them with verdicts")
        if "candidate" in there and "round" not in there:
            raise ValueError("candidate: name the round too")
        return self

    @field_validator("words", "prompt", mode="after", check_fields=False)
    @classmethod
    def _text(cls, text: str | None) -> str | None:
        return None if text is None else _unicode(text.strip())

    @field_validator("prompt", mode="after", check_fields=False)
    @classmethod
    def _drawable(cls, text: str | None) -> str | None:
        if text is not None and not _visible(text):
            raise ValueError("it is empty: write the whole prompt of the next image")
        return text

    @field_validator("checks", mode="after", check_fields=False)
    @classmethod
    def _whole(cls, checks: list[ListedCheck] | None) -> list[ListedCheck] | None:
        ids = [c.id for c in checks or () if c.id]
        if twice := sorted({id for id in ids if ids.count(id) > 1}):
            raise ValueError(f"{twice[0]} is in the list twice")
        for check in checks or ():
            if unknown := sorted(set(check.depends_on) - set(ids)):
                raise ValueError(f"{check.question!r} depends on {unknown[0]}, which is not in the list")
        if circle := _circle({c.id: c.depends_on for c in checks or () if c.id}):
            raise ValueError(f"{circle} depends on itself: take one of the checks out of depends_on")
        return checks


class Answer(_Rules):
    """What a person answers. Which actions and fields there are depends on the moment: `answer_schema` says.

    Raises:
        pydantic.ValidationError: it makes no sense in itself.
    """

    action: Action = Field(
        description="accept: draw the plan, or end the run with the image. go on: as decided. reject: say in words what is wrong. "
        "edit: change the prompt, the checks or verdicts."
    )
    words: str = Field(
        default="", max_length=MAX_WORDS, description="What you have to say; the next prompts are written with it in mind."
    )
    check: NewCheck | None = Field(default=None, description="With reject: a check that the next images must pass.")
    prompt: str | None = Field(
        default=None, max_length=MAX_PROMPT_CHARACTERS, description="With edit: what the next image is drawn from, as it stands."
    )
    checks: list[ListedCheck] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_CHECKS,
        description="With edit: the whole list of checks, in place of the old one. What one with an id leaves out stays as it was.",
    )
    verdicts: dict[str, bool | None] | None = Field(
        default=None, min_length=1, description="With edit: by a check's id true (passed), false (failed) or null (cannot be told)."
    )
    round: int | None = Field(default=None, description="Round of the image that this is about; that of the best by default.")
    candidate: int | None = Field(default=None, ge=0, description="Which image of the round, from 0; the best of it by default.")
    question: str | None = Field(
        default=None, description="Id of the question that this answers, as it was asked: no other one takes the answer then."
    )


class AnswerRules(NamedTuple):
    """What an answer must fit."""

    actions: Sequence[Action]
    checks: Sequence[Check]
    attempts: Sequence[Attempt]
    may_draw: bool
    """Whether there may be a further image."""
    question: str
    """Id of the question."""


def answer_schema(moment: AnswerRules) -> type[BaseModel]:
    """Return what may be answered at a moment, as a pydantic model: its JSON Schema draws a form, and it refuses all else."""
    fields = _fields(moment)
    known = {a.key for a in moment.attempts}

    def fits(self: Any) -> Any:
        if self.question not in (None, moment.question):
            raise ValueError(
                f"question: this answers {self.question}, and what is asked now is {moment.question}: look at it first"
            )
        candidate = getattr(self, "candidate", None)
        if candidate is not None and (self.round, candidate) not in known:
            raise ValueError(f"candidate: round {self.round} has no image {candidate}; they are counted from 0")
        return self

    validators: dict[str, Any] = {"fits": model_validator(mode="after")(fits), "filled": _filled(moment.checks)}
    return create_model(
        "Answer",
        __base__=_Rules,
        __doc__="What you answer.",
        __validators__=validators,
        **fields,
    )


def _fields(moment: AnswerRules) -> dict[str, Any]:
    """Return the fields of `Answer` that fit a moment, with the values that do."""
    names = ["action", "words", *(["check", "prompt"] if moment.may_draw else []), "checks", "question"]
    kinds: dict[str, Any] = {name: Answer.model_fields[name].annotation for name in Answer.model_fields}
    kinds["action"] = Literal[tuple(moment.actions)]
    kinds["checks"] = list[_listed(moment.checks)] | None  # type: ignore[misc]
    if moment.attempts:
        names += ["verdicts", "round", "candidate"]
        kinds["verdicts"] = dict[Literal[tuple(c.id for c in moment.checks)], bool | None] | None  # type: ignore[misc]
        kinds["round"] = Literal[tuple(sorted({a.round for a in moment.attempts}))] | None
    return {name: (kinds[name], Answer.model_fields[name]) for name in names}


def _listed(checks: Iterable[Check]) -> type[ListedCheck]:
    """Return the type of a check in the list, of which the id is one that there is, or none."""
    kind: Any = Literal[("", *(c.id for c in checks))]
    id: Any = (kind, ListedCheck.model_fields["id"])
    return create_model("ListedCheck", __base__=ListedCheck, __doc__=ListedCheck.__doc__, id=id)


def _filled(checks: Sequence[Check]) -> Any:
    """Return a validator of the list: what is left out of a check that there is stays as it was."""
    known = {c.id: c for c in checks}

    def fill(cls: type[BaseModel], listed: Any) -> Any:
        if not isinstance(listed, list):
            return listed
        ids = [str(one.get("id", "")) if isinstance(one, dict) else "" for one in listed]
        return [_like(known[id], ids) | one if id in known else one for id, one in zip(ids, listed, strict=True)]

    return field_validator("checks", mode="before")(fill)


def _like(check: Check, ids: Sequence[str]) -> dict[str, Any]:
    """Return what a check leaves to the one in its place, apart from its question; parents that are taken away are none."""
    return {"kind": check.kind, "expected": check.expected, "depends_on": [id for id in check.depends_on if id in ids]}


def in_words(error: ValidationError, fields: Iterable[str]) -> AnswerError:
    """Return what is wrong with an answer as an error for people.

    Args:
        error: what pydantic found.
        fields: the fields that there are.
    """
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")
    why = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        why = f"there is no such field now; there are {', '.join(fields)}"
    return AnswerError(f"the answer cannot be taken: {where}{': ' if where else ''}{why}; nothing was changed, answer again")


def _visible(text: str) -> bool:
    """Tell whether there is anything to see: spaces are not, nor are marks without width."""
    return any(character.isprintable() and not character.isspace() for character in text)


def _circle(parents: Mapping[str, Iterable[str]]) -> str | None:
    """Return a check that depends on itself, directly or through others."""
    left = {id: set(above) for id, above in parents.items()}
    while free := [id for id, above in left.items() if not above & left.keys()]:
        for id in free:
            del left[id]
    if not left:
        return None
    id, walked = min(left), set[str]()
    while id not in walked:  # whatever is left has a parent that is left: up from there is a circle
        walked.add(id)
        id = min(left[id] & left.keys())
    return id


def _unicode(text: str) -> str:
    if text != text.encode("utf-8", "replace").decode():
        raise ValueError("it is not valid Unicode text: write it in UTF-8")
    if "\0" in text:
        raise ValueError("it has a NUL character: take it out")
    return text
