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
    calls, invalid = tool_calls_of([*_list_attribute(message, "tool_calls"), *_list_attribute(message, "invalid_tool_calls")])
    given, id, name = message.content, message.id, message.name
    content: str | list[str | dict[Any, Any]] = storable(given) if isinstance(given, str) else ""
    if isinstance(given, list):
        content = [block for block in map(_clean_block, given) if block]
    return AIMessage(
        content=content,
        additional_kwargs={k: v for k, v in _dict_or_empty(storable(message.additional_kwargs)).items() if k != "tool_calls"},
        response_metadata=_dict_or_empty(storable(message.response_metadata)),
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=_clean_usage(getattr(message, "usage_metadata", None)),
        id=storable(id) if isinstance(id, str) else None,
        name=storable(name) if isinstance(name, str) else None,
    )


def clean_completion(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a chat completion, or of a chunk of a stream, in the form that OpenAI documents.

    Args:
        fields: of a response with `choices`; a field of another type is converted if its meaning is clear, else left out.
    """
    clean: dict[str, Any] = {
        k: v for k in ("id", "model", "system_fingerprint", "object", "type") if isinstance(v := fields.get(k), str)
    }
    if isinstance(tier := fields.get("service_tier"), str):
        clean["service_tier"] = tier
    if isinstance(usage := fields.get("usage"), Mapping):
        totals = {k: v for k, v in _token_counts(usage).items() if not k.endswith("_details")}
        clean["usage"] = totals | {k: _token_counts(v) for k, v in _nested_mappings(usage).items()}
    choices = fields.get("choices")
    clean["choices"] = (
        [_clean_choice(choice) for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []
    )
    return clean


def tool_calls_of(calls: Iterable[Any]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return valid tool calls, each with a unique id, and invalid ones.

    Args:
        calls: in the form of OpenAI or of LangChain.
    """
    good: list[ToolCall] = []
    bad: list[InvalidToolCall] = []
    taken: set[str] = set()
    for call in calls:
        fields = call if isinstance(call, Mapping) else {}
        inner = fields.get("function")
        function: Mapping[str, Any] = inner if isinstance(inner, Mapping) else fields
        given, name, id = function.get("arguments", function.get("args")), function.get("name"), fields.get("id")
        id = storable(id) if isinstance(id, str) else ""
        if not id or id in taken:
            id = f"call_{uuid4().hex[:12]}"
        taken.add(id)
        name = storable(name).strip() if isinstance(name, str) else ""
        arguments = arguments_of(given)
        if name and arguments is not None:
            good.append(tool_call(name=name, args=arguments, id=id))
        else:
            arguments_text = storable(given if isinstance(given, str) else _json_text(given))
            bad.append(invalid_tool_call(name=name or None, args=arguments_text, id=id, error="no name and object of arguments"))
    return good, bad


def arguments_of(given: Any) -> dict[str, Any] | None:
    """Return the arguments of a tool call, from JSON text or an object; None where they are neither."""
    for _ in range(2):  # some servers write the JSON text as JSON once more
        if isinstance(given, str):
            try:
                given = json.loads(given, strict=False) if given.strip() else {}
            except (ValueError, RecursionError):
                return None
    return _dict_or_empty(storable(given)) if isinstance(given, Mapping) else {} if given is None else None


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
        return {storable(k) if isinstance(k, str) else storable(repr(k)): storable(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [storable(v, depth + 1) for v in value]
    return None


def _clean_block(block: Any) -> str | dict[str, Any] | None:
    """Return a content block in a form that LangChain reads, None where it is unreadable."""
    if isinstance(block, str):
        return storable(block)  # type: ignore[no-any-return]
    if not isinstance(block, Mapping) or ("text" in block and not isinstance(block["text"], str)):
        return None
    return {"type": "text", **storable(block)} if "text" in block else {"type": "unknown", **storable(block)}


def _clean_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return a choice with its message or delta."""
    clean: dict[str, Any] = {
        "index": 0,
        "finish_reason": reason if isinstance(reason := choice.get("finish_reason"), str) else None,
    }
    if isinstance(logprobs := choice.get("logprobs"), Mapping):
        clean["logprobs"] = storable(logprobs)
    for name in ("message", "delta"):
        if isinstance(message := choice.get(name), Mapping):
            clean[name] = _clean_choice_message(message)
        elif isinstance(message, str):
            clean[name] = {"role": "assistant", "content": message}
    return clean


def _clean_choice_message(fields: Mapping[str, Any]) -> dict[str, Any]:
    content = fields.get("content")
    if isinstance(content, list):
        content = [*filter(None, map(_clean_block, content))]
    elif not isinstance(content, str | None):
        content = _json_text(content)
    texts = {k: v for k in ("refusal", "reasoning_content", "reasoning") if isinstance(v := fields.get(k), str)}
    calls = fields.get("tool_calls")
    pieces = [
        _clean_tool_call(call, place)
        for place, call in enumerate(calls if isinstance(calls, list) else [])
        if isinstance(call, Mapping)
    ]
    return {"role": "assistant", "content": storable(content), "tool_calls": pieces, **storable(texts)}


def _clean_tool_call(call: Mapping[str, Any], place: int) -> dict[str, Any]:
    """Return a tool call, or a chunk of one in a stream."""
    inner, index, id = call.get("function"), call.get("index"), call.get("id")
    function: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    given, name = function.get("arguments"), function.get("name")
    return {
        "index": index if isinstance(index, int) and not isinstance(index, bool) else place,
        "id": storable(id) if isinstance(id, str) else None,
        "type": "function",
        "function": {
            "name": storable(name) if isinstance(name, str) else None,
            "arguments": storable(given) if isinstance(given, str) else "" if given is None else _json_text(given),
        },
    }


def _clean_usage(usage: Any) -> UsageMetadata | None:
    if not isinstance(usage, Mapping) or not (counts := _token_counts(usage)):
        return None
    read, written = counts.get("input_tokens", 0), counts.get("output_tokens", 0)
    clean = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=counts.get("total_tokens", read + written))
    for name, details in _nested_mappings(usage).items():
        if name in ("input_token_details", "output_token_details"):
            clean[name] = _token_counts(details)  # type: ignore[literal-required]
    return clean


def _token_counts(fields: Mapping[str, Any]) -> dict[str, int]:
    """Return the fields that are token counts: whole numbers from 0 to `MAX_TOKEN_COUNT`."""
    whole = {k: v for k, v in fields.items() if isinstance(v, int) and not isinstance(v, bool)}
    return {storable(str(k)): v for k, v in whole.items() if 0 <= v <= MAX_TOKEN_COUNT}


def _nested_mappings(fields: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {storable(str(k)): v for k, v in fields.items() if isinstance(v, Mapping)}


def _list_attribute(message: BaseMessage, name: str) -> list[Any]:
    value = getattr(message, name, None)
    return value if isinstance(value, list) else []


def _dict_or_empty(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json_text(value: Any) -> str:
    return json.dumps(storable(value), ensure_ascii=False)
