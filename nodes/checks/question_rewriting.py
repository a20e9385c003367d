"""Rewrite the decomposer's questions about text so that they are open: no question tells the text it asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...memory.check_kinds import KINDS
from ...memory.quoted_text import quoted_strings, replace_quotes
from ...memory.state import CheckKind
from .text_match import contains, normalize

OPEN_QUESTION = "What text is written in the image? Read out all of it, exactly as it is written, line by line."
"""Asks for a text without telling it, and for all texts of the image at once."""

# Lazy, so that an apostrophe inside does not end it.
_SINGLE_QUOTED = re.compile(r"(?<!\w)['‘]([^\n]+?)['’](?!\w)")

# Questions that ask only whether a text is written. "_" stands for each quoted text.
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
_ONLY_PRESENCE = re.compile("|".join(_WRITTEN))
_SIGN_THAT_SAYS = re.compile(rf"(?:is|are) there (?:(?:a|an|the|any) )?(?:\w+ )?{_CARRIER}{_THAT_SAYS}")
_RELATION = re.compile(
    r"\b(?:above|below|under|underneath|beneath|over|left|right|top|bottom|upper|lower|beside|next|behind|between|before|after|front"
    r"|inside|outside|corner|cent(?:er|re)|middle|first|second|third|last|line)\b|[左右下前后]|上[方面边]"
)
_LOOK = re.compile(
    r"\b(?:red|green|blue|yellow|orange|purple|pink|black|white|gr[ae]y|brown|gold|golden|silver|large|larger|big|small|tiny|bold"
    r"|cursive|italic|capital|uppercase|lowercase|handwritten|neon)\b|[红绿蓝黄橙紫粉黑白灰金银大小]"
)
_OPEN_WORD = re.compile(r"(?:what|which|read)\b", re.IGNORECASE)


class RewrittenQuestion(NamedTuple):
    """A check as it is written to the state."""

    kind: CheckKind
    question: str
    expected: str


def rewrite_question(kind: CheckKind, question: str, expected: str, texts: Sequence[str]) -> list[RewrittenQuestion]:
    """Return a question of the decomposer as one or more checks; one that tells a text, and asks nothing else, becomes open.

    Args:
        kind: as the model wrote it.
        question: as the model wrote it.
        expected: the answer that passes, as the model wrote it.
        texts: the quoted texts of the request.
    """
    question, expected = " ".join(question.split()), expected.strip()
    if not question or not normalize(expected):
        return []
    word = expected.casefold().rstrip(".")
    is_text = KINDS[kind].is_text
    if is_text and _expects_text(question, word, texts):
        tells = len(normalize(expected)) > 1 and contains(normalize(question).casefold(), normalize(expected).casefold())
        return [RewrittenQuestion(kind, OPEN_QUESTION if tells else question, literal_answer(expected))]
    if word != "yes":
        return [RewrittenQuestion(kind, question, "no" if is_text else expected)]
    quotes, rest = _without_quotes(question, texts)
    pairs = [(quote, _text_of_request(quote, texts)) for quote in quotes]
    all_requested = is_text or all(text for _, text in pairs)
    if quotes and all_requested and _asks_only_presence(is_text, rest):
        return [
            RewrittenQuestion(kind if is_text else "text", OPEN_QUESTION, literal_answer(text or quote)) for quote, text in pairs
        ]
    if not is_text or not quotes:
        return [RewrittenQuestion(kind, question, "yes" if is_text else expected)]
    return [RewrittenQuestion("relation" if len(quotes) > 1 or _RELATION.search(rest) else "attribute", question, "yes")]


def _expects_text(question: str, word: str, texts: Sequence[str]) -> bool:
    """Return whether the expected answer is a text, and not the answer to a yes/no question."""
    if word == "yes":  # also the default, where the model gave no answer
        return bool(_OPEN_WORD.match(question)) and any(word == text.casefold() for text in texts)
    return word != "no" or bool(_OPEN_WORD.match(question))


def _without_quotes(question: str, texts: Sequence[str]) -> tuple[list[str], str]:
    """Return the texts that a question quotes, and its words with "_" in place of each text."""
    quotes = [text for text in quoted_strings(question) if normalize(text)]
    rest = replace_quotes(question, lambda quote: " _ " if quote.text in quotes else question[quote.start : quote.end])
    single = [text.strip() for text in _SINGLE_QUOTED.findall(rest)]
    for text in single if not quotes else [text for text in single if _text_of_request(text, texts)]:
        quotes.append(text)
        rest = re.sub(rf"['‘]\s*{re.escape(text)}\s*['’]", " _ ", rest)
    return quotes, " ".join(re.findall(r"\w+", rest.casefold()))


def _text_of_request(quote: str, texts: Sequence[str]) -> str:
    """Return the text of the request that equals a quote but for case and punctuation at the end; empty if there is none."""
    same = [text for text in texts if normalize(text) == normalize(quote)]
    return next(iter(same + [text for text in texts if _folded(text) == _folded(quote)]), "")


def _folded(text: str) -> str:
    return normalize(text).casefold().rstrip(".,?!")


def _asks_only_presence(is_text: bool, rest: str) -> bool:
    """Return whether a question asks only if its texts are written, not how or where, nor if a thing is there."""
    rest = re.sub(r"_(?: (?:and )?_)+", "_", rest)
    if _RELATION.search(rest) or _LOOK.search(rest):
        return False
    return bool(_ONLY_PRESENCE.fullmatch(rest) or (is_text and _SIGN_THAT_SAYS.fullmatch(rest)))


def literal_answer(text: str) -> str:
    """Return a text as an expected answer; "yes" and "no" get quotes, which tell them from answers to a yes/no question."""
    return f'"{text}"' if text in {"yes", "no"} else text
