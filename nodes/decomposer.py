"""Decomposer: turns the request into atomic checks that can be answered from the image alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from pydantic import BaseModel, Field

from ..memory.state import Check, CheckKind, Request, quoted_strings
from ..models.ask import ask
from ..models.capabilities import capability_notes
from .answers import is_read_out
from .keep import visible_strings
from .parts import Node, cost, human
from .spelling import contains, normalize

MAX_CHECKS = 40

SYSTEM = """\
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
- Numbers are asked openly: "How many red circles are there?" with the expected answer "three", never "Are there three \
circles?". Ask it for each object whose number the request gives, including "a" and "one" where a second one would be wrong.
- Relations are asked from the viewer's side of the image, over all the things concerned: "Are all the circles above the \
square?"
- Text is asked openly: "What does the sign say?" with the exact string as the expected answer. No question of any kind \
quotes a text that is to be read: "Are the letters on the sign red?".
- If the request hides its subject behind a riddle, a name or an event, work out first what must be visible, and ask for that.
- All other questions are answered "yes" when the image is right.
- A question that makes sense only if another one passes names it in depends_on: an attribute, a count or a relation \
depends on its objects being there.

Kinds: object, count, attribute, relation, text, style, knowledge (a visible fact that follows from the world rather \
than from the words)."""


READ_OUT = "What text is written in the image? Read out all of it, exactly as it is written, line by line."
"""How a text is asked for: the question must not say what it is, nor leave out one of several."""

# Lazy, so that an apostrophe within does not end it.
_SINGLE_QUOTED = re.compile(r"(?<!\w)['‘]([^\n]+?)['’](?!\w)")

# What a question may say beside its quotes, each of which stands as "_", if it asks for nothing but what is written.
_TEXT = r"(?:words?|texts?|phrases?|names?|letters?|numbers?|titles?|message|inscription|lettering|writing|caption|headline|slogan)"
_CARRIER = (
    r"(?:sign|signpost|\w*board|poster|banner|label|note|card|page|paper|cover|plate|plaque|screen|image|picture|photo|scene)s?"
)
_ON = rf"(?: (?:on|in|across) (?:the|a|an|this) (?:\w+ ){{0,2}}{_CARRIER})?"
_EXACTLY = r"(?: (?:exactly|correctly|clearly|legibly|visibly|letter for letter|word for word|anywhere|on it))*"
_SAYING = rf"(?:says?|saying|reads?|reading|spells?|spelling|with(?: the)? {_TEXT})"
_THAT_SAYS = rf"(?: (?:that|which))?(?: {_SAYING})?{_EXACTLY} _{_ON}{_EXACTLY}"
_SHOWN = r"(?: (?:written|printed|spelled|spelt|out|shown|displayed|visible|legible|readable|present|there|read|seen|appear|be))*"
_WRITTEN = (
    rf"(?:do|does|can) (?:\w+ ){{1,6}}?(?:say|read|spell|spell out|state){_EXACTLY}(?: the)?(?: {_TEXT})? _{_ON}{_EXACTLY}",
    rf"(?:do|does) (?:\w+ ){{1,6}}?(?:show|display|bear|carry|contain|include|have)(?: the)?(?: {_TEXT}){{1,2}} _{_EXACTLY}",
    rf"(?:is|are|can|do|does)(?: the| both)?(?: {_TEXT}){{0,2}}{_ON} _{_EXACTLY}{_SHOWN}{_EXACTLY}{_ON}{_EXACTLY}",
    rf"(?:is|are) (?:\w+ ){{1,6}}?(?:labell?ed|titled|captioned|marked|inscribed)(?: with)?(?: the)?(?: {_TEXT})? _{_EXACTLY}",
    rf"(?:is|are) there (?:(?:a|the|any|some) )?(?:{_TEXT}){_ON}{_THAT_SAYS}",
    r"[一-鿿]*(?:写着|写有|写的是|写了|写|显示|文字是)(?:文字)? ?_ ?(?:字样|这?[几两一二三四五六七八九十]个字)?[吗么]?",
)
_MERELY_WRITTEN = re.compile("|".join(_WRITTEN))
_SIGN_THAT_SAYS = re.compile(rf"(?:is|are) there (?:(?:a|an|the|any) )?(?:\w+ )?{_CARRIER}{_THAT_SAYS}")
_RELATION = re.compile(
    r"\b(?:above|below|under|underneath|beneath|over|left|right|top|bottom|upper|lower|beside|next|behind|between|before|after|front"
    r"|inside|outside|corner|cent(?:er|re)|middle|first|second|third|last|line)\b|[左右下前后]|上[方面边]"
)
_LOOK = re.compile(
    r"\b(?:red|green|blue|yellow|orange|purple|pink|black|white|gr[ae]y|brown|gold|golden|silver|large|larger|big|small|tiny|bold"
    r"|cursive|italic|capital|uppercase|lowercase|handwritten|neon)\b|[红绿蓝黄橙紫粉黑白灰金银大小]"
)
_OPEN_QUESTION = re.compile(r"(?:what|which|read)\b", re.IGNORECASE)


class CheckDraft(BaseModel):
    """One question of the acceptance test."""

    kind: CheckKind
    question: str = Field(description="Answerable from the image alone.")
    expected: str = Field(default="yes", description='"yes"; for a count the number as a word; for text the exact string.')
    depends_on: list[int] = Field(default=[], description="Numbers, from 1, of earlier questions that must pass first.")


class Checks(BaseModel):
    """The acceptance test of a request."""

    checks: list[CheckDraft]


def render(request: str) -> list[BaseMessage]:
    """Return what the model is shown."""
    return [SystemMessage(SYSTEM), human([f"<request>\n{request}\n</request>"])]


class _Asked(NamedTuple):
    kind: CheckKind
    question: str
    expected: str


def parse(answer: Checks, request: str) -> dict[str, Any]:
    """Return the state update: numbered checks without repetitions, each quoted string of the request among them."""
    texts = visible_strings(request)
    checks, cut = _numbered(answer.checks, texts)
    notes: list[str] = []
    if cut:
        wrote = f"The decomposer wrote {len(answer.checks)} questions, which are more than {MAX_CHECKS} checks"
        notes.append(f"{wrote}: the first {MAX_CHECKS} are asked.")
    if not checks:
        checks.append(Check(id="c1", kind="object", question=f"Does the image show this: {' '.join(request.split())}?"))
        notes.append("The decomposer found nothing to check: the whole request is one check.")
    for text in texts:
        if not any(is_read_out(c) and normalize(c.expected) == normalize(text) for c in checks):
            checks.append(Check(id=f"c{len(checks) + 1}", kind="text", question=READ_OUT, expected=_literal(text)))
    return {"checks": checks, "notes": notes}


def _numbered(drafts: Sequence[CheckDraft], texts: Sequence[str]) -> tuple[list[Check], bool]:
    """Return the drafts as checks, and whether there were too many of them."""
    checks: list[Check] = []
    cut = False
    kept: dict[int, list[str]] = {}  # the model's number of a question to its ids, also for a repeated question
    for number, draft in enumerate(drafts, 1):
        parents = tuple(dict.fromkeys(id for p in draft.depends_on if p < number for id in kept.get(p, [])))
        kept[number] = []
        for kind, question, expected in _asked(draft, texts):
            id = next((c.id for c in checks if c.question == question and (c.expected == expected or c.kind != "text")), None)
            if id is None and len(checks) == MAX_CHECKS:
                cut = True
                continue
            if id is None:
                id = f"c{len(checks) + 1}"
                checks.append(Check(id=id, kind=kind, question=question, expected=expected, depends_on=parents))
            kept[number].append(id)
    return checks, cut


def _asked(draft: CheckDraft, texts: Sequence[str]) -> list[_Asked]:
    """Return what is asked for a draft: texts in the open form where its question tells them and asks for nothing else."""
    question, expected = " ".join(draft.question.split()), draft.expected.strip()
    if not question or not normalize(expected):
        return []
    word = expected.casefold().rstrip(".")
    if draft.kind == "text" and _is_text(question, word, texts):
        tells = len(normalize(expected)) > 1 and contains(normalize(question).casefold(), normalize(expected).casefold())
        return [_Asked("text", READ_OUT if tells else question, _literal(expected))]
    if word != "yes":
        return [_Asked(draft.kind, question, "no" if draft.kind == "text" else expected)]
    quotes, rest = _without_quotes(question, texts)
    wanted = [(quote, _of_request(quote, texts)) for quote in quotes]
    known = draft.kind == "text" or all(text for _, text in wanted)
    if quotes and known and _merely_written(draft.kind, rest):
        return [_Asked("text", READ_OUT, _literal(text or quote)) for quote, text in wanted]
    if draft.kind != "text" or not quotes:
        return [_Asked(draft.kind, question, "yes" if draft.kind == "text" else expected)]
    return [_Asked("relation" if len(quotes) > 1 or _RELATION.search(rest) else "attribute", question, "yes")]


def _is_text(question: str, word: str, texts: Sequence[str]) -> bool:
    """Tell whether what is expected is a text, and not the answer to a yes/no question."""
    if word == "yes":  # also what stands there where the model gave no answer
        return bool(_OPEN_QUESTION.match(question)) and any(word == text.casefold() for text in texts)
    return word != "no" or bool(_OPEN_QUESTION.match(question))


def _without_quotes(question: str, texts: Sequence[str]) -> tuple[list[str], str]:
    """Return the strings that a question quotes, and its other words with "_" for each of them."""
    quotes = [text for text in quoted_strings(question) if normalize(text)]
    rest = question
    for text in quotes:
        rest = re.sub(rf"""["“„「«]\s*{re.escape(text)}\s*["”“」»]""", " _ ", rest)
    single = [text.strip() for text in _SINGLE_QUOTED.findall(rest)]
    for text in single if not quotes else [text for text in single if _of_request(text, texts)]:
        quotes.append(text)
        rest = re.sub(rf"['‘]\s*{re.escape(text)}\s*['’]", " _ ", rest)
    return quotes, " ".join(re.findall(r"\w+", rest.casefold()))


def _of_request(quote: str, texts: Sequence[str]) -> str:
    """Return the text of the request that a question quotes, perhaps in another case or with a sign of its own at the end."""
    same = [text for text in texts if normalize(text) == normalize(quote)]
    return next(iter(same + [text for text in texts if _plain(text) == _plain(quote)]), "")


def _plain(text: str) -> str:
    return normalize(text).casefold().rstrip(".,?!")


def _merely_written(kind: CheckKind, rest: str) -> bool:
    """Tell whether a question asks only whether its texts are written, not also how or where, or whether a thing is there."""
    rest = re.sub(r"_(?: (?:and )?_)+", "_", rest)
    if _RELATION.search(rest) or _LOOK.search(rest):
        return False
    return bool(_MERELY_WRITTEN.fullmatch(rest) or (kind == "text" and _SIGN_THAT_SAYS.fullmatch(rest)))


def _literal(text: str) -> str:
    """Return a text as an expected answer: "yes" and "no" in quotes, as they would be answers to a yes/no question else."""
    return f'"{text}"' if text in {"yes", "no"} else text


def decomposer(chat: BaseChatModel) -> Node:
    """Build the node that writes `checks` from `prompt`."""

    def node(state: Request) -> dict[str, Any]:
        answer = ask(chat, render(state.prompt), Checks, role="decomposer")
        update = parse(answer.value, state.prompt)
        return {**update, "notes": update["notes"] + capability_notes(chat), "usage": cost("decomposer", [answer.spent])}

    return node
