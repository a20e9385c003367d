"""Decomposer: splits the request into atomic checks that can be answered from the image alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from ..context import RunContext, settings_in
from ..memory.check_kinds import KINDS
from ..memory.state import MAX_PROMPT_CHARACTERS, Check, CheckKind, Request
from ..models.chat.ask import ask
from .checks.answers import expects_text
from .checks.question_rewriting import OPEN_QUESTION, literal_answer, rewrite_question
from .checks.text_match import normalize
from .messages import MAX_QUESTION, Node, truncate_each, usage_of, user_message
from .quote_guard import visible_quotes

MAX_CHECKS = 40
LIMITS = {
    "question": (MAX_QUESTION, "A question of the decomposer's"),
    "expected": (MAX_PROMPT_CHARACTERS, "An answer that the decomposer expects"),
}
"""Characters of the model's texts that are kept."""

_RULES = "\n".join(f"- {kind.rule}" for kind in KINDS.values() if kind.rule)
_NAMES = ", ".join(f"{kind.name} ({kind.about})" if kind.about else kind.name for kind in KINDS.values())
_EXPECTED = "; ".join(['"yes"', *(kind.expected for kind in KINDS.values() if kind.expected)])

SYSTEM = f"""\
You write the acceptance test for an image. Someone will look at the finished image with your questions in hand and \
nothing else: not the request, not the prompt it was drawn from. The image is right exactly when every question gets \
its expected answer.

Rules
- One fact a question. "Is there a red car?" is two facts: that there is a car, and that it is red. Ask for the object \
first, then for each of its attributes.
- Cover everything the request states or plainly implies: every object, every number, every colour, material, size, \
action and expression, every spatial or other relation, every piece of text, the style or medium. Leave nothing out, \
and add nothing that was not asked for: no taste, no quality, no background the request does not name.
- Each question stands on its own. Name the things fully ("the red circle", not "it"), and so that two similar things \
cannot be confused.
{_RULES}
- If the request hides its subject behind a riddle, a name or an event, work out first what must be visible, and ask for that.
- All other questions are answered "yes" when the image is right.
- A question that makes sense only if another one passes names it in depends_on: an attribute, a count or a relation \
depends on its objects being there.

Kinds: {_NAMES}."""


class CheckDraft(BaseModel):
    """One question of the acceptance test."""

    kind: CheckKind
    question: str = Field(description="Answerable from the image alone.")
    expected: str = Field(default="yes", description=f"{_EXPECTED}.")
    depends_on: list[int] = Field(default=[], description="Numbers, from 1, of earlier questions that must pass first.")


class Checks(BaseModel):
    """The acceptance test of a request."""

    checks: list[CheckDraft]


def render(request: str, system: str = "") -> list[BaseMessage]:
    """Return the messages to the model; `system` replaces `SYSTEM` unless it is empty."""
    return [SystemMessage(system or SYSTEM), user_message([f"<request>\n{request}\n</request>"])]


def parse(answer: Checks, request: str) -> dict[str, Any]:
    """Return the state update: numbered checks without duplicates, with one for each quoted text of the request."""
    texts = visible_quotes(request)
    drafts, notes = truncate_each(answer.checks[: 10 * MAX_CHECKS], LIMITS)
    checks, cut = _number_checks(drafts, texts)
    if cut or len(drafts) < len(answer.checks):
        wrote = f"The decomposer wrote {len(answer.checks)} questions, which are more than {MAX_CHECKS} checks"
        notes.append(f"{wrote}: the first {MAX_CHECKS} are asked.")
    if not checks:
        checks.append(Check(id="c1", kind="object", question=f"Does the image show this: {' '.join(request.split())}?"))
        notes.append("The decomposer found nothing to check: the whole request is one check.")
    for text in texts:
        if not any(expects_text(c) and normalize(c.expected) == normalize(text) for c in checks):
            checks.append(Check(id=f"c{len(checks) + 1}", kind="text", question=OPEN_QUESTION, expected=literal_answer(text)))
    return {"checks": checks, "notes": notes}


def _number_checks(drafts: Sequence[CheckDraft], texts: Sequence[str]) -> tuple[list[Check], bool]:
    """Return the drafts as checks, and whether some were left out because there are too many."""
    checks: list[Check] = []
    cut = False
    ids: dict[int, list[str]] = {}  # of the checks of each draft, by its number from 1; a duplicate has those of the first
    for number, draft in enumerate(drafts, 1):
        parents = tuple(dict.fromkeys(id for p in draft.depends_on if p < number for id in ids.get(p, [])))
        ids[number] = []
        for kind, question, expected in rewrite_question(draft.kind, draft.question, draft.expected, texts):
            same = (c.id for c in checks if c.question == question and (c.expected == expected or not KINDS[c.kind].is_text))
            id = next(same, None)
            if id is None and len(checks) == MAX_CHECKS:
                cut = True
                continue
            if id is None:
                id = f"c{len(checks) + 1}"
                checks.append(Check(id=id, kind=kind, question=question, expected=expected, depends_on=parents))
            ids[number].append(id)
    return checks, cut


def decomposer(chat: BaseChatModel) -> Node:
    """Build the node that writes `checks` from `prompt`."""

    def node(state: Request, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        answer = ask(chat, render(state.prompt, context.decomposer_prompt), Checks, role="decomposer")
        update = parse(answer.value, state.prompt)
        return {**update, "notes": [*update["notes"], *answer.notes], "usage": usage_of("decomposer", [answer.spent])}

    return node
