"""Ask a chat model for an answer of a given schema, and get it or a clear error: the one way every role asks.

The schema goes out with the request for endpoints that take it, and in words for those that do not; the answer is
found in whatever surrounds it. One repair turn shows the model its error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, ValidationError

from ...errors import ModelAnswerError, ModelCallError
from .answer_probability import LogprobToken, tokens_of
from .call import Spent, call, model_name, speaks_openai
from .capabilities import ALTERNATIVES, REFUSALS, Capabilities
from .sanitize import objects_in, storable

T = TypeVar("T", bound=BaseModel)

THINKING = re.compile(r"<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)

MAX_SHOWN = 4000
"""Characters of an answer of no use that the repair turn shows: one that ran on until it was cut off can be very long."""


class ModelAnswer(NamedTuple, Generic[T]):
    """A parsed answer, the model's visible reasoning if any, and the cost."""

    value: T
    thought: str
    spent: Spent
    text: str = ""
    """The text that the value was found in."""
    tokens: tuple[LogprobToken, ...] = ()
    """The tokens of the whole answer, reasoning included, where log-probabilities were asked for and given."""


def ask(
    chat: BaseChatModel, messages: Sequence[BaseMessage], schema: type[T], *, role: str, logprobs: bool = False
) -> ModelAnswer[T]:
    """Ask and parse, with one repair turn.

    Args:
        chat: the model.
        messages: what it is shown; the answer's schema is added to the first system message.
        schema: the pydantic model of the answer.
        role: who asks, for errors.
        logprobs: ask for the log-probabilities of the tokens, where the model gives them.

    Raises:
        ModelAnswerError: the second answer was of no use either.
        ModelCallError: the model's endpoint could not be reached or refused the call.
    """
    asked = with_schema(messages, schema)
    message, spent = _request(chat, asked, schema, role, logprobs)
    try:
        value, text = read(message, schema)
    except ValueError as problem:
        shown = (_said(message) or "(nothing)")[:MAX_SHOWN]
        brief = " Be brief." if _cut_off(message) else ""
        want = f"Answer again with one JSON object of the schema and nothing else.{brief}"
        repair = HumanMessage(f"That answer could not be read: {problem}. {want}")
        message, more = _request(chat, [*asked, AIMessage(shown), repair], schema, role, logprobs)
        spent = spent.plus(more)
        try:
            value, text = read(message, schema)
        except ValueError as still:
            cure = ", also when asked to be brief: raise max_tokens" if _cut_off(message) else ""
            raise ModelAnswerError(role, model_name(chat), f"{still}{cure}", _said(message), spent) from still
    return ModelAnswer(value, thought_of(message), spent, text, tokens_of(message) if logprobs else ())


def _request(
    chat: BaseChatModel, messages: Sequence[BaseMessage], schema: type[BaseModel], role: str, logprobs: bool
) -> tuple[AIMessage, Spent]:
    """Call with what the endpoint is known to take, and again with less where it turns out to refuse some of it."""
    known = getattr(chat, "capabilities", None)
    if not isinstance(known, Capabilities):
        count = ALTERNATIVES[0] if logprobs and getattr(chat, "gives_logprobs", False) else 0
        return call(_bind(chat, schema, count), messages, role=role)
    while True:
        with_it = known.response_format is not False
        count = known.alternatives if logprobs and known.logprobs is not False else 0
        try:
            message, spent = call(_bind(chat, schema if with_it else None, count), messages, role=role)
        except ModelCallError as error:
            # Only what was sent can be learnt from, and then less is sent: this ends.
            if error.status in REFUSALS and known.learn_refusal(error.said, schema=with_it, alternatives=count):
                continue
            raise
        given = any(token.top for token in tokens_of(message))
        known.learn_answer(schema=with_it, logprobs=given if count and (given or text_of(message).strip()) else None)
        return message, spent


def _bind(chat: BaseChatModel, schema: type[BaseModel] | None, alternatives: int) -> Any:
    bound = chat if schema is None else bind_schema(chat, schema)
    return bound.bind(logprobs=True, top_logprobs=alternatives) if alternatives else bound


