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

from ...errors import ModelAnswerError
from ..negotiation import TOP_LOGPROBS
from .answer_probability import LogprobToken, tokens_of
from .answer_text import T, find_answer, is_cut_off, reasoning_of, text_of
from .call import CallUsage, call, model_name, server_notes

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
    notes: tuple[str, ...] = ()
    """Sentences for the run: what the endpoint refused, and a repaired answer."""


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
    prompt, wants = with_schema(messages, schema), dict[str, Any](schema=schema)
    if logprobs and getattr(chat, "gives_logprobs", False):
        wants["logprobs"] = TOP_LOGPROBS[0]
    message, spent = call(chat, prompt, wants, role=role)
    try:
        found = find_answer(message, schema)
    except ValueError as problem:
        quoted = (_text_or_refusal(message) or "(nothing)")[:MAX_QUOTED]
        brief = " Be brief." if is_cut_off(message) else ""
        want = f"Answer again with one JSON object of the schema and nothing else.{brief}"
        repair = HumanMessage(f"That answer could not be read: {problem}. {want}")
        message, more = call(chat, [*prompt, AIMessage(quoted), repair], wants, role=role)
        spent = spent.plus(more)
        try:
            found = find_answer(message, schema)
        except ValueError as still:
            cure = ", also when asked to be brief: raise max_tokens" if is_cut_off(message) else ""
            raise ModelAnswerError(role, model_name(chat), f"{still}{cure}", _text_or_refusal(message), spent) from still
    notes = [*server_notes(chat), *([f"An answer of the {role} was broken JSON: it was repaired."] if found.repaired else [])]
    tokens = tokens_of(message) if logprobs else ()
    return ModelAnswer(found.value, reasoning_of(message), spent, found.text, tokens, tuple(notes))


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
