"""POST /v1/chat/completions: one whole answer of the chat model. Streams and endpoints are not relayed."""

from __future__ import annotations

import uuid
from time import time
from typing import Any

from fastapi import APIRouter
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, convert_to_messages, convert_to_openai_messages
from starlette.responses import Response

from ..models.chat.answer_text import text_of
from ..models.chat.call import model_name
from .chat_request import ChatRequest, ImagePart
from .errors import ApiError, AsciiJson, model_errors, unsupported
from .image_codec import check_data_url
from .served_models import ServedModels

FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter")


def chat_router(served: ServedModels) -> APIRouter:
    """Build the route of chat completions."""
    router = APIRouter()

    @router.post("/chat/completions", response_model=None)
    async def complete(request: ChatRequest) -> Response:
        served.require(request.model, "chat")
        message = await served.in_thread(complete_chat, served, request)
        return AsciiJson(completion_body(message, served.names["chat"]))

    return router


def complete_chat(served: ServedModels, request: ChatRequest) -> AIMessage:
    """Call the chat model once.

    Raises:
        ApiError: the model does not take the request, or failed.
    """
    name = served.names["chat"]
    with model_errors(name):
        messages = to_messages(request, served.limits.max_pixels)
        message: AIMessage = bind_options(served.chat, request).invoke(messages)
    return enforce_length(message, request, name)


def to_messages(request: ChatRequest, max_pixels: int) -> list[BaseMessage]:
    """Convert a request's messages to LangChain's, with images as its own content blocks.

    Args:
        request: the request.
        max_pixels: most pixels of an image.

    Raises:
        ApiError: an image cannot be used.
    """
    for i, message in enumerate(request.messages):
        for j, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if isinstance(part, ImagePart):
                check_data_url(part.image_url.url, max_pixels, f"messages.{i}.content.{j}.image_url.url")
    messages = convert_to_messages([{"content": None, **m.model_dump(exclude_none=True)} for m in request.messages])
    return [
        m.model_copy(update={"content": m.content_blocks}) if isinstance(m, HumanMessage) and isinstance(m.content, list) else m
        for m in messages
    ]


def bind_options(chat: BaseChatModel, request: ChatRequest) -> Any:
    """Bind a request's options to a model.

    Raises:
        ApiError: the request has an option that the model does not support.
    """
    name = model_name(chat)
    if unknown := sorted(request.unknown):
        raise unsupported(f"{name} does not know {unknown[0]}: leave it out", unknown[0])
    if request.logprobs and not getattr(chat, "gives_logprobs", False):
        raise unsupported(f"{name} gives no log-probabilities: leave out logprobs", "logprobs")
    options = {
        **request.model_dump(include={"temperature", "top_p", "seed", "top_logprobs", "response_format"}),
        "logprobs": request.logprobs or None,
        "max_tokens": request.token_limit,
        "stop": request.stop_texts or None,
    }
    options = {k: v for k, v in options.items() if v is not None}
    if not request.tools or request.tool_choice == "none":
        return chat.bind(**options)
    try:
        return chat.bind_tools([tool.model_dump(exclude_unset=True) for tool in request.tools], **options)
    except NotImplementedError as error:
        raise unsupported(f"{name} takes no tools", "tools") from error


def enforce_length(message: AIMessage, request: ChatRequest, name: str) -> AIMessage:
    """End an answer at the texts in `stop`, also of a model that has ignored them.

    Args:
        message: the answer.
        request: the request.
        name: the model's name.

    Raises:
        ApiError: the answer has more tokens than `max_tokens`.
    """
    text = text_of(message)
    if cuts := [at for stop in request.stop_texts if stop and (at := text.find(stop)) >= 0]:
        return message.model_copy(update={"content": text[: min(cuts)]})
    used = message.usage_metadata["output_tokens"] if message.usage_metadata else 0
    if request.token_limit is not None and used > request.token_limit and finish_reason(message) != "length":
        problem = f"{name} cannot cut its answer, of {used} tokens, to max_tokens {request.token_limit}"
        raise ApiError(400, problem, param="max_tokens")
    return message


def completion_body(message: AIMessage, name: str) -> dict[str, Any]:
    """Return an answer of the model of this name as the body of a chat completion."""
    calls = [call for wire in convert_to_openai_messages([message]) for call in wire.get("tool_calls", ())]
    text, reasoning = text_of(message), message.additional_kwargs.get("reasoning_content")
    choice = {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": text or (None if calls else ""),
            **({"tool_calls": calls} if calls else {}),
            **({"reasoning_content": reasoning} if reasoning else {}),
        },
        "logprobs": message.response_metadata.get("logprobs"),
        "finish_reason": finish_reason(message),
    }
    used = message.usage_metadata
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time()),
        "model": name,
        "object": "chat.completion",
        "choices": [choice],
        "usage": used
        and {
            "prompt_tokens": used["input_tokens"],
            "completion_tokens": used["output_tokens"],
            "total_tokens": used["total_tokens"],
        },
    }


def finish_reason(message: AIMessage) -> str:
    """Return the finish reason of an answer."""
    reason = message.response_metadata.get("finish_reason")
    return str(reason) if reason in FINISH_REASONS else "tool_calls" if message.tool_calls else "stop"
