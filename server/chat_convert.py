"""Between OpenAI's form of a chat and LangChain's: pure functions around the one call of the model."""

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
from .chat_schema import ChatRequest, ImagePart, Tool
from .errors import ApiError
from .image_codec import decode_url

FINISHES = ("stop", "length", "tool_calls", "content_filter")


def streams(chat: BaseChatModel) -> bool:
    """Tell whether a model gives its answer piece by piece."""
    mine = type(chat)
    return mine._stream is not BaseChatModel._stream or mine._astream is not BaseChatModel._astream


def to_messages(asked: ChatRequest, *, blocks: bool, max_pixels: int) -> list[BaseMessage]:
    """Return the messages for a model.

    Args:
        asked: the request.
        blocks: write pictures as LangChain's own content blocks, for models that do not read OpenAI's.
        max_pixels: the largest picture taken.

    Raises:
        ApiError: a picture is of no use.
    """
    for i, message in enumerate(asked.messages):
        for j, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if isinstance(part, ImagePart):
                decode_url(part.image_url.url, max_pixels, f"messages.{i}.content.{j}.image_url.url")
    found = convert_to_messages([{"content": None, **m.model_dump(exclude_none=True)} for m in asked.messages])
    if not blocks:
        return found
    return [
        m.model_copy(update={"content": m.content_blocks}) if isinstance(m, HumanMessage) and isinstance(m.content, list) else m
        for m in found
    ]


def bound(chat: BaseChatModel, asked: ChatRequest) -> Any:
    """Return the model with the request's options bound to it.

    Raises:
        ApiError: the request asks for something that the model cannot do.
    """
    options = _sampling(asked)
    if asked.logprobs:
        _require_logprobs(chat)
        options.update({"logprobs": True, "top_logprobs": asked.top_logprobs})
    if is_openai_client(chat):
        settings = {k: v for k, v in (asked.model_extra or {}).items() if k in asked.MODEL_SETTINGS}
        # A response_format of its own would go through the client's parser, which loses answers that it dislikes.
        body = {**asked.unknown, **settings, "response_format": asked.response_format}
        body = {k: v for k, v in body.items() if v is not None}
        options["extra_body"] = {**(getattr(chat, "extra_body", None) or {}), **body}
        options.update(_choice(asked))
    else:
        if strange := sorted(asked.unknown):
            message = f"{model_name(chat)} does not know {strange[0]}: leave it out"
            raise ApiError(400, message, param=strange[0], code="unsupported_parameter")
        options["response_format"] = asked.response_format
        options.update({k: v for k, v in _choice(asked).items() if v not in ("auto", "none")})
    options = {k: v for k, v in options.items() if v is not None}
    tools = [tool.model_dump(exclude_unset=True) for tool in asked.tools or ()]
    if not tools or (asked.tool_choice == "none" and not is_openai_client(chat)):
        return chat.bind(**{k: v for k, v in options.items() if k not in ("tool_choice", "parallel_tool_calls")})
    try:
        return chat.bind_tools(tools, **options)
    except NotImplementedError as error:
        raise ApiError(400, f"{model_name(chat)} takes no tools", param="tools", code="unsupported_parameter") from error


def _sampling(asked: ChatRequest) -> dict[str, Any]:
    names = ("temperature", "top_p", "seed")
    return {**{name: getattr(asked, name) for name in names}, "max_tokens": asked.most_tokens, "stop": asked.stops or None}


def _choice(asked: ChatRequest) -> dict[str, Any]:
    choice = asked.tool_choice
    choice_value = choice.model_dump(exclude_unset=True) if isinstance(choice, Tool) else choice
    return {"tool_choice": choice_value, "parallel_tool_calls": asked.parallel_tool_calls}


def _require_logprobs(chat: BaseChatModel) -> None:
    if not getattr(chat, "gives_logprobs", is_openai_client(chat)):
        message = f"{model_name(chat)} gives no log-probabilities: leave out logprobs"
        raise ApiError(400, message, param="logprobs", code="unsupported_parameter")


