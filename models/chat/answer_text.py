"""Answers of chat models as text: the one parser for roles, judges and log-probabilities.

Pure functions that find an answer in what surrounds it: reasoning, code fences, prose, tool calls. Broken JSON is repaired.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

import json_repair
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel, ValidationError

from .sanitize import storable

T = TypeVar("T", bound=BaseModel)

REASONING_BLOCK = re.compile(r"<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
REASONING_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)

MAX_REPAIRED = 10_000
"""Characters of the longest text that is repaired: to repair a text takes long."""


def without_reasoning(text: str) -> str:
    """Return an answer without its reasoning blocks, also where a chat template opened the block and only its end is there.

    Example:
        >>> without_reasoning("<think>Is it red? Yes.</think>yes"), without_reasoning("It is red.</think> yes")
        ('yes', 'yes')
    """
    visible = REASONING_BLOCK.sub("", text)
    return visible[after_reasoning(visible) :].strip()


def after_reasoning(text: str) -> int:
    """Return the position in a text where its last reasoning block has ended, 0 where there is none."""
    return max((tag.end() for tag in REASONING_END.finditer(text)), default=0)


class FoundAnswer(NamedTuple, Generic[T]):
    """An answer of a schema in a message."""

    value: T
    text: str
    """The text that holds it."""
    repaired: bool = False
    """Whether its JSON was broken."""


def find_answer(message: AIMessage, schema: type[T]) -> FoundAnswer[T]:
    """Return the answer in a message, validated.

    Searched are the text; the arguments of tool calls, since some models answer a schema with a call; and, where there is no
    text at all, the end of the reasoning, where some servers' parsers put all of a short answer. A draft within the reasoning
    is no answer. JSON that is broken is repaired at the second try, but not that of an answer that was cut off.

    Args:
        message: the message of the model.
        schema: the pydantic model of the answer.

    Raises:
        ValueError: there is no answer; the message can be shown to the model.
    """
    text, cut = text_of(message), is_cut_off(message)
    texts = [text, *(json.dumps(c["args"]) for c in message.tool_calls), *(c["args"] or "" for c in message.invalid_tool_calls)]
    problem = None
    for repair in (False,) if cut else (False, True):
        for given in texts:
            try:
                return FoundAnswer(parse_answer(given, schema, repair=repair), given, repair)
            except ValueError as error:
                problem = error if problem is None or not repair else problem
        reasoning = reasoning_of(message).rstrip("` \n")
        if not text.strip() and reasoning.endswith("}") and not cut:
            start, end, value = max(json_objects(reasoning), key=lambda place: place[1], default=(0, 0, {}))
            if end == len(reasoning):
                with suppress(ValidationError):
                    return FoundAnswer(schema.model_validate(storable(value)), reasoning[start:])
    if cut:
        raise ValueError("the answer was cut off at max_tokens") from problem
    if (refusal := message.additional_kwargs.get("refusal")) or finish_reason(message) == "content_filter":
        raise ValueError(f"the model refused: {str(refusal or text).strip() or 'its content filter cut in'}") from problem
    raise problem or ValueError("the answer was empty")


def parse_answer(text: str, schema: type[T], *, repair: bool = False) -> T:
    """Return the first JSON object of a text that fits a schema: in a fence, with prose around it, or after reasoning.

    Args:
        text: the text of an answer.
        schema: the pydantic model of the answer.
        repair: read broken JSON too; see `repaired_objects`.

    Raises:
        ValueError: no object fits; the message can be shown to the model.
    """
    body = without_reasoning(text)
    if not body:
        raise ValueError("the answer was empty")
    problem = ""
    for value in repaired_objects(body) if repair else (value for _, _, value in json_objects(body)):
        try:
            return schema.model_validate(storable(value))
        except ValidationError as error:  # it may be the schema itself, repeated before the answer
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the object"
            problem = problem or f"{where}: {first['msg']}"
    raise ValueError(problem or "there was no JSON object in the answer")


def repaired_objects(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects of a text whose JSON is broken: trailing commas, other quotation marks, words without any.

    Nothing is guessed: it must have as many closing brackets as opening ones, and all but the signs of JSON must be in the
    objects, in its order. So an answer that was cut off is not completed, and no part of a hedge is taken for an answer.

    Example:
        >>> repaired_objects("Sure: {'a': True, 'b': [1, 2,],}")
        [{'a': True, 'b': [1, 2]}]
    """
    body = text[text.find("{") : text.rfind("}") + 1]
    balanced = all(body.count(opening) == body.count(closing) for opening, closing in ("{}", "[]"))
    if not body or len(body) > MAX_REPAIRED or not balanced:
        return []
    try:
        found = json_repair.loads(body, skip_json_loads=True)
        kept = _without_json_signs(json.dumps(found, ensure_ascii=False)) == _without_json_signs(body)
    except (ValueError, RecursionError):
        return []
    objects = found if isinstance(found, list) else [found]
    return [value for value in objects if kept and isinstance(value, dict)]


def _without_json_signs(text: str) -> str:
    """Return JSON text without its brackets, quotation marks, commas, colons, blanks and escapes; Python's None is null."""
    return re.sub(r"\\u[0-9a-f]{4}|\\.|[\s{}\[\],:\"'“”‘’`]", "", re.sub(r"\bNone\b", "null", text).casefold())


def text_of(message: BaseMessage) -> str:
    """Return the text of a message, whatever form its content has."""
    return str(message.text).encode("utf-8", "replace").decode()  # half a surrogate pair could not be stored


def reasoning_of(message: AIMessage) -> str:
    """Return the visible reasoning of an answer, from its own field or a block in the text; empty where there is none."""
    for key in ("reasoning_content", "reasoning"):
        if isinstance(reasoning := message.additional_kwargs.get(key), str) and reasoning.strip():
            return reasoning.strip()
    inside = REASONING_BLOCK.search(text_of(message))
    return inside.group(1).strip() if inside else ""


def is_cut_off(message: AIMessage) -> bool:
    """Return whether an answer ended at `max_tokens`."""
    return finish_reason(message) in {"length", "max_tokens"}


def finish_reason(message: AIMessage) -> str:
    """Return why an answer ended, as the server says it; empty where it does not."""
    reason = message.response_metadata.get("finish_reason") or message.response_metadata.get("stop_reason")
    return str(reason or "")


def json_objects(text: str, start: int = 0) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the outermost JSON objects of a text, each as (start, end, object) with positions in characters.

    A failed try costs time: after a number of them that grows with the text, the rest is skipped, so that the whole is linear.

    Args:
        text: any text.
        start: position to search from.

    Example:
        >>> list(json_objects('Sure: {"a": 1}'))
        [(6, 14, {'a': 1})]
    """
    decoder, budget = json.JSONDecoder(strict=False), 8 * len(text) + 10_000
    while budget > 0 and (start := text.find("{", start)) >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except RecursionError:  # no answer is nested this deep, and to try each level would take long
            return
        except json.JSONDecodeError as error:
            budget -= error.pos - start + error.pos // 64 + 1  # the error counts the lines before it
            start += 1
        except ValueError:  # a number of too many digits, anywhere in the rest
            budget -= len(text) - start
            start += 1
        else:
            yield start, end, value
            start = end