def bind_schema(chat: BaseChatModel, schema: type[BaseModel]) -> Any:
    """Put the schema into the request.

    OpenAI clients send `response_format` through a parser of their own that loses answers it dislikes, so there it
    travels as an extra field of the body, and the text comes back whatever it is.
    """
    name, wanted = schema.__name__, schema.model_json_schema()
    field = {"type": "json_schema", "json_schema": {"name": name, "schema": wanted}}
    if speaks_openai(chat):
        return chat.bind(extra_body={**(getattr(chat, "extra_body", None) or {}), "response_format": field})
    return chat.bind(response_format=field)


def with_schema(messages: Sequence[BaseMessage], schema: type[BaseModel]) -> list[BaseMessage]:
    """Say the schema in words at the end of the system message, for endpoints that ignore the field."""
    text = f"Answer with one JSON object of this schema, and nothing around it:\n{json.dumps(brief_schema(schema))}"
    first, *rest = messages
    return [SystemMessage(f"{first.text}\n\n{text}"), *rest]


def brief_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema without the titles that pydantic adds: they say nothing."""

    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: strip(v) for k, v in node.items() if not (k == "title" and isinstance(v, str))}
        return [strip(v) for v in node] if isinstance(node, list) else node

    return strip(schema.model_json_schema())  # type: ignore[no-any-return]


def read(message: AIMessage, schema: type[T]) -> tuple[T, str]:
    """Return the answer in a message, and the text it was found in.

    It is looked for in the text; then in the arguments of tool calls, since some models answer a schema with a call; then,
    if there is no text at all, at the end of the reasoning, where some servers' parsers put all of a short answer. A draft in
    the midst of the reasoning is none.

    Raises:
        ValueError: there is none; the message is fit to be shown to the model.
    """
    text = text_of(message)
    try:
        return parse(text, schema), text
    except ValueError as error:
        problem = error
    for arguments in [*(json.dumps(c["args"]) for c in message.tool_calls), *(c["args"] or "" for c in message.invalid_tool_calls)]:
        try:
            return parse(arguments, schema), arguments
        except ValueError as error:
            problem = error
    reasoning = thought_of(message).rstrip("` \n")
    if not text.strip() and reasoning.endswith("}") and not _cut_off(message):
        start, end, found = max(objects_in(reasoning), key=lambda place: place[1], default=(0, 0, {}))
        if end == len(reasoning):
            with suppress(ValidationError):
                return schema.model_validate(storable(found)), reasoning[start:]
    if _cut_off(message):
        raise ValueError("the answer was cut off at max_tokens") from problem
    if (refusal := message.additional_kwargs.get("refusal")) or _finish(message) == "content_filter":
        raise ValueError(f"the model refused: {str(refusal or text).strip() or 'its content filter cut in'}") from problem
    raise problem


def parse(text: str, schema: type[T]) -> T:
    """Find and validate the JSON object in an answer: fenced, with prose around it, or after a think block.

    Raises:
        ValueError: there is none, or it does not fit the schema; the message is fit to be shown to the model.
    """
    # A chat template may open the block itself: then only its end is in the answer.
    body = THINKING.sub("", text).rpartition("</think>")[2].strip()
    if not body:
        raise ValueError("the answer was empty")
    problem = ""
    for _, _, found in objects_in(body):
        try:
            return schema.model_validate(storable(found))
        except ValidationError as error:  # it may be the schema itself, repeated before the answer
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the object"
            problem = problem or f"{where}: {first['msg']}"
    raise ValueError(problem or "there was no JSON object in the answer")


def text_of(message: BaseMessage) -> str:
    """Return a message's text, whatever content form it has."""
    return str(message.text).encode("utf-8", "replace").decode()  # half a surrogate pair could not be stored


def thought_of(message: AIMessage) -> str:
    """Return the reasoning a model lets be seen, empty where it hides it."""
    for key in ("reasoning_content", "reasoning"):
        if isinstance(found := message.additional_kwargs.get(key), str) and found.strip():
            return found.strip()
    inside = THINKING.search(text_of(message))
    return inside.group(1).strip() if inside else ""


def _said(message: AIMessage) -> str:
    """Return what a model said in place of an answer: its text, or how it refused."""
    return text_of(message).strip() or str(message.additional_kwargs.get("refusal") or "")


def _cut_off(message: AIMessage) -> bool:
    return _finish(message) in {"length", "max_tokens"}


def _finish(message: AIMessage) -> str:
    reason = message.response_metadata.get("finish_reason") or message.response_metadata.get("stop_reason")
    return str(reason or "")
