"""Chat models behind OpenAI-compatible endpoints: `ChatOpenAI` with reasoning kept, a call limit, and fixes for other servers."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any, ClassVar

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from openai import OpenAIError
from pydantic import BaseModel

from ...errors import NotACompletionError
from ...privacy import host_of
from ..concurrency_limit import CallLimit, call_limit_of
from ..endpoint_address import OPENAI_URL, is_openai
from ..negotiation import parse_error
from .call import MALFORMED_DATA_ERRORS, NO_CHAT_ENDPOINT
from .sanitize import clean_completion, tool_calls_of

# Not of use here: `ask` finds out and notes that a schema is not taken.
warnings.filterwarnings("ignore", r"(This model does not support|Invalid schema for) OpenAI's structured output feature")
# Raised by stream chunks that are not of OpenAI's form: `clean_completion` mends them.
warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)


class EndpointChat(ChatOpenAI):
    """A chat model behind an endpoint.

    Keeps the reasoning that `ChatOpenAI` drops, in `additional_kwargs["reasoning_content"]`; sends `max_tokens` where only
    OpenAI knows `max_completion_tokens`; and limits concurrent calls to a host.
    One object may be used from many threads and event loops.
    """

    gives_logprobs: ClassVar[bool] = True
    """Whether its answers to roles may have log-probabilities: it is asked for them."""

    in_flight: int = 8
    """Most concurrent calls to the host, those of other models of this process included."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key, for errors."""
    remarks: list[str] = []
    """Which options are not honoured, in sentences for the notes of a run."""

    @property
    def base_url(self) -> str:
        """The endpoint's URL."""
        return str(self.openai_api_base or OPENAI_URL)

    @property
    def _limit(self) -> CallLimit:
        return call_limit_of(host_of(self.base_url))

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with self._limit.slot(self.in_flight), _malformed_answers_explained():
            return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        async with self._limit.async_slot(self.in_flight):
            with _malformed_answers_explained():
                return await super()._agenerate(*args, **kwargs)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        chunk = None
        with self._limit.slot(self.in_flight), _malformed_answers_explained():
            for chunk in super()._stream(*args, **kwargs):
                yield chunk
        if chunk is None:
            raise NotACompletionError(NO_CHAT_ENDPOINT.format("its stream is empty"))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        chunk = None
        async with self._limit.async_slot(self.in_flight):
            with _malformed_answers_explained():
                async for chunk in super()._astream(*args, **kwargs):
                    yield chunk
        if chunk is None:
            raise NotACompletionError(NO_CHAT_ENDPOINT.format("its stream is empty"))

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        # Ollama and Z.ai know only `max_tokens`; vLLM, SGLang and llama.cpp know both; OpenAI's newer models only the other.
        if "max_completion_tokens" in payload and not is_openai(self.base_url):
            payload["max_tokens"] = payload.pop("max_completion_tokens")
        return payload

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        with _malformed_answers_explained():
            fields = response.model_dump(warnings=False) if isinstance(response, BaseModel) else response
            choices = fields.get("choices") if isinstance(fields, dict) else None
            if not isinstance(fields, dict) or fields.get("error") or not isinstance(choices, list) or not choices:
                raise _not_a_completion(response)
            clean = clean_completion(fields)
            if not clean["choices"] or any("message" not in choice for choice in clean["choices"]):
                raise _not_a_completion(response)
            calls = [choice["message"].pop("tool_calls") for choice in clean["choices"]]
            result = super()._create_chat_result(clean, generation_info)
            for generation, choice, called in zip(result.generations, clean["choices"], calls, strict=True):
                if isinstance(generation.message, AIMessage):
                    generation.message.tool_calls, generation.message.invalid_tool_calls = tool_calls_of(called)
                _copy_reasoning(generation.message, choice["message"])
        return result

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        inner = chunk.get("chunk")  # where the SDK makes events of the pieces
        chunk = clean_completion(inner if isinstance(inner, dict) else chunk)
        if any("delta" not in choice for choice in chunk["choices"][:1]):
            return None
        converted = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        if converted is not None and (choices := chunk.get("choices")):
            _copy_reasoning(converted.message, choices[0].get("delta"))
        return converted


def _copy_reasoning(message: Any, source: Any) -> None:
    """Copy the reasoning of a message or delta: `reasoning_content`, or `reasoning` of newer vLLM and Ollama."""
    if not isinstance(source, dict) or not isinstance(message, AIMessage):
        return
    for name in ("reasoning_content", "reasoning"):
        if isinstance(text := source.get(name), str) and text:
            message.additional_kwargs["reasoning_content"] = text
            return


@contextmanager
def _malformed_answers_explained() -> Iterator[None]:
    """Turn errors of parsing an answer into `NotACompletionError`.

    Raises:
        NotACompletionError: the answer cannot be parsed.
    """
    try:
        yield
    except (NotACompletionError, OpenAIError):
        raise
    except JSONDecodeError as error:
        raise NotACompletionError(NO_CHAT_ENDPOINT.format(f"its answer is not JSON ({error})")) from error
    except MALFORMED_DATA_ERRORS as error:
        raise NotACompletionError(f"its answer cannot be read: {type(error).__name__}: {error}"[:300]) from error


def _not_a_completion(response: Any) -> NotACompletionError:
    """Return the error for an answer that is no chat completion."""
    fields = response.model_dump(warnings=False) if isinstance(response, BaseModel) else response
    if isinstance(fields, str):
        begin = " ".join(fields.split())[:80]
        what = f"its answer is {'a web page' if begin.lower().startswith(('<!doctype', '<html')) else 'text'}: {begin!r}"
    elif not isinstance(fields, dict):
        what = f"its answer is a JSON {type(fields).__name__}"
    elif fields.get("error"):
        return NotACompletionError(f"the endpoint answered with an error: {parse_error(fields).message or fields['error']}")
    else:
        what = "its choices have no message" if fields.get("choices") else "its answer has no choices"
    return NotACompletionError(NO_CHAT_ENDPOINT.format(what))
