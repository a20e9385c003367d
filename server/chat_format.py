"""Convert between OpenAI's format of a chat and LangChain's: pure functions around the one call of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    convert_to_messages,
    convert_to_openai_messages,
)
from langchain_core.messages.ai import add_usage

from ..models.chat.answer_text import text_of
from ..models.chat.call import is_openai_client, model_name
from .chat_request import ChatRequest, ImagePart, Tool
from .errors import ApiError
from .image_codec import check_data_url

FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter")


def supports_streaming(chat: BaseChatModel) -> bool:
    """Return whether a model implements streaming."""
    kind = type(chat)
    return kind._stream is not BaseChatModel._stream or kind._astream is not BaseChatModel._astream


def to_messages(request: ChatRequest, *, blocks: bool, max_pixels: int) -> list[BaseMessage]:
    """Convert a request's messages for a model.

    Args:
        request: the request.
        blocks: write images as LangChain's own content blocks, for models that do not read OpenAI's.
        max_pixels: most pixels of an image.

    Raises:
        ApiError: an image cannot be used.
    """
    for i, message in enumerate(request.messages):
        for j, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if isinstance(part, ImagePart):
                check_data_url(part.image_url.url, max_pixels, f"messages.{i}.content.{j}.image_url.url")
    messages = convert_to_messages([{"content": None, **m.model_dump(exclude_none=True)} for m in request.messages])
    if not blocks:
        return messages
    return [
        m.model_copy(update={"content": m.content_blocks}) if isinstance(m, HumanMessage) and isinstance(m.content, list) else m
        for m in messages
    ]


def bind_options(chat: BaseChatModel, request: ChatRequest) -> Any:
    """Bind a request's options to a model.

    Raises:
        ApiError: the request has an option that the model does not support.
    """
    options = _sampling_options(request)
    if request.logprobs:
        _require_logprobs(chat)
        options.update({"logprobs": True, "top_logprobs": request.top_logprobs})
    if is_openai_client(chat):
        settings = {k: v for k, v in (request.model_extra or {}).items() if k in request.MODEL_SETTINGS}
        # In extra_body: as an option of its own, response_format would go through the client's parser, which drops some answers.
        body = {**request.unknown, **settings, "response_format": request.response_format}
        body = {k: v for k, v in body.items() if v is not None}
        options["extra_body"] = {**(getattr(chat, "extra_body", None) or {}), **body}
        options.update(_tool_choice_options(request))
    else:
        if unknown := sorted(request.unknown):
            message = f"{model_name(chat)} does not know {unknown[0]}: leave it out"
            raise ApiError(400, message, param=unknown[0], code="unsupported_parameter")
        options["response_format"] = request.response_format
        options.update({k: v for k, v in _tool_choice_options(request).items() if v not in ("auto", "none")})
    options = {k: v for k, v in options.items() if v is not None}
    tools = [tool.model_dump(exclude_unset=True) for tool in request.tools or ()]
    if not tools or (request.tool_choice == "none" and not is_openai_client(chat)):
        return chat.bind(**{k: v for k, v in options.items() if k not in ("tool_choice", "parallel_tool_calls")})
    try:
        return chat.bind_tools(tools, **options)
    except NotImplementedError as error:
        raise ApiError(400, f"{model_name(chat)} takes no tools", param="tools", code="unsupported_parameter") from error


def _sampling_options(request: ChatRequest) -> dict[str, Any]:
    names = ("temperature", "top_p", "seed")
    return {
        **{name: getattr(request, name) for name in names},
        "max_tokens": request.token_limit,
        "stop": request.stop_texts or None,
    }


def _tool_choice_options(request: ChatRequest) -> dict[str, Any]:
    choice = request.tool_choice
    choice_value = choice.model_dump(exclude_unset=True) if isinstance(choice, Tool) else choice
    return {"tool_choice": choice_value, "parallel_tool_calls": request.parallel_tool_calls}


def _require_logprobs(chat: BaseChatModel) -> None:
    if not getattr(chat, "gives_logprobs", is_openai_client(chat)):
        message = f"{model_name(chat)} gives no log-probabilities: leave out logprobs"
        raise ApiError(400, message, param="logprobs", code="unsupported_parameter")


def enforce_request(message: AIMessage, request: ChatRequest, name: str) -> AIMessage:
    """Enforce a request's options on a whole answer of a model that may have ignored them.

    Args:
        message: the answer.
        request: the request.
        name: the model's name.

    Raises:
        ApiError: an option was ignored that only the model could have followed.
    """
    called = [call["name"] for call in message.tool_calls]
    forced = request.tool_choice.function.name if isinstance(request.tool_choice, Tool) else None
    if (request.tool_choice == "required" and not called) or (forced and set(called) != {forced}):
        raise ApiError(400, f"{name} does not follow tool_choice here: send auto", param="tool_choice")
    if request.parallel_tool_calls is False and len(called) > 1:
        raise ApiError(400, f"{name} calls several tools at once here", param="parallel_tool_calls")
    text = text_of(message)
    if cuts := [at for stop in request.stop_texts if stop and (at := text.find(stop)) >= 0]:
        return message.model_copy(update={"content": text[: min(cuts)]})
    used = message.usage_metadata["output_tokens"] if message.usage_metadata else 0
    if request.token_limit is not None and used > request.token_limit and finish_reason([message]) != "length":
        raise ApiError(
            400, f"{name} cannot cut its answer, of {used} tokens, to max_tokens {request.token_limit}", param="max_tokens"
        )
    return message


def completion_body(message: AIMessage, frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer as the body of a chat completion.

    Args:
        message: the answer.
        frame: id, creation time and model of the completion.
    """
    choice = {
        "index": 0,
        "message": {"role": "assistant", **_message_body(message)},
        "logprobs": message.response_metadata.get("logprobs"),
        "finish_reason": finish_reason([message]),
    }
    return {**frame, "object": "chat.completion", "choices": [choice], "usage": usage_body([message])}


