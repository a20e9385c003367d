"""Ask a chat model for an answer of a given schema, and get it or a clear error: the one way every role asks.

The schema goes out with the request for endpoints that take it, and in words for those that do not; the answer is
found in whatever surrounds it. One repair turn shows the model its error.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, ValidationError

from ..errors import GemsError

T = TypeVar("T", bound=BaseModel)

THINKING = re.compile(r"<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)


class Spent(NamedTuple):
    """What asking has cost."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    def plus(self, other: Spent) -> Spent:
        """Add up, field by field."""
        tokens = self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens
        return Spent(self.calls + other.calls, *tokens, self.seconds + other.seconds)


class ModelAnswerError(GemsError):
    """A model's answer could not be used, also after it was shown its error.

    The message names the role, the model, what was wrong and how the answer began.
    """

    def __init__(self, role: str, model: str, problem: str, answer: str, spent: Spent) -> None:
        self.role, self.model, self.problem, self.answer, self.spent = role, model, problem, answer, spent
        begin = " ".join(answer.split())[:200] or "(nothing)"
        super().__init__(f"{role} ({model}): {problem}; the answer began: {begin}")


class Answer(NamedTuple, Generic[T]):
    """A parsed answer, the model's visible reasoning if any, and the cost."""

    value: T
    thought: str
    spent: Spent


def ask(chat: BaseChatModel, messages: Sequence[BaseMessage], schema: type[T], *, role: str) -> Answer[T]:
    """Ask and parse, with one repair turn.

    Args:
        chat: the model.
        messages: what it is shown; the answer's schema is added to the first system message.
        schema: the pydantic model of the answer.
        role: who asks, for errors.

    Raises:
        ModelAnswerError: the second answer was of no use either.
    """
    asked = with_schema(messages, schema)
    message, spent = call(bind_schema(chat, schema), asked)
    try:
        value = parse(text_of(message), schema)
    except ValueError as problem:
        want = "Answer again with one JSON object of the schema and nothing else."
        repair = HumanMessage(f"That answer could not be read: {problem}. {want}")
        again, more = call(bind_schema(chat, schema), [*asked, AIMessage(text_of(message) or "(nothing)"), repair])
        message, spent = again, spent.plus(more)
        try:
            value = parse(text_of(message), schema)
        except ValueError as still:
            raise ModelAnswerError(role, model_name(chat), str(still), text_of(message), spent) from still
    return Answer(value, thought_of(message), spent)


def call(chat: Any, messages: Sequence[BaseMessage]) -> tuple[AIMessage, Spent]:
    """Call a chat model (or one with bound options) once; return its message and the cost."""
    began = time.perf_counter()
    message = chat.invoke(list(messages))
    usage = message.usage_metadata or {}
    seconds = time.perf_counter() - began
    return message, Spent(1, int(usage.get("input_tokens", 0)), int(usage.get("output_tokens", 0)), seconds)


def bind_schema(chat: BaseChatModel, schema: type[BaseModel]) -> Any:
    """Put the schema into the request.

    OpenAI clients send `response_format` through a parser of their own that loses answers it dislikes, so there it
    travels as an extra field of the body, and the text comes back whatever it is.
    """
    name, wanted = schema.__name__, schema.model_json_schema()
    field = {"type": "json_schema", "json_schema": {"name": name, "schema": wanted}}
    if any(base.__name__ == "BaseChatOpenAI" for base in type(chat).__mro__):
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


def parse(text: str, schema: type[T]) -> T:
    """Find and validate the JSON object in an answer: fenced, with prose around it, or after a think block.

    Raises:
        ValueError: there is none, or it does not fit the schema; the message is fit to be shown to the model.
    """
    # A chat template may open the block itself: then only its end is in the answer.
    body = THINKING.sub("", text).rpartition("</think>")[2].strip()
    if not body:
        raise ValueError("the answer was empty")
    problem = "there was no JSON object in the answer"
    decoder = json.JSONDecoder(strict=False)
    for start in (m.start() for m in re.finditer(r"\{", body)):
        try:
            found, _ = decoder.raw_decode(body, start)
            # An escaped half of a surrogate pair is legal JSON, but no text that could be stored.
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
        except RecursionError:
            break
        except ValueError:
            continue
        try:
            return schema.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the object"
            problem = f"{where}: {first['msg']}"
            break
    raise ValueError(problem)


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


def model_name(chat: BaseChatModel) -> str:
    """Return the name under which a chat model is shown in errors and reports."""
    for attribute in ("model_name", "model"):
        if isinstance(name := getattr(chat, attribute, None), str) and name:
            return name
    return type(chat).__name__
