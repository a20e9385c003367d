"""The answer of a person in a review: one schema for Python, CLI and HTTP, narrowed to what the waiting run can take."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError, create_model, field_validator, model_validator

from ..errors import AnswerError
from ..frozen_model import Frozen
from ..memory.check_kinds import KINDS
from ..memory.state import MAX_PROMPT_CHARACTERS, Action, Attempt, Check, CheckKind
from ..models.numerals import number

MAX_COMMENT = 4000
"""Characters of a person's comment: every later checkpoint repeats them."""

MAX_LISTED_CHECKS = 100
"""Checks in a list that a person writes: each is a question about every image."""

ACTIONS_OF_FIELD: dict[str, tuple[Action, ...]] = {
    "check": ("reject",),
    "prompt": ("edit",),
    "checks": ("edit",),
    "verdicts": ("edit",),
    "round": ("accept", "reject", "edit"),
    "candidate": ("accept", "reject", "edit"),
}
"""The actions that a field goes with."""


_COMPARED = "; ".join(f"{kind.name}: {kind.compared}" for kind in KINDS.values() if kind.compared)
_OPEN = " or ".join(kind.name for kind in KINDS.values() if kind.is_open)


class NewCheck(Frozen):
    """A check as a person writes it."""

    question: str = Field(min_length=1, max_length=1000, description="Answerable from the image alone.")
    kind: CheckKind = Field(
        default="object", description=f"{_COMPARED}. A question of kind {_OPEN} is open: it does not tell the answer."
    )
    expected: str = Field(
        default="yes", min_length=1, max_length=1000, description='The answer that passes: "yes", a number, or the text to be read.'
    )

    @field_validator("question", "expected", mode="after")
    @classmethod
    def _clean_text(cls, text: str) -> str:
        if not _has_visible_text(text):
            raise ValueError("it is empty")
        return _require_unicode(text.strip())

    @model_validator(mode="after")
    def _count_is_a_number(self) -> NewCheck:
        if KINDS[self.kind].form == "number" and self.expected not in {"yes", "no"} and number(self.expected) is None:
            raise ValueError(f'a {self.kind} expects a number, such as "three", not {self.expected!r}')
        return self


class ListedCheck(NewCheck):
    """A check in a list that replaces all checks."""

    id: str = Field(default="", description="Id of an existing check; left out for a new one.")
    depends_on: tuple[str, ...] = Field(default=(), description="Ids of checks that must pass for this one to mean anything.")


class _AnswerBase(Frozen):
    """The rules for every answer, whichever of the fields it has."""

    @model_validator(mode="after")
    def _is_consistent(self) -> _AnswerBase:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        action, words = given["action"], str(given.get("words", ""))
        given_names = [name for name, value in given.items() if value is not None]
        if stray := [name for name in given_names if name in ACTIONS_OF_FIELD and action not in ACTIONS_OF_FIELD[name]]:
            raise ValueError(f"{stray[0]} has no meaning with {action!r}: it goes with {' or '.join(ACTIONS_OF_FIELD[stray[0]])}")
        if action == "reject" and not _has_visible_text(words):
            raise ValueError("words: say in plain words what is wrong; the next prompt is written from them")
        editable = [name for name in ("prompt", "checks", "verdicts") if name in type(self).model_fields]
        if action == "edit" and not set(given_names) & set(editable):
            raise ValueError(f"there is nothing to edit: give {', '.join(editable[:-1])} or {editable[-1]}")
        if {"checks", "verdicts"} <= set(given_names):
            raise ValueError("give checks or verdicts, not both: with other checks, every image is examined again")
        if action == "edit" and "verdicts" not in given_names and {"round", "candidate"} & set(given_names):
            raise ValueError("round and candidate name an image to give verdicts on: give them with verdicts")
        if "candidate" in given_names and "round" not in given_names:
            raise ValueError("candidate: name the round too")
        return self

    @field_validator("words", "prompt", mode="after", check_fields=False)
    @classmethod
    def _strip_text(cls, text: str | None) -> str | None:
        return None if text is None else _require_unicode(text.strip())

    @field_validator("prompt", mode="after", check_fields=False)
    @classmethod
    def _require_prompt(cls, text: str | None) -> str | None:
        if text is not None and not _has_visible_text(text):
            raise ValueError("it is empty: write the whole prompt of the next image")
        return text

    @field_validator("checks", mode="after", check_fields=False)
    @classmethod
    def _valid_list(cls, checks: list[ListedCheck] | None) -> list[ListedCheck] | None:
        ids = [c.id for c in checks or () if c.id]
        if twice := sorted({id for id in ids if ids.count(id) > 1}):
            raise ValueError(f"{twice[0]} is in the list twice")
        for check in checks or ():
            if unknown := sorted(set(check.depends_on) - set(ids)):
                raise ValueError(f"{check.question!r} depends on {unknown[0]}, which is not in the list")
        try:
            graphlib.TopologicalSorter({c.id: c.depends_on for c in checks or () if c.id}).prepare()
        except graphlib.CycleError as error:
            raise ValueError(f"{error.args[1][0]} depends on itself: take one of the checks out of depends_on") from error
        return checks


