"""The embedded chat model as a judge of images: answers questions of benchmarks from the pixels, by rules.

The text of the question alone decides what kind it is:

- marks: `Answer with one JSON object: {"consistency": 0-2, "realism": 0-2}`. A mark for how well the image fits the request
  (`Prompt: ...`, or in quotes) is the highest if every question of that request has its answer, else the lowest. All other marks
  are the lowest: the rules know nothing of taste and realism.
- multiple choice: a question with `A: ...`, `B: ...`, or several of them, numbered. A letter for each; what it cannot answer gets
  the option that says "none", or else E.
- all the text in the image: empty, as it cannot read.
- one question, with the demand to answer in one word or with yes or no: that word, or "unknown".

Other questions get no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from .answers import answer, matches_expected
from .grammar import parse_request
from .language import NUMBERS
from .perception import PerceivedThing, perceive
from .questions import questions_about
from .world import COLORS, SHAPES

_MARK = re.compile(r'"(\w+)"\s*:\s*"?<?\s*(\d+)\s*(?:-|–|to|or)\s*(\d+)')
_FIT = re.compile(r"consist|align|faith|adher|correct|match", re.IGNORECASE)
"""Names of marks for how well an image fits its request; a mark that stands alone is one too."""
_REQUEST = (
    re.compile(r"^\W*prompt\W*:\s*[\"“]?(.+?)[\"”]?\s*$", re.IGNORECASE | re.MULTILINE),
    re.compile(r"<prompt>\s*(.+?)\s*</prompt>", re.IGNORECASE | re.DOTALL),
    re.compile(r"[\"“](.+?)[\"”]", re.DOTALL),
)
_NUMBERED = re.compile(r"^[ \t]*(?:question\s*|q)?(\d+)\s*[.):][ \t]*", re.IGNORECASE | re.MULTILINE)
_OPTION = re.compile(r"(?<!\w)([A-E])\s*[:.)]\s*(.*?)(?=[\s,;(]*(?<!\w)[A-E]\s*[:.)]|\n|\Z)")
_NONE = re.compile(r"none|neither|cannot|can't|not |unknown|unclear", re.IGNORECASE)
_READ = re.compile(
    r"\b(?:transcribe|recogni[sz]e|extract|read|(?:write|copy)\s+(?:out|down))\b[^.?!]{0,80}\b(?:text|texts|words|characters|letters|writing)\b"
    r"|文字|文本",
    re.IGNORECASE,
)
_ONE_WORD = re.compile(r"\banswer\b[^.?]*\b(?:(?:one|single)\s+word\b|yes\b.{0,12}\bno\b)", re.IGNORECASE | re.DOTALL)
_QUESTION = re.compile(r"[^.?!:\n]*\?")
_KIND = re.compile(rf"\b(?:(?:{'|'.join(COLORS)})\s+)?(?:{'|'.join(SHAPES)})s?\b", re.IGNORECASE)
_SIDE = re.compile(r"\b(above|over|below|under|beneath|left|right)\b", re.IGNORECASE)
_STATEMENT = re.compile(r"((?:the|there)\b.*?)\s*\b(is|are)\s+(.+)", re.IGNORECASE | re.DOTALL)
_WHICH_IS_THERE = re.compile(
    r"\b(?:which|what)\s+(?:shape|thing|object)s?\s+(?:is|are|can|do)\s+(?:there|in|on|you|shown|visible)\b", re.IGNORECASE
)
_IGNORED_WORDS = frozenset({"a", "an", "the", "at", "in", "on", "to", "of", "corner", "side", "image", "picture"})
_DIGITS = {**{word: str(n) for n, word in enumerate(NUMBERS) if n}, "zero": "0"}


def answer_judge_question(text: str, image: Image.Image) -> str | None:
    """Answer the question of a benchmark about an image; None if it is of no kind in the list above.

    Raises:
        OutsideWorldError: the question wants a mark for a request that the shapes world cannot parse.
    """
    if marks := _mark_ranges(text):
        request = _find_request(text)
        fits = any(_is_alignment_mark(name, marks) for name in marks)
        if fits and not request:
            return None
        good = fits and _meets_request(request, image)
        return json.dumps({name: high if good and _is_alignment_mark(name, marks) else low for name, (low, high) in marks.items()})
    if choices := _multiple_choices(text):
        seen = perceive(image)
        letters = [_choose_letter(question, options, seen) for _, question, options in choices]
        if len(choices) == 1:
            return letters[0]
        return "\n".join(f"{number}. {letter}" for (number, _, _), letter in zip(choices, letters, strict=True))
    if _READ.search(text):
        return ""
    if _ONE_WORD.search(text) and ("?" in text or "？" in text):  # a question in Chinese is one, though it is not understood
        result = answer(last_question(text), perceive(image))
        return result.text if result.known else "unknown"
    return None


def last_question(text: str) -> str:
    """Return the last question of a text, without instructions; the whole text where there is no question."""
    matches = _QUESTION.findall(text)
    return matches[-1].strip() if matches else text


def limit_answer(text: str, most_tokens: int | None = None, alternatives: int | None = None) -> tuple[str, dict[str, Any]]:
    """Cut an answer to a number of tokens; return it with the response metadata of an endpoint.

    Args:
        text: the answer; each word is a token.
        most_tokens: most tokens, None without a limit.
        alternatives: value of `top_logprobs`; None without log-probabilities. Rules are certain: an answer of one word has
            the log-probability 0 and no alternative but itself. Longer answers get no log-probabilities.
    """
    words, metadata = text.split(), dict[str, Any]()
    if most_tokens is not None and len(words) > most_tokens:
        text, words = " ".join(words[:most_tokens]), words[:most_tokens]
        metadata["finish_reason"] = "length"
    if alternatives is not None and len(words) == 1:
        token = {"token": text, "logprob": 0.0, "bytes": list(text.encode())}
        metadata["logprobs"] = {"content": [{**token, "top_logprobs": [token] if alternatives else []}]}
    return text, metadata


def _mark_ranges(text: str) -> dict[str, tuple[int, int]]:
    """Return the marks that the last JSON object in a text names, with the lowest and highest value of each."""
    objects = [_MARK.findall(body) for body in re.findall(r"\{[^{}]*\}", text)]
    return {name: (int(low), int(high)) for name, low, high in next((marks for marks in reversed(objects) if marks), [])}


def _is_alignment_mark(name: str, marks: Mapping[str, Any]) -> bool:
    return len(marks) == 1 or bool(_FIT.search(name))


def _find_request(text: str) -> str:
    matches = (pattern.search(text) for pattern in _REQUEST)
    return next((match[1] for match in matches if match), "")


def _meets_request(request: str, image: Image.Image) -> bool:
    seen = perceive(image)
    return all(matches_expected(answer(q.text, seen), q.expected) for q in questions_about(parse_request(request)))


def _multiple_choices(text: str) -> list[tuple[str, str, dict[str, str]]]:
    """Return the multiple-choice questions in a text: number, question and options by their letters."""
    pieces = _NUMBERED.split(text)
    numbered = list(zip(pieces[1::2], pieces[2::2], strict=True)) or [("1", text)]
    choices = []
    for number, body in numbered:
        matches = list(_OPTION.finditer(body))
        begin = next((match.start() for match in matches if match[1] == "A"), len(body))
        options: dict[str, str] = {}
        for match in matches:  # "(A, B, C, D or E)" may follow, in a demand how to answer
            if match.start() >= begin:
                options.setdefault(match[1], match[2].strip(" .,;"))
        if {"A", "B"} <= options.keys():
            choices.append((number, last_question(body[:begin]), options))
    return choices


def _choose_letter(question: str, options: Mapping[str, str], seen: Sequence[PerceivedThing]) -> str:
    real = {letter: option for letter, option in options.items() if not _NONE.match(option)}
    none = next((letter for letter in options if letter not in real), "E")
    return next((letter for letter, option in real.items() if _option_holds(question, option, seen)), none)


def _option_holds(question: str, option: str, seen: Sequence[PerceivedThing]) -> bool:
    """Return whether an option is true: it equals the answer, or what it states, with the question or alone, is true."""
    if statements := _option_as_questions(question, option):
        return all(answer(statement, seen).text == "yes" for statement in statements)
    result = answer(question, seen)
    answered, offered = _significant_words(result.text), _significant_words(option)
    brief = len(answered) == 1 and (answered[0] in ("yes", "no") or answered[0].isdigit())
    return result.known and (answered == offered or (brief and answered == offered[:1]))


def _option_as_questions(question: str, option: str) -> list[str]:
    """Return an option as questions for yes: a side of two things, a thing that is there, or a statement."""
    kinds, sides = [*_KIND.findall(question), *_KIND.findall(option)], _SIDE.findall(option)
    if stated := _STATEMENT.fullmatch(option):
        return [f"{stated[2]} {stated[1]} {stated[3]}?"]
    if len(kinds) == 2 and sides:
        each = [f"to the {side} of" if side.lower() in ("left", "right") else side for side in sides]
        return [f"{_verb_for(kinds[0])} the {kinds[0]} {side} the {kinds[1]}?" for side in each]
    if len(kinds) == 1 and _WHICH_IS_THERE.search(question):
        return [f"{_verb_for(option)} there {option if ' ' in option else f'a {option}'}?"]
    return []


def _verb_for(things: str) -> str:
    return "Are" if things.endswith("s") else "Is"


def _significant_words(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower().replace("centre", "center").replace("middle", "center"))
    return [_DIGITS.get(word, word) for word in words if word not in _IGNORED_WORDS]
