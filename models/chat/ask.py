"""Structured answers: ask a chat model for an answer of a given schema. Every role asks this way.

The schema is sent in the request where the endpoint takes it, and always in words. After an answer that cannot be parsed,
one repair turn shows the model its error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel

from ...errors import ModelAnswerError, ModelCallError
from .answer_probability import LogprobToken, tokens_of
from .answer_text import T, find_answer, is_cut_off, reasoning_of, text_of
from .call import CallUsage, call, is_openai_client, model_name
from .capabilities import REFUSAL_STATUSES, TOP_LOGPROBS, Capabilities

MAX_QUOTED = 4000
"""Characters of an unusable answer that the repair turn quotes: one that was cut off at `max_tokens` can be very long."""


class ModelAnswer(NamedTuple, Generic[T]):
    """A parsed answer with the visible reasoning and what the calls used."""

    value: T
    thought: str
    spent: CallUsage
    text: str = ""
    """The text that the value was found in."""
    tokens: tuple[LogprobToken, ...] = ()
    """Tokens of the whole answer, reasoning included; empty without log-probabilities."""


def ask(
    chat: BaseChatModel, messages: Sequence[BaseMessage], schema: type[T], *, role: str, logprobs: bool = False
) -> ModelAnswer[T]:
    """Ask for an answer of a schema and parse it, with one repair turn.

    Args:
        chat: the model.
        messages: the conversation; the first is the system message, and the schema is added to it.
        schema: the pydantic model of the answer.
        role: the role that asks, for errors.
        logprobs: request log-probabilities of the tokens, where the model gives them.

    Raises:
        ModelAnswerError: the second answer could not be parsed either.
        ModelCallError: the model's endpoint could not be reached or refused the call.
    """
    prompt = with_schema(messages, schema)
    message, spent = _call_adapting(chat, prompt, schema, role, logprobs)
    try:
        value, text = find_answer(message, schema)
    except ValueError as problem:
        quoted = (_text_or_refusal(message) or "(nothing)")[:MAX_QUOTED]
        brief = " Be brief." if is_cut_off(message) else ""
        want = f"Answer again with one JSON object of the schema and nothing else.{brief}"
        repair = HumanMessage(f"That answer could not be read: {problem}. {want}")
        message, more = _call_adapting(chat, [*prompt, AIMessage(quoted), repair], schema, role, logprobs)
        spent = spent.plus(more)
        try:
            value, text = find_answer(message, schema)
        except ValueError as still:
            cure = ", also when asked to be brief: raise max_tokens" if is_cut_off(message) else ""
            raise ModelAnswerError(role, model_name(chat), f"{still}{cure}", _text_or_refusal(message), spent) from still
    return ModelAnswer(value, reasoning_of(message), spent, text, tokens_of(message) if logprobs else ())


def _call_adapting(
    chat: BaseChatModel, messages: Sequence[BaseMessage], schema: type[BaseModel], role: str, logprobs: bool
) -> tuple[AIMessage, CallUsage]:
    """Call with the fields that the endpoint is known to take, and again without those that it refuses."""
    known = getattr(chat, "capabilities", None)
    if not isinstance(known, Capabilities):
        count = TOP_LOGPROBS[0] if logprobs and getattr(chat, "gives_logprobs", False) else 0
        return call(_bind_options(chat, schema, count), messages, role=role)
    while True:
        with_schema_field = known.response_format is not False
        count = known.alternatives if logprobs and known.logprobs is not False else 0
        try:
            message, spent = call(_bind_options(chat, schema if with_schema_field else None, count), messages, role=role)
        except ModelCallError as error:
            # Each refusal that is learnt from removes a field that was sent: this ends.
            if error.status in REFUSAL_STATUSES and known.learn_refusal(error.said, schema=with_schema_field, alternatives=count):
                continue
            raise
        got_logprobs = any(token.top for token in tokens_of(message))
        known.learn_answer(
            schema=with_schema_field, logprobs=got_logprobs if count and (got_logprobs or text_of(message).strip()) else None
        )
        return message, spent


def _bind_options(chat: BaseChatModel, schema: type[BaseModel] | None, alternatives: int) -> Any:
    bound = chat if schema is None else bind_schema(chat, schema)
    return bound.bind(logprobs=True, top_logprobs=alternatives) if alternatives else bound


def bind_schema(chat: BaseChatModel, schema: type[BaseModel]) -> Any:
    """Bind the schema to the model as the request field `response_format`.

    OpenAI clients parse answers to `response_format` themselves and drop those that do not fit; as a field of
    `extra_body` the text comes back whatever it is.
    """
    name, wanted = schema.__name__, schema.model_json_schema()
    field = {"type": "json_schema", "json_schema": {"name": name, "schema": wanted}}
    if is_openai_client(chat):
        return chat.bind(extra_body={**(getattr(chat, "extra_body", None) or {}), "response_format": field})
    return chat.bind(response_format=field)


def with_schema(messages: Sequence[BaseMessage], schema: type[BaseModel]) -> list[BaseMessage]:
    """Add the schema to the end of the system message, for endpoints that ignore `response_format`."""
    text = f"Answer with one JSON object of this schema, and nothing around it:\n{json.dumps(schema_without_titles(schema))}"
    first, *rest = messages
    return [SystemMessage(f"{first.text}\n\n{text}"), *rest]


def schema_without_titles(schema: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema without the titles that pydantic adds."""

    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: strip(v) for k, v in node.items() if not (k == "title" and isinstance(v, str))}
        return [strip(v) for v in node] if isinstance(node, list) else node

    return strip(schema.model_json_schema())  # type: ignore[no-any-return]


def _text_or_refusal(message: AIMessage) -> str:
    """Return the text of an unusable answer, or its refusal."""
    return text_of(message).strip() or str(message.additional_kwargs.get("refusal") or "")
