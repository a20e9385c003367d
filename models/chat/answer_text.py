"""Answers of chat models as text: the one parser for roles, judges and log-probabilities.

Pure functions that find an answer in what surrounds it: reasoning, code fences, prose, tool calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel, ValidationError

from .sanitize import storable

T = TypeVar("T", bound=BaseModel)

REASONING_BLOCK = re.compile(r"<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
REASONING_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)


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


def find_answer(message: AIMessage, schema: type[T]) -> tuple[T, str]:
    """Return the answer in a message, validated, and the text that holds it.

    Searched are the text; the arguments of tool calls, since some models answer a schema with a call; and, where there is no
    text at all, the end of the reasoning, where some servers' parsers put all of a short answer. A draft within the reasoning
    is no answer.

    Args:
        message: the message of the model.
        schema: the pydantic model of the answer.

    Raises:
        ValueError: there is no answer; the message can be shown to the model.
    """
    text = text_of(message)
    try:
        return parse_answer(text, schema), text
    except ValueError as error:
        problem = error
    for arguments in [*(json.dumps(c["args"]) for c in message.tool_calls), *(c["args"] or "" for c in message.invalid_tool_calls)]:
        try:
            return parse_answer(arguments, schema), arguments
        except ValueError as error:
            problem = error
    reasoning = reasoning_of(message).rstrip("` \n")
    if not text.strip() and reasoning.endswith("}") and not is_cut_off(message):
        start, end, value = max(json_objects(reasoning), key=lambda place: place[1], default=(0, 0, {}))
        if end == len(reasoning):
            with suppress(ValidationError):
                return schema.model_validate(storable(value)), reasoning[start:]
    if is_cut_off(message):
        raise ValueError("the answer was cut off at max_tokens") from problem
    if (refusal := message.additional_kwargs.get("refusal")) or finish_reason(message) == "content_filter":
        raise ValueError(f"the model refused: {str(refusal or text).strip() or 'its content filter cut in'}") from problem
    raise problem


def parse_answer(text: str, schema: type[T]) -> T:
    """Return the first JSON object of a text that fits a schema: in a fence, with prose around it, or after reasoning.

    Args:
        text: the text of an answer.
        schema: the pydantic model of the answer.

    Raises:
        ValueError: no object fits; the message can be shown to the model.
    """
    body = without_reasoning(text)
    if not body:
        raise ValueError("the answer was empty")
    problem = ""
    for _, _, value in json_objects(body):
        try:
            return schema.model_validate(storable(value))
        except ValidationError as error:  # it may be the schema itself, repeated before the answer
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the object"
            problem = problem or f"{where}: {first['msg']}"
    raise ValueError(problem or "there was no JSON object in the answer")


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