def _message_body(message: AIMessage) -> dict[str, Any]:
    calls = [call for wire in convert_to_openai_messages([message]) for call in wire.get("tool_calls", ())]
    calls += [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["args"]}}
        for c in message.invalid_tool_calls
    ]
    text = text_of(message)
    return {
        "content": text or (None if calls else ""),
        **({"tool_calls": calls} if calls else {}),
        **_reasoning_and_refusal(message),
    }


def _reasoning_and_refusal(message: AIMessage) -> dict[str, Any]:
    """Return the reasoning and the refusal that a model has sent beside its answer."""
    extra = message.additional_kwargs
    reasoning = extra.get("reasoning_content") or extra.get("reasoning")
    return {
        **({"reasoning_content": reasoning} if isinstance(reasoning, str) else {}),
        **({"refusal": extra["refusal"]} if extra.get("refusal") else {}),
    }


def delta_body(message: AIMessage) -> dict[str, Any]:
    """Return a piece of an answer as the delta of a chunk; the answer of a model that does not stream is one piece."""
    if not isinstance(message, AIMessageChunk):
        body = _message_body(message)
        calls = [{"index": i, **call} for i, call in enumerate(body.pop("tool_calls", ()))]
        return {**body, **({"tool_calls": calls} if calls else {})}
    piece: dict[str, Any] = {"content": text_of(message)} if message.content else {}
    calls = [
        {
            "index": chunk["index"] or 0,
            **({"id": chunk["id"], "type": "function"} if chunk["id"] else {}),
            "function": {k: v for k, v in (("name", chunk["name"]), ("arguments", chunk["args"])) if v is not None},
        }
        for chunk in message.tool_call_chunks
    ]
    return {**piece, **({"tool_calls": calls} if calls else {}), **_reasoning_and_refusal(message)}


def finish_reason(pieces: Sequence[AIMessage]) -> str:
    """Return the finish reason of an answer, in one piece or several."""
    reasons = [m.response_metadata.get("finish_reason") for m in pieces]
    if known := [reason for reason in reasons if reason in FINISH_REASONS]:
        return str(known[-1])
    has_calls = any(m.tool_calls or m.invalid_tool_calls or getattr(m, "tool_call_chunks", None) for m in pieces)
    return "tool_calls" if has_calls else "stop"


def usage_body(pieces: Sequence[AIMessage]) -> dict[str, Any] | None:
    """Return the token usage of an answer, None if the model does not report it.

    Args:
        pieces: the answer, in one piece or several.
    """
    reported = [m.usage_metadata for m in pieces if m.usage_metadata]
    if not reported:
        return None
    used = reduce(add_usage, reported)
    usage: dict[str, Any] = {
        "prompt_tokens": used["input_tokens"], "completion_tokens": used["output_tokens"], "total_tokens": used["total_tokens"],
    }  # fmt: skip
    if cached := used.get("input_token_details", {}).get("cache_read"):
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning := used.get("output_token_details", {}).get("reasoning"):
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage
