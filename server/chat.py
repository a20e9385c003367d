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
from .chat_convert import bound, completion, delta, ending, obeyed, streams, to_messages, usage
from .chat_schema import ChatRequest
from .errors import ApiError, Json, model_errors
from .served import Served


def chat_router(served: Served) -> APIRouter:
    """Build the route to the chat model."""
    router = APIRouter()

    @router.post("/chat/completions", response_model=None)
    async def complete(asked: ChatRequest) -> Response:
        served.require(asked.model, "chat")
        frame = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time()), "model": served.names["chat"]}
        if not asked.stream:
            return Json(completion(await served.in_thread(answer, served, asked), frame))
        pieces = await served.in_thread(pieces_of, served, asked)
        # The first piece is waited for: most of what can go wrong has then, and has a status of its own.
        first = await served.in_thread(next_of, served, pieces)
        return StreamingResponse(events(served, asked, frame, first, pieces), media_type="text/event-stream")

    return router


def answer(served: Served, asked: ChatRequest) -> AIMessage:
    """Call the chat model once.

    Raises:
        ApiError: it does not take the request, or failed.
    """
    chat, relayed = served.chat, is_openai_client(served.chat)
    with model_errors(served.names["chat"], served.chat):
        messages = to_messages(asked, blocks=not relayed, max_pixels=served.limits.max_pixels)
        message: AIMessage = bound(chat, asked).invoke(messages)
    return message if relayed else obeyed(message, asked, served.names["chat"])


def pieces_of(served: Served, asked: ChatRequest) -> Iterator[AIMessage]:
    """Return a chat model's answer piece by piece, or whole as one piece where the model does not stream.

    Raises:
        ApiError: it does not take the request.
    """
    if not streams(served.chat):
        return iter([answer(served, asked)])
    relayed = is_openai_client(served.chat)
    with model_errors(served.names["chat"], served.chat):
        messages = to_messages(asked, blocks=not relayed, max_pixels=served.limits.max_pixels)
        wanted = {"stream_usage": True} if relayed and wants_usage(asked) else {}
        found: Iterator[AIMessage] = bound(served.chat, asked).stream(messages, **wanted)
    return found


def next_of(served: Served, pieces: Iterator[AIMessage]) -> AIMessage | None:
    """Wait for the next piece; None at the end.

    Raises:
        ApiError: the model failed.
    """
    with model_errors(served.names["chat"], served.chat):
        return next(pieces, None)


def wants_usage(asked: ChatRequest) -> bool:
    """Tell whether a stream is to end with what it has used."""
    return asked.stream_options is not None and asked.stream_options.include_usage


async def events(
    served: Served, asked: ChatRequest, frame: Mapping[str, Any], first: AIMessage | None, pieces: Iterator[AIMessage]
) -> AsyncIterator[bytes]:
    """Write a streamed answer as server-sent events. An error on the way is an event, and the last one.

    Args:
        served: the models.
        asked: the request.
        frame: id, time and model.
        first: the first piece, None for an empty answer.
        pieces: the pieces after it.
    """

    def chunk(part: Mapping[str, Any], finish: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": 0, "delta": part, "logprobs": logprobs, "finish_reason": finish}
        return event({**frame, "object": "chat.completion.chunk", "choices": [choice]})

    seen: list[AIMessage] = []
    yield chunk({"role": "assistant", "content": ""})
    piece = first
    while piece is not None:
        seen.append(piece)
        logprobs = piece.response_metadata.get("logprobs")
        if (part := delta(piece)) or logprobs:
            yield chunk(part, logprobs=logprobs)
        try:
            piece = await served.in_thread(next_of, served, pieces)
        except ApiError as error:
            yield event(error.body())
            return
    yield chunk({}, finish=ending(seen))
    if wants_usage(asked):
        yield event({**frame, "object": "chat.completion.chunk", "choices": [], "usage": usage(seen)})
    yield b"data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> bytes:
    """Return a server-sent event."""
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode("ascii")