def obeyed(message: AIMessage, asked: ChatRequest, name: str) -> AIMessage:
    """Return a whole answer with the request's demands met, for models that may have passed over them.

    Args:
        message: the answer.
        asked: the request.
        name: the model's name.

    Raises:
        ApiError: a demand is not met, and only the model could have met it.
    """
    called = [call["name"] for call in message.tool_calls]
    forced = asked.tool_choice.function.name if isinstance(asked.tool_choice, Tool) else None
    if (asked.tool_choice == "required" and not called) or (forced and set(called) != {forced}):
        raise ApiError(400, f"{name} does not follow tool_choice here: send auto", param="tool_choice")
    if asked.parallel_tool_calls is False and len(called) > 1:
        raise ApiError(400, f"{name} calls several tools at once here", param="parallel_tool_calls")
    text = text_of(message)
    if cuts := [at for stop in asked.stops if stop and (at := text.find(stop)) >= 0]:
        return message.model_copy(update={"content": text[: min(cuts)]})
    used = message.usage_metadata["output_tokens"] if message.usage_metadata else 0
    if asked.most_tokens is not None and used > asked.most_tokens and ending([message]) != "length":
        raise ApiError(
            400, f"{name} cannot cut its answer, of {used} tokens, to max_tokens {asked.most_tokens}", param="max_tokens"
        )
    return message


def completion(message: AIMessage, frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer in OpenAI's form.

    Args:
        message: the answer.
        frame: id, time and model.
    """
    choice = {
        "index": 0,
        "message": {"role": "assistant", **_said(message)},
        "logprobs": message.response_metadata.get("logprobs"),
        "finish_reason": ending([message]),
    }
    return {**frame, "object": "chat.completion", "choices": [choice], "usage": usage([message])}


def _said(message: AIMessage) -> dict[str, Any]:
    calls = [call for wire in convert_to_openai_messages([message]) for call in wire.get("tool_calls", ())]
    calls += [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["args"]}}
        for c in message.invalid_tool_calls
    ]
    text = text_of(message)
    return {"content": text or (None if calls else ""), **({"tool_calls": calls} if calls else {}), **_beside(message)}


def _beside(message: AIMessage) -> dict[str, Any]:
    """Return what a model has said besides its answer."""
    extra = message.additional_kwargs
    thought = extra.get("reasoning_content") or extra.get("reasoning")
    return {
        **({"reasoning_content": thought} if isinstance(thought, str) else {}),
        **({"refusal": extra["refusal"]} if extra.get("refusal") else {}),
    }


def delta(message: AIMessage) -> dict[str, Any]:
    """Return a piece of a streamed answer; a whole answer, of a model that does not stream, is one piece."""
    if not isinstance(message, AIMessageChunk):
        said = _said(message)
        calls = [{"index": i, **call} for i, call in enumerate(said.pop("tool_calls", ()))]
        return {**said, **({"tool_calls": calls} if calls else {})}
    piece: dict[str, Any] = {"content": text_of(message)} if message.content else {}
    calls = [
        {
            "index": chunk["index"] or 0,
            **({"id": chunk["id"], "type": "function"} if chunk["id"] else {}),
            "function": {k: v for k, v in (("name", chunk["name"]), ("arguments", chunk["args"])) if v is not None},
        }
        for chunk in message.tool_call_chunks
    ]
    return {**piece, **({"tool_calls": calls} if calls else {}), **_beside(message)}


def ending(pieces: Sequence[AIMessage]) -> str:
    """Return why a streamed answer ended."""
    said = [m.response_metadata.get("finish_reason") for m in pieces]
    if known := [reason for reason in said if reason in FINISHES]:
        return str(known[-1])
    calling = any(m.tool_calls or m.invalid_tool_calls or getattr(m, "tool_call_chunks", None) for m in pieces)
    return "tool_calls" if calling else "stop"


def usage(pieces: Sequence[AIMessage]) -> dict[str, Any] | None:
    """Return what an answer has used, None where the model does not say.

    Args:
        pieces: the answer, in one piece or several.
    """
    told = [m.usage_metadata for m in pieces if m.usage_metadata]
    if not told:
        return None
    used = reduce(add_usage, told)
    found: dict[str, Any] = {
        "prompt_tokens": used["input_tokens"], "completion_tokens": used["output_tokens"], "total_tokens": used["total_tokens"],
    }  # fmt: skip
    if cached := used.get("input_token_details", {}).get("cache_read"):
        found["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning := used.get("output_token_details", {}).get("reasoning"):
        found["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return found
