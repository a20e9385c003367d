"""Normalize the messages of chat models: whatever a server or a custom model sends gets one form.

Lenient where the meaning is clear: a number as content becomes text, tool arguments may be an object or JSON text, a call
without an id gets one. What a checkpoint cannot hold (half a surrogate pair, an integer over 64 bits, NUL) is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call

MAX_DEPTH = 40
"""Levels of nesting that are kept; deeper data becomes None."""
MAX_TOKEN_COUNT = 10**9
"""Largest believable number of tokens in a call."""


def clean_message(message: BaseMessage) -> AIMessage:
    """Return the answer of a chat model as an `AIMessage` that a checkpoint can hold.

    Each tool call has a name, a dict of arguments and a unique id; others are in `invalid_tool_calls`. Token counts are
    whole numbers, or left out.

    Args:
        message: of any role and content.
    """
    fields = storable({name: getattr(message, name, None) for name in ("content", "id", "name", "usage_metadata")})
    called = [call for name in ("tool_calls", "invalid_tool_calls") for call in _as(list, getattr(message, name, None))]
    calls, invalid = tool_calls_of(called)
    kwargs = _as(dict, storable(message.additional_kwargs))
    return AIMessage(
        content=_clean_blocks(fields["content"]) if isinstance(fields["content"], list) else _as(str, fields["content"]),
        additional_kwargs={k: v for k, v in kwargs.items() if k != "tool_calls"},
        response_metadata=_as(dict, storable(message.response_metadata)),
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=_clean_usage(_as(dict, fields["usage_metadata"])),
        **_texts(fields, "id", "name"),
    )


def clean_completion(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a chat completion, or of a chunk of a stream, in the form that OpenAI documents.

    Args:
        fields: of a response with `choices`; a field of another type is converted if its meaning is clear, else left out.
    """
    fields = storable(fields)
    clean: dict[str, Any] = _texts(fields, "id", "model", "system_fingerprint", "object", "type", "service_tier")
    if isinstance(usage := fields.get("usage"), dict):
        totals = {k: v for k, v in _token_counts(usage).items() if not k.endswith("_details")}
        clean["usage"] = totals | {k: _token_counts(v) for k, v in usage.items() if isinstance(v, dict)}
    clean["choices"] = [_clean_choice(choice) for choice in _as(list, fields.get("choices")) if isinstance(choice, dict)]
    return clean


def tool_calls_of(calls: Iterable[Any]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return valid tool calls, each with a unique id, and invalid ones.

    Args:
        calls: in the form of OpenAI or of LangChain.
    """
    good: dict[str, ToolCall] = {}
    bad: dict[str, InvalidToolCall] = {}
    for call in calls:
        fields = _as(dict, call)
        function = fields["function"] if isinstance(fields.get("function"), dict) else fields
        given = function.get("arguments", function.get("args"))
        name, id = _as(str, storable(function.get("name"))).strip(), _as(str, storable(fields.get("id")))
        if not id or id in good or id in bad:
            id = f"call_{uuid4().hex[:12]}"
        arguments = arguments_of(given)
        if name and arguments is not None:
            good[id] = tool_call(name=name, args=arguments, id=id)
        else:
            problem = "no name and object of arguments"
            bad[id] = invalid_tool_call(name=name or None, args=_json_text(given), id=id, error=problem)
    return [*good.values()], [*bad.values()]


def arguments_of(given: Any) -> dict[str, Any] | None:
    """Return the arguments of a tool call, from JSON text or an object; None where they are neither."""
    for _ in range(2):  # some servers write the JSON text as JSON once more
        if isinstance(given, str):
            try:
                given = json.loads(given, strict=False) if given.strip() else {}
            except (ValueError, RecursionError):
                return None
    return _as(dict, storable(given)) if given is None or isinstance(given, Mapping) else None


def storable(value: Any, depth: int = 0) -> Any:
    """Return plain data in a form that checkpoints, files and databases can hold; other values become None.

    Args:
        value: text, numbers, lists and dicts of them.
        depth: level of nesting of the value.
    """
    if isinstance(value, str):
        return str.__str__(value).encode("utf-8", "replace").decode().replace("\0", "")
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value) if value.bit_length() < 2000 else None
    if depth >= MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {storable(k if isinstance(k, str) else repr(k)): storable(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [storable(v, depth + 1) for v in value]
    return None


def _clean_blocks(blocks: list[Any]) -> list[str | dict[str, Any]]:
    """Return content blocks in a form that LangChain reads, without those that are unreadable."""
    clean: list[str | dict[str, Any]] = []
    for block in blocks:
        if isinstance(block, str) and block:
            clean.append(block)
        elif isinstance(block, dict) and isinstance(block.get("text", ""), str):
            clean.append({"type": "text" if "text" in block else "unknown", **block})
    return clean


def _clean_choice(choice: dict[str, Any]) -> dict[str, Any]:
    """Return a choice with its message or delta."""
    clean: dict[str, Any] = {"index": 0, "finish_reason": None, **_texts(choice, "finish_reason")}
    if isinstance(choice.get("logprobs"), dict):
        clean["logprobs"] = choice["logprobs"]
    for name in ("message", "delta"):
        message = choice.get(name)
        if isinstance(message, dict | str):
            clean[name] = _clean_choice_message({"content": message} if isinstance(message, str) else message)
    return clean


def _clean_choice_message(fields: dict[str, Any]) -> dict[str, Any]:
    content = fields.get("content")
    calls = [_clean_tool_call(c, n) for n, c in enumerate(_as(list, fields.get("tool_calls"))) if isinstance(c, dict)]
    texts = _texts(fields, "refusal", "reasoning_content", "reasoning")
    clean = _clean_blocks(content) if isinstance(content, list) else None if content is None else _json_text(content)
    return {"role": "assistant", "content": clean, "tool_calls": calls, **texts}


def _clean_tool_call(call: dict[str, Any], place: int) -> dict[str, Any]:
    """Return a tool call, or a chunk of one in a stream."""
    function = _as(dict, call.get("function"))
    given, index = function.get("arguments"), call.get("index")
    arguments = "" if given is None else _json_text(given)
    return {
        "index": index if type(index) is int else place,
        "id": None,
        "type": "function",
        **_texts(call, "id"),
        "function": {"name": None, **_texts(function, "name"), "arguments": arguments},
    }


def _clean_usage(usage: dict[str, Any]) -> UsageMetadata | None:
    if not (counts := _token_counts(usage)):
        return None
    read, written = counts.get("input_tokens", 0), counts.get("output_tokens", 0)
    clean = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=counts.get("total_tokens", read + written))
    for name in ("input_token_details", "output_token_details"):
        if isinstance(usage.get(name), dict):
            clean[name] = _token_counts(usage[name])  # type: ignore[typeddict-item]
    return clean


def _token_counts(fields: dict[str, Any]) -> dict[str, int]:
    """Return the fields that are token counts: whole numbers from 0 to `MAX_TOKEN_COUNT`."""
    return {k: v for k, v in fields.items() if type(v) is int and 0 <= v <= MAX_TOKEN_COUNT}


def _texts(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return those of the named fields that are texts."""
    return {name: fields[name] for name in names if isinstance(fields.get(name), str)}


def _as(kind: type[Any], value: Any) -> Any:
    """Return a value if it is of a kind, else an empty one of it."""
    return value if isinstance(value, kind) else kind()


def _json_text(value: Any) -> str:
    """Return text as it is, and other values as JSON."""
    return storable(value) if isinstance(value, str) else json.dumps(storable(value), ensure_ascii=False)
