"""Probability of the expected answer in a structured answer, from token log-probabilities.

GenEval2's Soft-TIFA (facebookresearch/GenEval2) reads the probability of the expected answer to a question with a one-word
answer. Here one JSON text has many answers, so the tokens of each have to be located first; and the probability is the share
of the expected answer among answers of its kind, since a model spreads its probability over spellings ("yes", "Yes") and
over text that is no answer.

Pure functions, which return nothing rather than a guess: an answer without a probability counts as certain.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage

from ..numerals import parse_number
from .answer_text import after_reasoning, json_objects

MAX_VALUE_TOKENS = 40
"""Tokens of a value that are read: by then the answer is known, and later tokens do not change it."""

STRING_OR_BRACE = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]', re.DOTALL)
"""The parts of JSON text that decide its structure: strings and braces."""

COLON = re.compile(r"\s*:")


class LogprobToken(NamedTuple):
    """A token of an answer with its natural log-probability and those of the alternatives, itself included or not.

    Bytes that are not UTF-8 by themselves are lone surrogates in `text` (Python's "surrogateescape").
    """

    text: str
    logprob: float
    top: Mapping[str, float]


def tokens_of(message: AIMessage) -> tuple[LogprobToken, ...]:
    """Return the tokens of an answer, reasoning included, in order; empty where the endpoint gave no log-probabilities."""
    logprobs = message.response_metadata.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    tokens = []
    for item in content if isinstance(content, list) else ():
        if (logprob := _logprob(item)) is None:
            return ()
        others = item.get("top_logprobs")
        others = others if isinstance(others, list) else ()
        top = {_token_text(other): p for other in others if (p := _logprob(other)) is not None}
        tokens.append(LogprobToken(_token_text(item), logprob, top))
    return tuple(tokens)


def answer_probabilities(text: str, tokens: Sequence[LogprobToken], wanted: Mapping[str, str]) -> dict[str, float]:
    """Return the probability of the expected answer of each finding that has one.

    Args:
        text: the answer as it came, with `{"findings": [{"id": ..., "answer": ...}]}` in it.
        tokens: its tokens; more may come before (reasoning) and after (end marks).
        wanted: the expected answer of each id.

    Returns:
        Probabilities from 0 to 1 by the ids of `wanted`; ids without a known probability are left out.
    """
    places = {normalize_id(id): span for id, span in reversed(answer_spans(text).items())}
    probabilities = {}
    for id, expected in wanted.items():
        if (span := places.get(normalize_id(id))) and (p := expected_share(text, tokens, span, expected)) is not None:
            probabilities[id] = p
    return probabilities


def expected_share(text: str, tokens: Sequence[LogprobToken], span: tuple[int, int], expected: str) -> float | None:
    """Return the share of probability of the expected answer among all answers of its kind.

    Args:
        text: the answer as it came.
        tokens: its tokens.
        span: where in `text` the value is, from and to, quotes not included.
        expected: "yes", "no" or a number as a word or in digits.

    Returns:
        A probability from 0 to 1; None if either answer is neither yes or no nor a number, or if the tokens do not fit the text.
    """
    kind = _yes_no_prefix if expected.strip(" .").casefold() in {"yes", "no"} else _as_digits if _as_digits(expected) else None
    if kind is None or kind(text[slice(*span)]) is None:
        return None
    weights: dict[str, float] = {}
    for spelling, weight in candidate_values(text, tokens, span):
        if (answer := kind(spelling)) is not None:
            weights[answer] = weights.get(answer, 0.0) + weight
    total = sum(weights.values())
    return weights.get(kind(expected) or "", 0.0) / total if total > 0 else None


def candidate_values(text: str, tokens: Sequence[LogprobToken], span: tuple[int, int]) -> list[tuple[str, float]]:
    """Return the values that the model could have given instead of one, itself first, with their probabilities.

    Each other value takes an alternative to one of the tokens, after the tokens before it. The token after the value counts
    too: there "six" could have become "sixteen". Empty where the tokens do not fit the text, or have no alternatives.
    """
    path = _value_tokens(text, tokens, span)[:MAX_VALUE_TOKENS]
    if not any(token.top for _, token in path):
        return []
    others: list[tuple[str, float]] = []
    before, so_far = "", 0.0
    for lead, token in path:
        for other, logprob in token.top.items():
            if other != token.text:
                others.append((_until_quote(before + other if before else re.sub(r"^\W+", "", other)), math.exp(so_far + logprob)))
        before += token.text[lead:]
        so_far += token.logprob
    return [(text[slice(*span)], math.exp(so_far)), *others]


def answer_spans(text: str) -> dict[str, tuple[int, int]]:
    """Return where the `answer` of each finding is in a text, quotes not included, by the id of the finding.

    Finds `{"id": "c1", ..., "answer": "yes"}` in any order of keys, within the first JSON object after the reasoning that
    has any. The first finding with an id counts.
    """
    objects = (_answer_spans_in_object(text, start, end) for start, end, _ in json_objects(text, after_reasoning(text)))
    return next(filter(None, objects), {})


def normalize_id(id: str) -> str:
    """Return an id in the form that is compared: models write "1", "C1" or "c1:" for c1."""
    return id.strip().lower().rstrip(".:").removeprefix("c")


def _answer_spans_in_object(text: str, start: int, end: int) -> dict[str, tuple[int, int]]:
    """Walk over the strings of JSON text: one before a colon is a key, one after it the key's value."""
    spans: dict[str, tuple[int, int]] = {}
    objects: list[dict[str, Any]] = []
    key = ""
    for literal in STRING_OR_BRACE.finditer(text, start, end):
        if literal.group() == "{":
            objects.append({})
        elif literal.group() == "}":
            closed = objects.pop()
            if "id" in closed and "answer" in closed:
                spans.setdefault(closed["id"], closed["answer"])
        elif COLON.match(text, literal.end(), end):
            key = json.loads(literal.group(), strict=False)
            continue
        elif key == "id":
            objects[-1]["id"] = json.loads(literal.group(), strict=False)
        elif key == "answer":
            objects[-1]["answer"] = (literal.start() + 1, literal.end() - 1)
        key = ""
    return spans


def _value_tokens(text: str, tokens: Sequence[LogprobToken], span: tuple[int, int]) -> list[tuple[int, LogprobToken]]:
    """Return the tokens of a value and the one after it, each with the characters of it that come before the value."""
    pieces = [_token_bytes(token.text) for token in tokens]
    # From the end, since reasoning comes first; without blanks around it, since servers strip the text of an answer.
    body = text.strip()
    whole, part = b"".join(pieces), _token_bytes(body)
    last = whole[::-1].find(part[::-1])  # rfind takes the square of the time in the worst case
    if last < 0 or not body:
        return []
    shift = len(whole) - last - len(part)
    begin, end = (shift + len(_token_bytes(text[:at].lstrip())) for at in span)
    path, at = [], 0
    for piece, token in zip(pieces, tokens, strict=True):
        if at + len(piece) > begin and at <= end:
            lead = len(piece[: max(0, begin - at)].decode("utf-8", "surrogateescape"))
            path.append((lead, token))
        at += len(piece)
    return path if at > end else []


def _until_quote(value: str) -> str:
    """Return the part of a token before the closing quote of a string or the end of a line."""
    return re.split(r'["\n]', value, maxsplit=1)[0]


def _yes_no_prefix(answer: str) -> str | None:
    """Return "yes" or "no" for an answer that begins with it, or is the first token of it, such as "y"."""
    match = re.match(r"\W*([a-z]*)", answer.casefold())
    word = match.group(1) if match else ""
    return word if word in {"yes", "no"} else {"y": "yes", "ye": "yes", "n": "no"}.get(word)


def _as_digits(answer: str) -> str | None:
    """Return the number that an answer is, in digits; None where it is no number."""
    count = 0 if answer.casefold().strip(" .,") in {"no", "none"} else parse_number(answer)
    return None if count is None else str(count)


def _token_text(token: Mapping[str, Any]) -> str:
    """Return the text of a token, from its bytes where they are given: the text of half a character is not in the answer."""
    data = token.get("bytes")
    if isinstance(data, list) and data and all(isinstance(byte, int) and 0 <= byte < 256 for byte in data):
        return bytes(data).decode("utf-8", "surrogateescape")
    return str(token.get("token", "")).encode("utf-8", "replace").decode()


def _logprob(token: Any) -> float | None:
    logprob = token.get("logprob") if isinstance(token, Mapping) else None
    if not isinstance(logprob, int | float) or isinstance(logprob, bool) or not logprob < 1:  # NaN is not
        return None
    return min(0.0, float(max(logprob, MIN_LOGPROB)))  # rounding puts certain tokens a little above 0


MIN_LOGPROB = -(10.0**6)
"""Smaller log-probabilities count as this: servers write various numbers for an impossible token."""


def _token_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