class Answer(_AnswerBase):
    """A person's answer to a waiting run. `answer_schema` gives the actions and fields that the run can take now.

    Raises:
        pydantic.ValidationError: the fields contradict one another.

    Example:
        ```python
        answer = gems.Answer(action="reject", words="the fox has no newspaper")
        result = gems.Gems().resume("fox", answer=answer)
        ```
    """

    action: Action = Field(
        description="accept: draw from the plan, or end the run with the image. go on: as decided. reject: say in words what is "
        "wrong. edit: change the prompt, the checks or verdicts."
    )
    words: str = Field(default="", max_length=MAX_COMMENT, description="Your comment; the next prompts take it into account.")
    check: NewCheck | None = Field(default=None, description="With reject: a new check that the next images must pass.")
    prompt: str | None = Field(
        default=None, max_length=MAX_PROMPT_CHARACTERS, description="With edit: the prompt of the next image, word for word."
    )
    checks: list[ListedCheck] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_LISTED_CHECKS,
        description="With edit: the whole list of checks, in place of the old one. What a check with an id omits is unchanged.",
    )
    verdicts: dict[str, bool | None] | None = Field(
        default=None, min_length=1, description="With edit: by a check's id true (passed), false (failed) or null (cannot be told)."
    )
    round: int | None = Field(default=None, description="Round of the image that the answer is about; by default that of the best.")
    candidate: int | None = Field(default=None, ge=0, description="Candidate of that round, from 0; by default the best.")
    question: str | None = Field(default=None, description="Id of the question that this answers; any other question refuses it.")


class AnswerRules(NamedTuple):
    """What an answer must match: the state of the run that waits for it."""

    actions: Sequence[Action]
    checks: Sequence[Check]
    attempts: Sequence[Attempt]
    may_generate: bool
    """Whether another image may be generated."""
    question: str
    """Id of the question."""


def answer_schema(rules: AnswerRules) -> type[BaseModel]:
    """Return a pydantic model of the answers that a run can take now; forms are made from its JSON Schema."""
    fields = _allowed_fields(rules)
    known = {a.key for a in rules.attempts}

    def fits(self: Any) -> Any:
        if self.question not in (None, rules.question):
            raise ValueError(f"question: this answers {self.question}, but the question now is {rules.question}: read it first")
        candidate = getattr(self, "candidate", None)
        if candidate is not None and (self.round, candidate) not in known:
            raise ValueError(f"candidate: round {self.round} has no image {candidate}; they are counted from 0")
        return self

    validators: dict[str, Any] = {"fits": model_validator(mode="after")(fits), "filled": _fill_omitted(rules.checks)}
    return create_model(
        "Answer",
        __base__=_AnswerBase,
        __doc__="What you answer.",
        __validators__=validators,
        **fields,
    )


def _allowed_fields(rules: AnswerRules) -> dict[str, Any]:
    """Return the fields of `Answer` that match the rules, with the allowed values."""
    names = ["action", "words", *(["check", "prompt"] if rules.may_generate else []), "checks", "question"]
    kinds: dict[str, Any] = {name: Answer.model_fields[name].annotation for name in Answer.model_fields}
    kinds["action"] = Literal[tuple(rules.actions)]
    id: Any = (Literal[("", *(c.id for c in rules.checks))], ListedCheck.model_fields["id"])  # of an existing check, or empty
    listed = create_model("ListedCheck", __base__=ListedCheck, __doc__=ListedCheck.__doc__, id=id)
    kinds["checks"] = list[listed] | None
    if rules.attempts:
        names += ["verdicts", "round", "candidate"]
        kinds["verdicts"] = dict[Literal[tuple(c.id for c in rules.checks)], bool | None] | None  # type: ignore[misc]
        kinds["round"] = Literal[tuple(sorted({a.round for a in rules.attempts}))] | None
    return {name: (kinds[name], Answer.model_fields[name]) for name in names}


def _fill_omitted(checks: Sequence[Check]) -> Any:
    """Return a validator of the list: what an existing check leaves out stays as it was."""
    known = {c.id: c for c in checks}

    def fill(cls: type[BaseModel], listed: Any) -> Any:
        if not isinstance(listed, list):
            return listed
        ids = [str(item.get("id", "")) if isinstance(item, dict) else "" for item in listed]
        filled = []
        for id, item in zip(ids, listed, strict=True):
            if old := known.get(id):  # all but the question; parents that are removed are left out
                depends_on = [parent for parent in old.depends_on if parent in ids]
                item = {"kind": old.kind, "expected": old.expected, "depends_on": depends_on} | item
            filled.append(item)
        return filled

    return field_validator("checks", mode="before")(fill)


def answer_error(error: ValidationError, fields: Iterable[str]) -> AnswerError:
    """Return the error of an answer that cannot be used, as one sentence.

    Args:
        error: pydantic's error.
        fields: the fields that the run can take now.
    """
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")
    why = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        why = f"there is no such field now; the fields are {', '.join(fields)}"
    return AnswerError(f"the answer cannot be used: {where}{': ' if where else ''}{why}; nothing was changed, answer again")


def _has_visible_text(text: str) -> bool:
    """Return whether a text has a visible character: neither a space nor a mark without width."""
    return any(character.isprintable() and not character.isspace() for character in text)


def _require_unicode(text: str) -> str:
    """Return a text that any model and database takes.

    Raises:
        ValueError: it has a lone surrogate or a NUL character.
    """
    if text != text.encode("utf-8", "replace").decode():
        raise ValueError("it is not valid Unicode text: write it in UTF-8")
    if "\0" in text:
        raise ValueError("it has a NUL character: remove it")
    return text
