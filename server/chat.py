"""POST /v1/chat/completions."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from time import time
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from langchain_core.messages import AIMessage
from starlette.responses import Response

from ..models.chat.call import is_openai_client
from .chat_format import (
    bind_options,
    completion_body,
    delta_body,
    enforce_request,
    finish_reason,
    supports_streaming,
    to_messages,
    usage_body,
)
from .chat_request import ChatRequest
from .errors import ApiError, AsciiJson, model_errors
from .served_models import ServedModels


def chat_router(served: ServedModels) -> APIRouter:
    """Build the route of chat completions."""
    router = APIRouter()

    @router.post("/chat/completions", response_model=None)
    async def complete(request: ChatRequest) -> Response:
        served.require(request.model, "chat")
        frame = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time()), "model": served.names["chat"]}
        if not request.stream:
            return AsciiJson(completion_body(await served.in_thread(complete_chat, served, request), frame))
        pieces = await served.in_thread(stream_chat, served, request)
        # Wait for the first piece: most errors occur before it, and can still have a status of their own.
        first = await served.in_thread(next_piece, served, pieces)
        return StreamingResponse(server_sent_events(served, request, frame, first, pieces), media_type="text/event-stream")

    return router


def complete_chat(served: ServedModels, request: ChatRequest) -> AIMessage:
    """Call the chat model once.

    Raises:
        ApiError: the model does not take the request, or failed.
    """
    chat, relayed = served.chat, is_openai_client(served.chat)
    with model_errors(served.names["chat"], served.chat):
        messages = to_messages(request, blocks=not relayed, max_pixels=served.limits.max_pixels)
        message: AIMessage = bind_options(chat, request).invoke(messages)
    return message if relayed else enforce_request(message, request, served.names["chat"])


def stream_chat(served: ServedModels, request: ChatRequest) -> Iterator[AIMessage]:
    """Return the pieces of a chat model's answer; the whole answer is one piece if the model does not stream.

    Raises:
        ApiError: the model does not take the request.
    """
    if not supports_streaming(served.chat):
        return iter([complete_chat(served, request)])
    relayed = is_openai_client(served.chat)
    with model_errors(served.names["chat"], served.chat):
        messages = to_messages(request, blocks=not relayed, max_pixels=served.limits.max_pixels)
        options = {"stream_usage": True} if relayed and wants_usage(request) else {}
        pieces: Iterator[AIMessage] = bind_options(served.chat, request).stream(messages, **options)
    return pieces


def next_piece(served: ServedModels, pieces: Iterator[AIMessage]) -> AIMessage | None:
    """Return the next piece, None at the end.

    Raises:
        ApiError: the model failed.
    """
    with model_errors(served.names["chat"], served.chat):
        return next(pieces, None)


def wants_usage(request: ChatRequest) -> bool:
    """Return whether a stream is to end with its token usage."""
    return request.stream_options is not None and request.stream_options.include_usage


async def server_sent_events(
    served: ServedModels, request: ChatRequest, frame: Mapping[str, Any], first: AIMessage | None, pieces: Iterator[AIMessage]
) -> AsyncIterator[bytes]:
    """Yield a streamed answer as server-sent events; an error after the first piece is the last event.

    Args:
        served: the models.
        request: the request.
        frame: id, creation time and model of the completion.
        first: the first piece, None for an empty answer.
        pieces: the later pieces.
    """

    def chunk(part: Mapping[str, Any], finish: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": 0, "delta": part, "logprobs": logprobs, "finish_reason": finish}
        return server_sent_event({**frame, "object": "chat.completion.chunk", "choices": [choice]})

    seen: list[AIMessage] = []
    yield chunk({"role": "assistant", "content": ""})
    piece = first
    while piece is not None:
        seen.append(piece)
        logprobs = piece.response_metadata.get("logprobs")
        if (part := delta_body(piece)) or logprobs:
            yield chunk(part, logprobs=logprobs)
        try:
            piece = await served.in_thread(next_piece, served, pieces)
        except ApiError as error:
            yield server_sent_event(error.body())
            return
    yield chunk({}, finish=finish_reason(seen))
    if wants_usage(request):
        yield server_sent_event({**frame, "object": "chat.completion.chunk", "choices": [], "usage": usage_body(seen)})
    yield b"data: [DONE]\n\n"


def server_sent_event(data: Mapping[str, Any]) -> bytes:
    """Encode a server-sent event."""
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode("ascii")
